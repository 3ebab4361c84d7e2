//! Goods and money when everything has come to rest: every order has one end everywhere, stock is
//! right to the unit and money to the cent, by the levels and by the ledgers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::Result;
use millrace::contract::Money;
use schemas::{
    CancelledBy, OrderCancelled, OrderConfirmed, OrderId, OrderPlaced, OrderRefused, OrderRejected,
};
use sqlx::PgPool;
use uuid::Uuid;

use super::audit::{Books, Published, few};
use super::crowd::Crowd;
use super::facts::Fact;
use super::law;
use super::report::Tale;

/// The lives of all orders by their topics.
struct Lives {
    facts: BTreeMap<Uuid, Vec<Fact>>,
    placed: BTreeMap<Uuid, OrderPlaced>,
    ends: BTreeMap<Uuid, &'static str>,
}

/// On hand and reserved, or what two views of it say.
type Units = BTreeMap<(String, String), (i64, i64)>;
type Minor = BTreeMap<String, i64>;

pub(super) async fn check(
    tale: &mut Tale,
    published: &Published,
    books: &[Books],
    crowd: &Crowd,
    orders: &[OrderId],
) -> Result<()> {
    let lives = Lives::of(published)?;
    let wanted: BTreeSet<Uuid> = orders.iter().map(|order| order.uuid()).collect();
    let placed: BTreeSet<Uuid> = lives.placed.keys().copied().collect();
    tale.expect("orders answered", wanted.len(), orders.len());
    tale.expect(
        "orders placed that nobody got an answer for",
        0,
        placed.difference(&wanted).count(),
    );
    tale.expect("orders answered that were not placed", 0, wanted.difference(&placed).count());
    let breaches = lives.facts.iter().flat_map(|(order, facts)| {
        law::breaches(facts).into_iter().map(move |breach| format!("{order}: {breach}"))
    });
    tale.expect("breaches of the flow", [""; 0], few(&breaches.collect::<Vec<_>>()));
    for end in ["confirmed", "rejected", "refused", "cancelled", "expired"] {
        let count = lives.ends.values().filter(|ended| **ended == end).count();
        tale.count(format!("orders {end}"), count);
    }
    if let Some((order, end, facts)) = lives.slowest() {
        tale.order(order, format!("{end}, the slowest of all"), &facts);
    }
    let database = |name: &str| Books::named(books, name).map(|books| &books.database);
    statuses(tale, &lives, database("orders")?, database("order-view")?).await?;
    stock(tale, &lives, crowd, database("stock")?).await?;
    money(tale, &lives, crowd, database("payments")?).await?;
    sales(tale, &lives, database("sales")?).await
}

impl Lives {
    fn of(published: &Published) -> Result<Self> {
        let (mut facts, mut placed) = (BTreeMap::<Uuid, Vec<Fact>>::new(), BTreeMap::new());
        let mut ends = BTreeMap::new();
        for fact in published.facts.iter().filter(|fact| schemas::flow::step(&fact.name).is_some())
        {
            let order: Uuid = fact.key.parse()?;
            placed.extend(fact.decoded::<OrderPlaced>().map(|placed| (order, placed)));
            ends.extend(end(fact).map(|end| (order, end)));
            facts.entry(order).or_default().push(fact.clone());
        }
        Ok(Self { facts, placed, ends })
    }

    /// The order that took longest from its first fact to its last, which are in order of time.
    fn slowest(&self) -> Option<(OrderId, &'static str, Vec<Fact>)> {
        let took = |facts: &Vec<Fact>| {
            let at = facts.iter().map(|fact| fact.at.micros());
            at.clone().max().unwrap_or_default() - at.min().unwrap_or_default()
        };
        let (order, facts) = self.facts.iter().max_by_key(|(_, facts)| took(facts))?;
        let mut facts = facts.clone();
        facts.sort_by_key(|fact| (fact.at, fact.id));
        Some((OrderId::new(*order), self.ends.get(order)?, facts))
    }

    fn confirmed(&self) -> impl Iterator<Item = &OrderPlaced> {
        let confirmed = |order: &Uuid| self.ends.get(order).is_some_and(|end| *end == "confirmed");
        self.placed.iter().filter(move |(order, _)| confirmed(order)).map(|(_, placed)| placed)
    }
}

fn end(fact: &Fact) -> Option<&'static str> {
    if let Some(cancelled) = fact.decoded::<OrderCancelled>() {
        return Some(if cancelled.by == CancelledBy::Deadline { "expired" } else { "cancelled" });
    }
    let ends = [
        (fact.is::<OrderConfirmed>(), "confirmed"),
        (fact.is::<OrderRejected>(), "rejected"),
        (fact.is::<OrderRefused>(), "refused"),
    ];
    ends.into_iter().find(|(is, _)| *is).map(|(_, end)| end)
}

/// Orders and the order view say of every order what its topic says.
async fn statuses(tale: &mut Tale, lives: &Lives, orders: &PgPool, view: &PgPool) -> Result<()> {
    let said: BTreeMap<Uuid, String> =
        lives.ends.iter().map(|(order, end)| (*order, (*end).to_owned())).collect();
    let kept: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT order_id, status FROM orders").fetch_all(orders).await?;
    let shown: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT order_id, status FROM order_view").fetch_all(view).await?;
    expect_same(tale, "ends of orders in orders", &said, &kept.into_iter().collect());
    expect_same(tale, "ends of orders in the view", &said, &shown.into_iter().collect());
    Ok(())
}

/// On hand is what came in; reserved is what confirmed orders wait to be shipped.
async fn stock(tale: &mut Tale, lives: &Lives, crowd: &Crowd, database: &PgPool) -> Result<()> {
    let mut wanted = Units::new();
    for ((store, sku), units) in &crowd.received {
        wanted.insert((store.to_string(), sku.to_string()), (*units, 0));
    }
    for placed in lives.confirmed() {
        for line in &placed.lines {
            let place = (placed.store_id.to_string(), line.sku.to_string());
            wanted.entry(place).or_default().1 += line.quantity;
        }
    }
    let by_place = |rows: Vec<(String, String, i64, i64)>| -> Units {
        rows.into_iter().map(|(store, sku, all, held)| ((store, sku), (all, held))).collect()
    };
    let levels = "SELECT store_id, sku, on_hand, reserved FROM level";
    let levels = by_place(sqlx::query_as(levels).fetch_all(database).await?);
    let ledger = "SELECT store_id, sku, sum(on_hand)::bigint, sum(reserved)::bigint
                  FROM stock_ledger GROUP BY store_id, sku";
    let ledger = by_place(sqlx::query_as(ledger).fetch_all(database).await?);
    expect_same(tale, "stock by the levels", &wanted, &levels);
    expect_same(tale, "stock by the ledger", &wanted, &ledger);
    let sum = |units: &Units| units.values().map(|(all, held)| all - held).sum::<i64>();
    let received = crowd.received.values().sum::<i64>();
    tale.effect("units available", received, sum(&levels));
    Ok(())
}

/// Everyone has what they paid in less what they bought, and the ledger's entries add up to zero.
async fn money(tale: &mut Tale, lives: &Lives, crowd: &Crowd, database: &PgPool) -> Result<()> {
    let mut wanted: Minor =
        crowd.paid_in.iter().map(|(customer, paid)| (customer.to_string(), paid.minor())).collect();
    for placed in lives.confirmed() {
        *wanted.entry(placed.customer_id.to_string()).or_default() -= placed.total.minor();
    }
    let accounts: Vec<(String, i64)> =
        sqlx::query_as("SELECT customer_id, balance FROM account").fetch_all(database).await?;
    let accounts: Minor = accounts.into_iter().collect();
    let ledger: Vec<(String, i64)> =
        sqlx::query_as("SELECT account, sum(amount)::bigint FROM money_ledger GROUP BY account")
            .fetch_all(database)
            .await?;
    let sum: i64 = ledger.iter().map(|(_, minor)| minor).sum();
    let customer = |(account, minor): (String, i64)| {
        account.strip_prefix("customer:").map(|customer| (customer.to_owned(), minor))
    };
    let customers: Minor = ledger.into_iter().filter_map(customer).collect();
    expect_same(tale, "money by the accounts", &wanted, &accounts);
    expect_same(tale, "money by the ledger", &wanted, &customers);
    tale.expect("sum of all entries of the ledger", 0, sum);
    let show = |minor: i64| {
        crowd.paid_in.values().next().map(|paid| {
            let money = Money::new(minor, paid.currency());
            format!("{} {}", money.amount(), money.currency())
        })
    };
    let paid_in = crowd.paid_in.values().map(|paid| paid.minor()).sum();
    let left = accounts.values().sum();
    tale.effect(
        "money of the customers",
        show(paid_in).unwrap_or_default(),
        show(left).unwrap_or_default(),
    );
    Ok(())
}

/// A sale stands exactly for every confirmed order, for its total.
async fn sales(tale: &mut Tale, lives: &Lives, database: &PgPool) -> Result<()> {
    let wanted: BTreeMap<Uuid, Option<i64>> = lives
        .confirmed()
        .map(|placed| (placed.order_id.uuid(), Some(placed.total.minor())))
        .collect();
    let standing: Vec<(Uuid, Option<i64>)> =
        sqlx::query_as("SELECT order_id, total FROM sale WHERE state = 'confirmed'")
            .fetch_all(database)
            .await?;
    expect_same(tale, "sales", &wanted, &standing.into_iter().collect());
    Ok(())
}

/// Shows only where the two differ.
fn expect_same<K: Ord + Debug, V: PartialEq + Debug>(
    tale: &mut Tale,
    what: &str,
    wanted: &BTreeMap<K, V>,
    seen: &BTreeMap<K, V>,
) {
    let keys: BTreeSet<&K> = wanted.keys().chain(seen.keys()).collect();
    let differs = |key: &&K| wanted.get(key) != seen.get(key);
    let differences: Vec<String> = keys
        .into_iter()
        .filter(differs)
        .map(|key| format!("{key:?}: expected {:?}, observed {:?}", wanted.get(key), seen.get(key)))
        .collect();
    tale.expect(&format!("differences: {what}"), [""; 0], few(&differences));
}
