//! The same facts give the same view, in whatever order they come and however often, and also
//! when they are forgotten and told again.

mod hostile;

use proptest::prelude::*;
use schemas::history::{Status, What};
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced,
    OrderRefused, OrderRejected, PaymentAccepted, PaymentRefunded, RefusalReason, SaleCancelled,
    SaleConfirmed, SaleId, ShortLine, Sku, StockReleased, StockReserved, StoreId, Timestamp,
};
use uuid::Uuid;

use super::*;

const ORDERS: &str = "retail.order.events.v1";
const STOCK: &str = "retail.stock.events.v1";
const PAYMENTS: &str = "retail.payment.events.v1";
const SALES: &str = "retail.sale.events.v1";

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn total() -> Money {
    Money::new(1990, "CAD".parse().unwrap())
}

fn customer_id() -> CustomerId {
    CustomerId::new("anna").unwrap()
}

fn store_id() -> StoreId {
    StoreId::new("north").unwrap()
}

fn lines() -> Vec<OrderLine> {
    vec![OrderLine { sku: Sku::new("apple").unwrap(), quantity: 1, unit_price: total() }]
}

fn fact(n: i64, topic: &str, what: impl Into<What>) -> Fact {
    Fact {
        id: Uuid::from_u128(n as u128),
        topic: topic.to_owned(),
        partition: 3,
        offset: n,
        producer: "somebody".to_owned(),
        version: 1,
        occurred_at: Timestamp::from_micros(n * 1000).unwrap(),
        what: what.into(),
    }
}

/// Placed, reserved, paid, sold, but cancelled before the sale was heard of, and all undone.
fn cancelled_order() -> Vec<Fact> {
    let (order_id, customer_id, store_id) = (order_id(), customer_id(), store_id());
    let (customer, store, total, lines) = (&customer_id, &store_id, total(), lines());
    let sale_id = SaleId::of(order_id);
    let amount = total;
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let placed = OrderPlaced { order_id, customer_id, store_id, lines: lines.clone(), total };
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let reserved = StockReserved { order_id, customer_id, store_id, lines: lines.clone(), total };
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let paid = PaymentAccepted { order_id, customer_id, store_id, lines, amount };
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let sold = SaleConfirmed { order_id, sale_id, customer_id, store_id, total };
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let (by, reason) = (CancelledBy::Customer, Some("changed my mind".to_owned()));
    let cancelled = OrderCancelled { order_id, customer_id, store_id, by, reason };
    let released = StockReleased { order_id, store_id: store.clone(), lines: vec![] };
    let (customer_id, store_id) = (customer.clone(), store.clone());
    let refunded = PaymentRefunded { order_id, customer_id, store_id, amount };
    let unsold = SaleCancelled { order_id, sale_id, store_id: store.clone(), total };
    vec![
        fact(1, ORDERS, placed),
        fact(2, STOCK, reserved),
        fact(3, PAYMENTS, paid),
        fact(4, ORDERS, cancelled),
        fact(5, SALES, sold),
        fact(6, STOCK, released),
        fact(7, PAYMENTS, refunded),
        fact(8, SALES, unsold),
    ]
}

fn folded(facts: impl IntoIterator<Item = Fact>) -> Orders {
    let mut orders = Orders::default();
    facts.into_iter().for_each(|fact| orders.fold(order_id(), fact));
    orders
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_give_the_same_view(
        shuffled in Just(cancelled_order()).prop_shuffle(),
        repeated in prop::collection::vec(prop::sample::select(cancelled_order()), 0..20),
    ) {
        let straight = folded(cancelled_order());
        let turned = folded(repeated.into_iter().chain(shuffled));
        prop_assert_eq!(turned.facts(order_id()), straight.facts(order_id()));
    }

    #[test]
    fn what_is_forgotten_and_told_again_is_as_before(
        topics in prop::collection::vec(
            prop::sample::select(vec![ORDERS, STOCK, PAYMENTS, SALES]), 1..8,
        ),
    ) {
        let before = folded(cancelled_order());
        let mut orders = folded(cancelled_order());
        for topic in topics {
            orders.forget(topic, 3);
            let left = orders.facts(order_id()).map_or(0, |facts| facts.iter().len());
            let told = cancelled_order().into_iter().filter(|fact| fact.topic == topic);
            prop_assert_eq!(left, 8 - told.clone().count());
            told.for_each(|fact| orders.fold(order_id(), fact));
        }
        prop_assert_eq!(orders.facts(order_id()), before.facts(order_id()));
    }

    #[test]
    fn a_status_never_goes_back_from_an_end(shuffled in Just(cancelled_order()).prop_shuffle()) {
        let mut orders = Orders::default();
        let mut ended = None;
        for fact in shuffled {
            orders.fold(order_id(), fact);
            let status = orders.facts(order_id()).unwrap().summary().status;
            prop_assert!(ended.is_none_or(|end| end == status));
            ended = ended.or(status.is_end().then_some(status));
        }
        prop_assert_eq!(ended, Some(Status::Cancelled));
    }
}

#[test]
fn a_summary_tells_what_the_facts_tell() {
    let orders = folded(cancelled_order());
    let summary = orders.facts(order_id()).unwrap().summary();
    assert_eq!(summary.status, Status::Cancelled);
    assert_eq!((summary.customer, summary.store), (Some(customer_id()), Some(store_id())));
    assert_eq!((summary.lines, summary.total), (lines(), Some(total())));
    assert_eq!(summary.placed_at, Timestamp::from_micros(1000));
    assert_eq!(summary.closed_at, Timestamp::from_micros(4000));
    assert_eq!(summary.updated_at, Timestamp::from_micros(8000).unwrap());
    assert_eq!(summary.reason.as_deref(), Some("changed my mind"));
}

#[test]
fn each_end_has_its_status() {
    let (order_id, customer_id, store_id) = (order_id(), customer_id(), store_id());
    let ids = || (customer_id.clone(), store_id.clone());
    let ends: Vec<(What, Status)> = vec![
        {
            let ((customer_id, store_id), sale_id) = (ids(), SaleId::of(order_id));
            let total = total();
            (
                OrderConfirmed { order_id, customer_id, store_id, sale_id, total }.into(),
                Status::Confirmed,
            )
        },
        {
            let ((customer_id, store_id), missing) = (ids(), vec![]);
            (OrderRejected { order_id, customer_id, store_id, missing }.into(), Status::Rejected)
        },
        {
            let ((customer_id, store_id), reason) = (ids(), RefusalReason::InsufficientFunds);
            (OrderRefused { order_id, customer_id, store_id, reason }.into(), Status::Refused)
        },
        {
            let ((customer_id, store_id), by) = (ids(), CancelledBy::Deadline);
            (
                OrderCancelled { order_id, customer_id, store_id, by, reason: None }.into(),
                Status::Expired,
            )
        },
    ];
    for (what, status) in ends {
        let facts = Facts::new(vec![fact(1, ORDERS, what)]).unwrap();
        assert_eq!(facts.summary().status, status);
    }
}

#[test]
fn a_fact_survives_its_stored_form() {
    for fact in cancelled_order() {
        let stored = serde_json::to_string(&fact).unwrap();
        assert_eq!(serde_json::from_str::<Fact>(&stored).unwrap(), fact);
    }
}

#[test]
fn an_order_of_which_all_is_forgotten_is_unknown() {
    let mut orders = folded(cancelled_order());
    for topic in [ORDERS, STOCK, PAYMENTS, SALES] {
        orders.forget(topic, 3);
    }
    assert_eq!(orders.facts(order_id()), None);
    assert_eq!(orders.changed().map(|(.., facts)| facts).collect::<Vec<_>>(), [None]);
}

#[test]
fn an_order_is_settled_when_it_has_ended_and_all_is_undone() {
    let all = cancelled_order();
    let settled = |facts: Vec<Fact>| Facts::new(facts).unwrap().summary().settled;
    assert!(settled(all.clone()));
    for missing in ["OrderCancelled", "StockReleased", "PaymentRefunded", "SaleCancelled"] {
        let rest = all.iter().filter(|fact| fact.what.name() != missing);
        assert!(!settled(rest.cloned().collect()), "without {missing}");
    }
    let undone_and_never_done = all.iter().filter(|fact| fact.what.name() != "StockReserved");
    assert!(settled(undone_and_never_done.cloned().collect()));
    let (order_id, customer_id, store_id) = (order_id(), customer_id(), store_id());
    let sale_id = SaleId::of(order_id);
    let end = OrderConfirmed { order_id, customer_id, store_id, sale_id, total: total() };
    assert!(settled(all[..3].iter().cloned().chain([fact(9, ORDERS, end)]).collect()));
}

/// Folds facts over what was said before, and says what is news.
fn told(facts: &[Fact], said: BTreeMap<OrderId, Said>) -> (Vec<OrderState>, Orders) {
    let mut orders = Orders::new(BTreeMap::new(), said);
    facts.iter().for_each(|fact| orders.fold(order_id(), fact.clone()));
    (orders.news(), orders)
}

fn said_by(orders: &Orders) -> BTreeMap<OrderId, Said> {
    orders.newly_said().map(|(order, said)| (order, said.clone())).collect()
}

#[test]
fn what_is_said_knows_everything_and_is_said_once() {
    let facts = cancelled_order();
    let (news, orders) = told(&facts, BTreeMap::new());
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].version, facts.len() as i64);
    assert_eq!(Status::of(news[0].status), Some(Status::Cancelled));
    assert!(told(&facts, said_by(&orders)).0.is_empty(), "the same again");
}

proptest! {
    /// However a view is folded again, and whatever is new meanwhile: what is said knows all that
    /// was said before.
    #[test]
    fn a_view_that_is_folded_again_never_says_less_than_it_has_said(
        order in Just(cancelled_order()).prop_shuffle(),
        again in Just(cancelled_order()).prop_shuffle(),
        first in 1_usize..8,
    ) {
        let (before, orders) = told(&order[..first], BTreeMap::new());
        let mut said = said_by(&orders);
        let mut last = before[0].version;
        for many in 1..=again.len() {
            let (news, orders) = told(&again[..many], said.clone());
            for state in &news {
                let of = |facts: &[Fact]| facts.iter().map(|fact| fact.id).collect::<Vec<_>>();
                prop_assert!(of(&order[..first]).iter().all(|id| of(&again[..many]).contains(id)));
                prop_assert!(state.version >= last);
                last = state.version;
            }
            said.extend(said_by(&orders));
        }
        prop_assert_eq!(last, again.len() as i64, "in the end everything is said");
    }
}

#[test]
fn an_erased_order_is_erased_once_and_never_folded_again() {
    let facts = cancelled_order();
    let (_, mut orders) = told(&facts, BTreeMap::new());
    assert!(orders.erase(order_id()));
    assert!(!orders.erase(order_id()));
    assert_eq!(orders.facts(order_id()), None);
    assert_eq!(said_by(&orders), BTreeMap::from([(order_id(), Said::Erased)]));
    let (news, orders) = told(&facts, said_by(&orders));
    assert!(news.is_empty() && orders.facts(order_id()).is_none());
}
