//! The checker on a real run: nothing is found where nothing was done wrong, and what is damaged in
//! a database or a topic afterwards is named.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use harness::check::{Act, Collector, History, Seen, TRANSPORT, Verdict, judge};
use harness::eventually;
use millrace::admin::RawRecord;
use millrace::{Event, Service};
use schemas::{OrderId, ProductListed, topics};
use uuid::Uuid;

use super::Shop;
use super::shop::{SERVICES, SOON};
use crate::law::{self, LAW};

const ORDERS: usize = 50;

/// What is done to a database, and the invariant that speaks of it.
const DAMAGES: [(&str, &str, &str); 6] = [
    (
        "stock",
        "I7",
        "INSERT INTO stock_ledger (cause, store_id, sku, kind, on_hand, reserved)
         VALUES (gen_random_uuid(), 'store-1', 'mug', 'receipt', 1, 0)",
    ),
    ("payments", "I8", "UPDATE account SET balance = balance + 1"),
    ("order-view", "I10", "UPDATE order_view SET status = 'paid' WHERE status = 'confirmed'"),
    ("orders", "I14", "DELETE FROM millrace.idempotency"),
    (
        "sales",
        "I2",
        "DELETE FROM millrace.inbox WHERE event_id = (SELECT min(event_id::text)::uuid
         FROM millrace.inbox)",
    ),
    ("payments", "I4", "UPDATE millrace.last_version SET version = version - 1"),
];

/// A shop whose customers are listened to.
struct Watched {
    shop: Shop,
    history: History,
    services: Vec<Service>,
}

impl Watched {
    async fn open() -> Result<Self> {
        let shop = Shop::open(70, "1000.00").await?;
        let services = SERVICES.iter().map(|service| service()).collect();
        Ok(Self { shop, history: History::default(), services })
    }

    /// Asks under one key, and now and then again.
    async fn place(&self, number: usize) -> Result<OrderId> {
        let key = Uuid::now_v7();
        let mut placed = None;
        for _ in 0..=usize::from(number.is_multiple_of(5)) {
            let text = key.to_string();
            let op = self.history.invoke("ann", Act::Place, Some(&text), None, None);
            let Shop { customer, store, mug, retailer, .. } = &self.shop;
            let lines = [(mug.clone(), 1 + number as i64 % 3)];
            let answer = retailer.place_order(customer, store, &lines, key).await?;
            let body = serde_json::to_vec(&answer)?;
            self.history.ok(op, Some(&answer.order_id.to_string()), &body, None);
            placed = Some(answer.order_id);
        }
        placed.context("it was placed")
    }

    /// Looks at an order until it has ended, and notes every look.
    async fn follow(&self, order: OrderId) -> Result<()> {
        let text = order.to_string();
        eventually(SOON, "the order ends", async || {
            let op = self.history.invoke("ann", Act::Read, None, Some(&text), None);
            let view = self.shop.retailer.order(order, None).await;
            let view = view.map_err(|error| {
                self.history.info(op, error.to_string());
                error.to_string()
            })?;
            let seen = Seen { status: view.status.clone(), version: view.version };
            self.history.ok(op, Some(&text), view.status.as_bytes(), Some(seen));
            if view.has_ended() { Ok(()) } else { Err(view.status) }
        })
        .await
    }

    async fn judge(&self) -> Result<Verdict> {
        let collector = Collector::new(&self.shop.world, &self.services, &law::Books);
        let evidence = collector.collect(&self.history, &[], &[]).await?;
        Ok(judge(&evidence, &[TRANSPORT, LAW]))
    }

    /// Waits until everything has come to rest, which it has when nothing is wrong.
    async fn at_rest(&self) -> Result<Verdict> {
        eventually(SOON, "nothing is wrong", async || {
            let verdict = self.judge().await.map_err(|error| format!("{error:#}"))?;
            if verdict.is_clean() { Ok(verdict) } else { Err(verdict.to_string()) }
        })
        .await
    }

    /// After some damage this invariant does not hold, which held before.
    async fn breaks(&self, broken: &mut BTreeSet<String>, id: &str) -> Result<()> {
        let verdict = self.judge().await?;
        let now: BTreeSet<String> = verdict.broken().into_iter().map(str::to_owned).collect();
        ensure!(now.contains(id) && !broken.contains(id), "{id} is not new in {now:?}\n{verdict}");
        *broken = now;
        Ok(())
    }

    /// A record that the catalogue never committed.
    async fn phantom(&self) -> Result<()> {
        let topic = self.shop.world.topic(topics::PRODUCT_EVENTS);
        let admin = self.shop.world.admin().await?;
        let records = admin.read_all(&topic).await?;
        let listed = records.iter().find(|it| it.header("ce_type") == Some(ProductListed::NAME));
        let mut headers = listed.context("an article was listed")?.headers.clone();
        for (name, value) in &mut headers {
            if name == "ce_id" {
                *value = Some(Uuid::now_v7().to_string().into_bytes());
            }
        }
        let (key, payload) = (Some(b"cup".to_vec()), Some(b"?".to_vec()));
        admin.produce(&topic, RawRecord { partition: None, key, payload, headers }).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_run_is_clean_and_real_damage_is_named() -> Result<()> {
    let watched = Watched::open().await?;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let order = watched.place(number).await?;
        if number.is_multiple_of(7) {
            // Whether it comes in time is for the order to say.
            let cancelled = watched.shop.retailer.cancel(order, Some("second thoughts")).await;
            drop(cancelled);
        }
        orders.push(order);
    }
    let following = orders.iter().map(|order| watched.follow(*order));
    futures::future::try_join_all(following).await?;
    let verdict = watched.at_rest().await?;
    ensure!(verdict.vacuous() == ["I11", "I15"], "{verdict}");
    let mut broken = BTreeSet::new();
    for (service, id, damage) in DAMAGES {
        let mut db = watched.shop.world.database(service).await?;
        let done = sqlx::query(damage).execute(&mut db).await?;
        ensure!(done.rows_affected() > 0, "{damage} did nothing");
        watched.breaks(&mut broken, id).await?;
    }
    watched.phantom().await?;
    watched.breaks(&mut broken, "I3").await?;
    watched.shop.close().await
}
