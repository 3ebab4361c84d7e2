//! A whole made-up run: orders that go every way there is.

use harness::check::{Act, Effect, Evidence, Step, sha256};
use serde_json::{Value, json};
use uuid::Uuid;

use super::sim::{Said, Sim, lines};

/// How an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Confirmed,
    /// The partner takes the money instead of the account.
    Partner,
    Rejected,
    Refused,
    /// Cancelled after everything was done but the end.
    Cancelled,
    /// Cancelled before anything else was done.
    Early,
    Expired,
}

pub(super) const WAYS: [Way; 7] = [
    Way::Confirmed,
    Way::Partner,
    Way::Rejected,
    Way::Refused,
    Way::Cancelled,
    Way::Early,
    Way::Expired,
];

const TOTAL: i64 = 3980;

/// What is known of a run with this many orders of each way in which nothing is wrong.
pub(super) fn clean(rounds: usize) -> Evidence {
    run(rounds).evidence
}

/// The same, for damage to be done to it.
pub(super) fn run(rounds: usize) -> Sim {
    let mut sim = Sim::new();
    article(&mut sim);
    sim.poison("retail.order.events.v1", "0bad0000-0000-7000-8000-000000000001");
    sim.poison("retail.order.events.v1", "0bad0000-0000-7000-8000-000000000002");
    let (mut held, mut spent) = (0, 0);
    for round in 0..rounds {
        for way in WAYS {
            let (goods, money) = order(&mut sim, way, round);
            (held, spent) = (held + goods, spent + money);
        }
    }
    unknown(&mut sim);
    let level = json!({ "store_id": "store-1", "sku": "mug", "on_hand": 1000, "reserved": held });
    sim.row("stock", "level", level);
    let account = json!({ "customer_id": "ann", "currency": "CAD", "balance": 1_000_000 - spent });
    sim.row("payments", "account", account);
    sim.rest();
    sim
}

fn article(sim: &mut Sim) {
    let price = json!({ "amount": 1990, "currency": "CAD" });
    let state = json!({ "sku": "mug", "name": "Mug", "price": price, "category": "kitchen",
        "withdrawn": false });
    let request = sim.request();
    sim.say("catalogue", "retail.product.ProductListed", "mug", state.clone(), &request);
    sim.say("catalogue", "retail.product.ProductState", "mug", state.clone(), &request);
    sim.say("catalogue", "retail.product.ProductState", "mug", state, &request);
    let row = json!({ "sku": "mug", "name": "Mug", "price": 1990, "currency": "CAD",
        "withdrawn": false });
    sim.row("catalogue", "product", row.clone());
    sim.row("orders", "product", row);
    let receipt = json!({ "cause": Uuid::from_u128(1), "store_id": "store-1", "sku": "mug",
        "kind": "receipt", "order_id": null, "on_hand": 1000, "reserved": 0 });
    sim.row("stock", "stock_ledger", receipt);
    for (account, amount) in [("customer:ann", 1_000_000), ("cash", -1_000_000)] {
        let entry = json!({ "cause": Uuid::from_u128(2), "account": account, "kind": "deposit",
            "order_id": null, "amount": amount });
        sim.row("payments", "money_ledger", entry);
    }
}

/// A request that was refused, and one of which nobody knows whether it arrived. It did not.
fn unknown(sim: &mut Sim) {
    for (key, end) in [
        ("key-refused", Step::Fail { why: "422 empty_order".to_owned() }),
        ("key-unknown", Step::Info { why: "connection reset".to_owned() }),
    ] {
        let op = invoke(sim, key);
        sim.note(Some(op), end);
    }
}

fn invoke(sim: &mut Sim, key: &str) -> u64 {
    let (client, key) = ("ann".to_owned(), Some(key.to_owned()));
    let act = Act::Place;
    sim.note(None, Step::Invoke { client, act, key, subject: None, token: None })
}

/// One order from its request to its end; the pieces it holds and the money it took.
fn order(sim: &mut Sim, way: Way, round: usize) -> (i64, i64) {
    let order = sim.uuid().to_string();
    let key = format!("key-{order}");
    let body = json!({ "order_id": order, "status": "placed" });
    // The first answer is lost and the client asks again.
    let lost = invoke(sim, &key);
    sim.note(Some(lost), Step::Info { why: "timed out".to_owned() });
    sim.row("orders", "idempotency", json!({ "key": key, "status": 202, "body": body }));
    let about = json!({ "order_id": order, "customer_id": "ann", "store_id": "store-1",
        "lines": lines(), "total": { "amount": TOTAL, "currency": "CAD" } });
    let request = sim.request();
    let placed = sim.say("orders", "retail.order.OrderPlaced", &order, about.clone(), &request);
    let op = invoke(sim, &key);
    let (subject, answer) = (Some(order.clone()), sha256(body.to_string().as_bytes()));
    sim.note(Some(op), Step::Ok { subject, answer, seen: None });
    sim.look("ann", &order, "placed", 1);
    let mut story = Story { sim, order: order.clone(), about, held: 0, spent: 0 };
    let (status, steps) = story.goes(way, &placed, &request);
    let (held, spent) = (story.held, story.spent);
    let facts = sim.evidence.topics.iter().flat_map(|log| &log.records);
    let mut known: Vec<_> = facts
        .filter(|record| record.key_text() == order && record.header("dlq_id").is_none())
        .map(|record| record.header("ce_id").map(str::to_owned))
        .collect();
    known.sort();
    known.dedup();
    let version = known.len() as u64;
    sim.look("ann", &order, status, version);
    let [stock, payment, sale] = steps;
    sim.row(
        "orders",
        "orders",
        json!({ "order_id": order, "status": status, "stock": stock,
        "payment": payment, "sale": sale }),
    );
    sim.row(
        "order-view",
        "order_view",
        json!({ "order_id": order, "status": status,
        "customer_id": "ann", "store_id": "store-1", "total": TOTAL, "version": version }),
    );
    if way == Way::Confirmed && round == 0 {
        redriven(sim, &placed);
    }
    (held, spent)
}

/// The fact was dead for stock for a while, and what followed it was parked behind it.
fn redriven(sim: &mut Sim, placed: &Said) {
    let topic = "retail.order.events.v1";
    let is = |text: Option<&str>| text == Some(&placed.id.to_string());
    let record = sim.log(topic).records.iter().find(|record| is(record.header("ce_id")));
    let record = record.expect("it was said").clone();
    let poison = harness::check::Poison {
        topic: topic.to_owned(),
        partition: record.partition,
        offset: record.offset,
        key: record.key.as_deref().map(sha256),
        value: record.payload.as_deref().map(sha256),
        headers: harness::check::digest_of_headers(&record.headers),
        refused_by: Some(vec!["stock".to_owned()]),
        of_datum: true,
    };
    sim.evidence.poisons.push(poison);
    sim.bury("stock", topic, &record, placed.id, "poison");
}

struct Story<'a> {
    sim: &'a mut Sim,
    order: String,
    about: Value,
    held: i64,
    spent: i64,
}

impl Story<'_> {
    /// The status in the end, and what orders knows of stock, payment and sale.
    fn goes(
        &mut self,
        way: Way,
        placed: &Said,
        request: &Said,
    ) -> (&'static str, [&'static str; 3]) {
        match way {
            Way::Rejected => {
                let missing = json!([{ "sku": "mug", "wanted": 2, "available": 0 }]);
                let data = self.with(json!({ "missing": missing }));
                let short =
                    self.say("stock", "retail.stock.StockUnavailable", data.clone(), placed);
                self.say("orders", "retail.order.OrderRejected", data, &short);
                self.reservation("unavailable");
                ("rejected", ["failed", "pending", "pending"])
            }
            Way::Early => {
                let cancelled = self.cancel("CUSTOMER");
                self.reservation("tombstone");
                self.sale("tombstone", &cancelled);
                // The reservation comes too late and finds the tombstone.
                ("cancelled", ["pending", "pending", "pending"])
            }
            Way::Expired => {
                let reserved = self.reserve(placed);
                let cancelled = self.cancel("DEADLINE");
                let _ = reserved;
                self.release(&cancelled);
                ("expired", ["undone", "pending", "pending"])
            }
            Way::Refused => {
                let reserved = self.reserve(placed);
                let data = self.with(json!({ "reason": "INSUFFICIENT_FUNDS" }));
                let refused =
                    self.say("payments", "retail.payment.PaymentRefused", data.clone(), &reserved);
                self.say("orders", "retail.order.OrderRefused", data, &refused);
                self.release(&refused);
                ("refused", ["undone", "failed", "pending"])
            }
            Way::Confirmed | Way::Partner => {
                let sold = self.sell(placed, way == Way::Partner);
                self.say("orders", "retail.order.OrderConfirmed", self.about.clone(), &sold);
                self.sale("confirmed", &sold);
                ("confirmed", ["done", "done", "done"])
            }
            Way::Cancelled => {
                self.sell(placed, false);
                let cancelled = self.cancel("CUSTOMER");
                self.release(&cancelled);
                self.move_money("refund", &cancelled);
                let data = self.with(json!({ "amount": self.about["total"] }));
                self.say("payments", "retail.payment.PaymentRefunded", data, &cancelled);
                self.say("sales", "retail.sale.SaleCancelled", self.about.clone(), &cancelled);
                self.sale("cancelled", &cancelled);
                let _ = request;
                ("cancelled", ["undone", "undone", "undone"])
            }
        }
    }

    fn with(&self, more: Value) -> Value {
        let mut data = self.about.clone();
        if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
            data.extend(more.clone());
        }
        data
    }

    fn say(&mut self, by: &str, name: &str, data: Value, to: &Said) -> Said {
        self.sim.say(by, name, &self.order, data, to)
    }

    fn cancel(&mut self, by: &str) -> Said {
        let request = self.sim.request();
        let data = self.with(json!({ "by": by }));
        self.say("orders", "retail.order.OrderCancelled", data, &request)
    }

    fn sell(&mut self, placed: &Said, partner: bool) -> Said {
        let reserved = self.reserve(placed);
        self.reservation("reserved");
        if partner {
            self.ask_partner(&reserved);
        } else {
            self.move_money("charge", &reserved);
        }
        let data = self.with(json!({ "amount": self.about["total"] }));
        let paid = self.say("payments", "retail.payment.PaymentAccepted", data, &reserved);
        self.say("sales", "retail.sale.SaleConfirmed", self.about.clone(), &paid)
    }

    fn reserve(&mut self, placed: &Said) -> Said {
        self.move_goods("reserve", 2, placed);
        self.say("stock", "retail.stock.StockReserved", self.about.clone(), placed)
    }

    fn release(&mut self, because: &Said) {
        self.move_goods("release", -2, because);
        self.say("stock", "retail.stock.StockReleased", self.about.clone(), because);
        self.reservation("released");
    }

    fn reservation(&mut self, state: &str) {
        let order = self.order.clone();
        let rows = self.sim.books("stock").ledgers.entry("reservation".to_owned()).or_default();
        rows.retain(|row| row["order_id"] != order.as_str());
        rows.push(json!({ "order_id": order, "state": state }));
    }

    fn sale(&mut self, state: &str, _because: &Said) {
        let total = (state != "tombstone").then_some(TOTAL);
        let row = json!({ "order_id": self.order, "state": state, "total": total });
        self.sim.row("sales", "sale", row);
    }

    fn move_goods(&mut self, kind: &str, pieces: i64, because: &Said) {
        self.held += pieces;
        self.effect("stock", because.id, format!("{kind} store-1/mug"));
        let row = json!({ "cause": because.id, "store_id": "store-1", "sku": "mug", "kind": kind,
            "order_id": self.order, "on_hand": 0, "reserved": pieces });
        self.sim.row("stock", "stock_ledger", row);
    }

    fn move_money(&mut self, kind: &str, because: &Said) {
        let sign = if kind == "charge" { -1 } else { 1 };
        self.spent -= sign * TOTAL;
        for (account, amount) in [("customer:ann", sign * TOTAL), ("shop", -sign * TOTAL)] {
            self.effect("payments", because.id, format!("{kind} {account}"));
            let row = json!({ "cause": because.id, "account": account, "kind": kind,
                "order_id": self.order, "amount": amount });
            self.sim.row("payments", "money_ledger", row);
        }
    }

    /// The partner took it, and the books say so.
    fn ask_partner(&mut self, because: &Said) {
        self.sim.partner(&self.order, "charge", TOTAL);
        for (account, amount) in [("provider", -TOTAL), ("shop", TOTAL)] {
            self.effect("payments", because.id, format!("charge {account}"));
            let row = json!({ "cause": because.id, "account": account, "kind": "charge",
                "order_id": self.order, "amount": amount });
            self.sim.row("payments", "money_ledger", row);
        }
    }

    fn effect(&mut self, service: &str, cause: Uuid, target: String) {
        self.sim.books(service).effects.push(Effect { cause, target });
    }
}
