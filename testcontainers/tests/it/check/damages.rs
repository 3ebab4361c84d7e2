//! What can be wrong with a run, one line each: what it is called, which invariants it breaks (the
//! one it is meant for first), and how it is done.

use harness::check::{Act, Effect, Logged, Step, sha256};
use serde_json::{Value, json};
use uuid::Uuid;

use super::sim::Sim;

/// One kind of damage.
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) breaks: &'static [&'static str],
    pub(super) done: fn(&mut Sim),
}

const fn damage(what: &'static str, breaks: &'static [&'static str], done: fn(&mut Sim)) -> Damage {
    Damage { what, breaks, done }
}

const ORDERS: &str = "retail.order.events.v1";
const PLACED: &str = "retail.order.OrderPlaced";
const CONFIRMED: &str = "retail.order.OrderConfirmed";
const CANCELLED: &str = "retail.order.OrderCancelled";
const RESERVED: &str = "retail.stock.StockReserved";
const RELEASED: &str = "retail.stock.StockReleased";
const ACCEPTED: &str = "retail.payment.PaymentAccepted";
const SOLD: &str = "retail.sale.SaleConfirmed";
const LISTED: &str = "retail.product.ProductListed";
const LETTERS: &str = "retail.stock.dlq.v1";

pub(super) const DAMAGES: &[Damage] = &[
    // I1
    damage("an order that nobody asked for", &["I1"], |sim| {
        let order = sim.last("confirmed");
        forget(sim, &order);
    }),
    damage("a refused request that left an order", &["I1"], |sim| {
        let order = sim.last("confirmed");
        for entry in &mut sim.evidence.history {
            if let Step::Ok { subject, seen: None, .. } = &entry.step
                && subject.as_deref() == Some(&order)
            {
                entry.step = Step::Fail { why: "500".to_owned() };
            }
        }
        let key = format!("key-{order}");
        let ops: Vec<u64> = sim.evidence.history.iter().filter(|entry| {
            matches!(&entry.step, Step::Invoke { key: Some(found), .. } if *found == key)
        }).map(|entry| entry.op).collect();
        for entry in sim.evidence.history.iter_mut().filter(|entry| ops.contains(&entry.op)) {
            if let Step::Info { .. } = entry.step {
                entry.step = Step::Fail { why: "500".to_owned() };
            }
        }
    }),
    damage("an accepted order that is in no topic", &["I1"], |sim| {
        let order = sim.uuid().to_string();
        answered(sim, "key-lost", &order, "an answer");
        let body = json!({ "order_id": order });
        sim.row("orders", "idempotency", json!({ "key": "key-lost", "body": body }));
    }),
    damage("an order with two ends", &["I1"], |sim| {
        let order = sim.last("confirmed");
        say(sim, "orders", CANCELLED, &order, json!({ "by": "CUSTOMER" }));
        viewed(sim, &order, 1);
    }),
    damage("an order without an end", &["I1", "I7", "I8", "I9", "I10"], |sim| {
        let order = sim.last("confirmed");
        sim.unsay(CONFIRMED, &order);
    }),
    // I2
    damage("a committed fact that is in no topic", &["I2"], |sim| {
        sim.log("retail.product.events.v1").records.clear();
    }),
    damage("a row of the outbox that was never sent", &["I2"], |sim| {
        say(sim, "catalogue", LISTED, "cup", json!({}));
        let log = sim.log("retail.product.events.v1");
        log.records.retain(|record| record.key_text() != "cup");
    }),
    damage("an inbox without a fact that its topic has", &["I2", "I12"], |sim| {
        sim.books("sales").inbox.pop();
    }),
    damage("a parked record whose row is gone", &["I2", "I12"], |sim| {
        let row = sim.books("sales").inbox.last_mut().expect("a row");
        row.outcome = "parked".to_owned();
    }),
    damage("a view that has not folded a partition", &["I2"], |sim| {
        let books = sim.books("order-view");
        let at = books.positions.iter_mut().find(|at| at.next_offset > 0);
        let at = at.expect("a partition with records");
        at.next_offset = 0;
        let place = (at.topic.clone(), at.partition);
        let committed = books.committed.iter_mut();
        committed
            .filter(|at| (at.topic.clone(), at.partition) == place)
            .for_each(|at| at.offset = None);
    }),
    // I3
    damage("a record that nobody committed", &["I3"], |sim| {
        say(sim, "catalogue", LISTED, "cup", json!({}));
        sim.books("catalogue").outbox.pop();
    }),
    damage("a record with another payload than was committed", &["I3"], |sim| {
        row_of(sim, "catalogue", LISTED).payload = Some(vec![1]);
    }),
    damage("a record with another key than was committed", &["I3"], |sim| {
        row_of(sim, "catalogue", LISTED).key = "cup".to_owned();
    }),
    damage("a record of another type than was committed", &["I3"], |sim| {
        row_of(sim, "catalogue", LISTED).name = "retail.product.ProductWithdrawn".to_owned();
    }),
    // I4
    damage("two versions that are swapped", &["I4"], |sim| {
        let order = sim.last("confirmed");
        sim.alter(PLACED, &order, |record| header(record, "ce_sequence", "2"));
        sim.alter(CONFIRMED, &order, |record| header(record, "ce_sequence", "1"));
    }),
    damage("a version that is missing", &["I4"], |sim| {
        let order = sim.last("confirmed");
        sim.alter(CONFIRMED, &order, |record| header(record, "ce_sequence", "3"));
    }),
    damage("two records of a key that changed places in the log", &["I4"], |sim| {
        let order = sim.last("confirmed");
        let records = &mut sim.log(ORDERS).records;
        let at = |name| move |record: &Logged| is(record, name);
        let ours = |record: &&mut Logged| record.key_text() == order;
        let mut ours: Vec<&mut Logged> = records.iter_mut().filter(ours).collect();
        let first = ours.iter().position(|record| at(PLACED)(record)).expect("placed");
        let second = ours.iter().position(|record| at(CONFIRMED)(record)).expect("confirmed");
        let (left, right) = ours.split_at_mut(second);
        std::mem::swap(left[first], right[0]);
        std::mem::swap(&mut left[first].offset, &mut right[0].offset);
        sim.log(ORDERS).records.sort_by_key(|record| (record.partition, record.offset));
    }),
    damage("followers that were handled first", &["I4"], |sim| {
        let order = sim.last("cancelled");
        let order = if has(sim, RELEASED, &order) { order } else { sim.last("expired") };
        let rows = sim.books("stock").outbox.iter_mut().filter(|row| row.key == order);
        let mut rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 2, "reserved and released");
        let (left, right) = rows.split_at_mut(1);
        std::mem::swap(&mut left[0].id, &mut right[0].id);
    }),
    damage("a key whose facts were worked on out of order", &["I4"], |sim| {
        let order = sim.last("confirmed");
        let ids = [PLACED, CONFIRMED].map(|name| id_of(sim, name, &order));
        let is = |span: &harness::SpanRecord, id: &str| {
            span.attributes.get("messaging.message.id").is_some_and(|found| found == id)
                && span.service == "order-view"
        };
        for span in &mut sim.evidence.spans {
            if is(span, &ids[1]) {
                span.start = 1;
            }
        }
    }),
    damage("a guard that has forgotten a version", &["I4"], |sim| {
        sim.books("payments").last_versions.pop();
    }),
    damage("a fact that was taken in behind what follows it", &["I4"], |sim| {
        let order = sim.last("cancelled");
        let id = Uuid::parse_str(&id_of(sim, PLACED, &order)).expect("an id");
        let row = sim.books("stock").inbox.iter_mut().find(|row| row.event_id == id);
        row.expect("stock reads it").offset = 1_000_000;
    }),
    // I5
    damage("a record in a partition that its key does not belong to", &["I5"], |sim| {
        sim.log("retail.product.events.v1").records[0].partition ^= 1;
    }),
    damage("a dead letter in another partition", &["I5"], |sim| {
        sim.log(LETTERS).records[0].partition ^= 1;
    }),
    damage("an order that lies in two partitions", &["I5"], |sim| {
        let order = sim.last("confirmed");
        let record = sim.log(ORDERS).records.iter_mut();
        let record =
            record.rev().find(|record| record.key_text() == order && is(record, CONFIRMED));
        let record = record.expect("confirmed");
        record.partition ^= 1;
        record.offset = 1_000_000;
        let partition = record.partition;
        sim.log(ORDERS).ends[partition as usize].1 = 1_000_001;
        sim.log(ORDERS).records.sort_by_key(|record| (record.partition, record.offset));
        sim.rest();
    }),
    // I6
    damage("a repetition with another body", &["I6", "I3"], |sim| {
        let mut record = sim.log("retail.product.events.v1").records[0].clone();
        record.payload = Some(vec![1, 2, 3]);
        sim.append("retail.product.events.v1", record);
    }),
    damage("two inbox rows of one fact", &["I6"], |sim| {
        let row = sim.books("sales").inbox[0].clone();
        sim.books("sales").inbox.push(row);
    }),
    damage("an inbox row of another body", &["I6"], |sim| {
        sim.books("sales").inbox[0].digest = Some(1);
    }),
    damage("an inbox row of a fact that is in no topic", &["I6"], |sim| {
        let mut row = sim.books("sales").inbox[0].clone();
        row.event_id = Uuid::from_u128(99);
        sim.books("sales").inbox.push(row);
    }),
    damage("a record that was handled and stays a dead letter", &["I6"], |sim| {
        let row = sim.books("stock").parked.iter_mut().find(|row| row.status == "redriven");
        row.expect("one was redriven").status = "dead".to_owned();
    }),
    damage("a copy that was worked on", &["I6"], |sim| {
        let ours = |span: &&harness::SpanRecord| span.service == "sales" && span.kind == "consumer";
        let mut again = sim.evidence.spans.iter().find(ours).expect("sales works").clone();
        again.span_id = "c0".repeat(8);
        again.attributes.insert("messaging.kafka.offset".to_owned(), "1000000".to_owned());
        sim.evidence.spans.push(again);
    }),
    damage("an effect that happened twice", &["I6"], |sim| {
        let effect = sim.books("stock").effects[0].clone();
        sim.books("stock").effects.push(effect);
    }),
    damage("an effect of a fact that was never handled", &["I6"], |sim| {
        let cause = sim.books("orders").inbox[0].event_id;
        let target = "reserve store-1/mug".to_owned();
        sim.books("sales").effects.push(Effect { cause, target });
    }),
    damage("a fact that was announced twice for one cause", &["I6", "I9"], |sim| {
        let order = sim.last("confirmed");
        let cause = row_for(sim, "sales", SOLD, &order).causation_id;
        say(sim, "sales", SOLD, &order, json!({}));
        sim.books("sales").outbox.last_mut().expect("said").causation_id = cause;
        let cause = cause.expect("it has one").to_string();
        sim.alter(SOLD, &order, |record| {
            if record.header("ce_causationid").is_none() {
                let value = Some(cause.clone().into_bytes());
                record.headers.push(("ce_causationid".to_owned(), value));
            }
        });
        same_trace(sim, SOLD, &order);
        viewed(sim, &order, 1);
    }),
    // I7
    damage("a level that is off by one", &["I7"], |sim| {
        add(sim.find("stock", "level", &["mug"]), "reserved", 1);
    }),
    damage("a compensation that is not exact", &["I7"], |sim| {
        add(sim.find("stock", "stock_ledger", &["release"]), "reserved", 1);
        add(sim.find("stock", "level", &["mug"]), "reserved", 1);
    }),
    damage("a release that is not in the ledger", &["I7"], |sim| {
        let rows = sim.books("stock").ledgers.get_mut("stock_ledger").expect("a ledger");
        let at = rows.iter().position(|row| row["kind"] == "release").expect("a release");
        rows.remove(at);
        add(sim.find("stock", "level", &["mug"]), "reserved", 2);
    }),
    damage("goods that are promised twice", &["I7"], |sim| {
        sim.find("stock", "level", &["mug"])["on_hand"] = 1.into();
        sim.find("stock", "stock_ledger", &["receipt"])["on_hand"] = 1.into();
    }),
    damage("a reservation that outlives its order", &["I7"], |sim| {
        let order = sim.last("refused");
        sim.find("stock", "reservation", &[&order])["state"] = "reserved".into();
    }),
    // I8
    damage("an order that was charged twice", &["I8"], |sim| {
        let order = sim.last("confirmed");
        let again: Vec<Value> = charges(sim, &order, "charge");
        for mut entry in again {
            entry["cause"] = json!(Uuid::from_u128(77));
            sim.row("payments", "money_ledger", entry);
        }
        add(sim.find("payments", "account", &["ann"]), "balance", -3980);
    }),
    damage("half a refund", &["I8"], |sim| {
        for account in ["customer:ann", "shop"] {
            let entry = sim.find("payments", "money_ledger", &["refund", account]);
            let half = entry["amount"].as_i64().expect("an amount") / 2;
            entry["amount"] = half.into();
        }
        add(sim.find("payments", "account", &["ann"]), "balance", -1990);
    }),
    damage("a charge in the books that the partner never made", &["I8"], |sim| {
        let order = sim.evidence.partner[0].subject.clone();
        sim.evidence.partner.retain(|call| call.subject != order);
    }),
    damage("a movement whose sides do not balance", &["I8"], |sim| {
        add(sim.find("payments", "money_ledger", &["shop", "charge"]), "amount", 1);
    }),
    damage("a balance that is not its ledger's", &["I8"], |sim| {
        add(sim.find("payments", "account", &["ann"]), "balance", 1);
    }),
    damage("a sale that outlives its order", &["I8"], |sim| {
        let rows = sim.books("sales").ledgers.get_mut("sale").expect("sales");
        let row = rows.iter_mut().find(|row| row["state"] == "cancelled").expect("cancelled");
        row["state"] = "confirmed".into();
    }),
    damage("a partner who gave back what was kept", &["I8"], |sim| {
        let order = sim.evidence.partner[0].subject.clone();
        sim.partner(&order, "refund", 3980);
    }),
    // I9
    damage("a charge because of the wrong fact", &["I9"], |sim| {
        let order = sim.last("confirmed");
        let placed = id_of(sim, PLACED, &order);
        sim.alter(ACCEPTED, &order, |record| header(record, "ce_causationid", &placed));
    }),
    damage("a charge out of nothing", &["I9"], |sim| {
        let order = sim.last("confirmed");
        sim.alter(ACCEPTED, &order, |record| {
            record.headers.retain(|(name, _)| name != "ce_causationid");
        });
    }),
    damage("a sale that was recorded and never taken back", &["I9"], |sim| {
        let order = sim.last("cancelled");
        let order = if has(sim, SOLD, &order) { order } else { refunded(sim) };
        sim.unsay("retail.sale.SaleCancelled", &order);
        viewed(sim, &order, -1);
        sim.find("orders", "orders", &[&order])["sale"] = "done".into();
    }),
    damage("goods that were given back though the order kept them", &["I9", "I7"], |sim| {
        let order = sim.last("confirmed");
        let placed = row_for(sim, "stock", RESERVED, &order).causation_id;
        say(sim, "stock", RELEASED, &order, json!({ "lines": super::sim::lines() }));
        let placed = placed.expect("it has one").to_string();
        sim.alter(RELEASED, &order, |record| {
            let value = Some(placed.clone().into_bytes());
            record.headers.push(("ce_causationid".to_owned(), value));
        });
        same_trace(sim, RELEASED, &order);
        viewed(sim, &order, 1);
        sim.find("orders", "orders", &[&order])["stock"] = "undone".into();
    }),
    damage("an order that was accepted and refused", &["I9"], |sim| {
        let order = sim.last("confirmed");
        let cause = id_of(sim, RESERVED, &order);
        say(sim, "payments", "retail.payment.PaymentRefused", &order, json!({}));
        sim.alter("retail.payment.PaymentRefused", &order, |record| {
            let value = Some(cause.clone().into_bytes());
            record.headers.push(("ce_causationid".to_owned(), value));
        });
        same_trace(sim, "retail.payment.PaymentRefused", &order);
        viewed(sim, &order, 1);
        sim.find("orders", "orders", &[&order])["payment"] = "failed".into();
    }),
    // I10
    damage("a view that shows another status", &["I10"], |sim| {
        let order = sim.last("confirmed");
        sim.find("order-view", "order_view", &[&order])["status"] = "paid".into();
    }),
    damage("a view that folded a fact twice", &["I10"], |sim| {
        let order = sim.last("confirmed");
        viewed(sim, &order, 1);
    }),
    damage("a view that lost an order", &["I10"], |sim| {
        sim.books("order-view").ledgers.get_mut("order_view").expect("rows").pop();
    }),
    damage("a view of an order that never was", &["I10"], |sim| {
        let mut row = sim.find("order-view", "order_view", &[]).clone();
        row["order_id"] = json!(Uuid::from_u128(5));
        sim.row("order-view", "order_view", row);
    }),
    damage("a copy of the catalogue with an old price", &["I10"], |sim| {
        sim.find("orders", "product", &["mug"])["price"] = 1.into();
    }),
    damage("an order that does not know of its payment", &["I10"], |sim| {
        let order = sim.last("confirmed");
        sim.find("orders", "orders", &[&order])["payment"] = "pending".into();
    }),
    // I11
    damage("a bad record without a dead letter", &["I11"], |sim| {
        let key = sim.log(LETTERS).records.remove(0).key_text().to_owned();
        sim.books("stock").outbox.retain(|row| row.topic != LETTERS || row.key != key);
    }),
    damage("a dead letter without its bytes", &["I11"], |sim| {
        sim.log(LETTERS).records[0].payload = Some(vec![7, 7]);
    }),
    damage("a dead letter without its key", &["I11"], |sim| {
        sim.log(LETTERS).records[0].key = None;
    }),
    damage("a dead letter without an original header", &["I11"], |sim| {
        sim.log(LETTERS).records[0].headers.retain(|(name, _)| name != "ce_type");
    }),
    damage("a dead letter without a header of ours", &["I11"], |sim| {
        let headers = &mut sim.log(LETTERS).records[0].headers;
        headers.retain(|(name, _)| name != "dlq_fingerprint");
    }),
    damage("a dead letter of another group", &["I11"], |sim| {
        header(&mut sim.log(LETTERS).records[0], "dlq_original_group", "retail.sales");
    }),
    damage("a dead letter with another time", &["I11"], |sim| {
        sim.log(LETTERS).records[0].timestamp_ms = Some(1);
    }),
    damage("a second dead letter of one death", &["I11"], |sim| {
        let mut letter = sim.log(LETTERS).records[0].clone();
        header(&mut letter, "dlq_fingerprint", "00000000");
        sim.append(LETTERS, letter);
    }),
    damage("a dead letter of a good record", &["I11"], |sim| {
        let record = sim.log(ORDERS).records.iter().rev().find(|record| is(record, PLACED));
        let record = record.expect("placed").clone();
        let id = record.header("ce_id").expect("an id").parse().expect("a UUID");
        sim.bury("stock", ORDERS, &record, id, "exhausted");
    }),
    // I12
    damage("an offset beyond the end of its partition", &["I12"], |sim| {
        let at = &mut sim.books("sales").committed[0];
        at.offset = at.offset.map(|offset| offset + 1);
    }),
    damage("an offset before the beginning of its partition", &["I12"], |sim| {
        let at = sim.books("sales").committed[0].clone();
        let end = &mut sim.log(&at.topic).ends[at.partition as usize];
        *end = (end.1 + 5, end.1 + 9);
    }),
    damage("an offset beyond what a view has folded", &["I12"], |sim| {
        for log in &mut sim.evidence.topics {
            log.ends.iter_mut().for_each(|end| end.1 += 1);
        }
        let committed = &mut sim.books("order-view").committed;
        committed.iter_mut().for_each(|at| at.offset = at.offset.map(|offset| offset + 1));
    }),
    damage("an offset beyond what the inbox holds", &["I12", "I2"], |sim| {
        let books = sim.books("payments");
        let at = books.inbox.iter().position(|row| row.topic == ORDERS && row.outcome == "handled");
        books.inbox.remove(at.expect("a cancellation"));
        let causes: Vec<Uuid> = books.inbox.iter().map(|row| row.event_id).collect();
        books.effects.retain(|effect| causes.contains(&effect.cause));
    }),
    // I13
    damage("a status that goes back", &["I13"], |sim| {
        let order = sim.last("confirmed");
        sim.look("ann", &order, "paid", 5);
    }),
    damage("a version that goes back", &["I13"], |sim| {
        let order = sim.last("confirmed");
        sim.look("ann", &order, "confirmed", 4);
    }),
    damage("an end that becomes another", &["I13"], |sim| {
        let order = sim.last("confirmed");
        sim.look("ann", &order, "cancelled", 6);
    }),
    damage("an answer older than what was asked for", &["I13"], |sim| {
        let order = sim.last("confirmed");
        sim.look("bob", &order, "confirmed", 5);
        let invoked = sim.evidence.history.iter_mut().rev().nth(1).expect("an invocation");
        if let Step::Invoke { token, .. } = &mut invoked.step {
            *token = Some(9);
        }
    }),
    // I14
    damage("one key with two answers", &["I14"], |sim| {
        let order = sim.last("confirmed");
        answered(sim, &format!("key-{order}"), &order, "another answer");
    }),
    damage("one key with two orders", &["I14"], |sim| {
        let (order, other) = (sim.last("confirmed"), sim.last("rejected"));
        answered(sim, &format!("key-{order}"), &other, "another answer");
    }),
    damage("an answer that was not kept", &["I14"], |sim| {
        sim.books("orders").ledgers.get_mut("idempotency").expect("answers").pop();
    }),
    damage("a key under which two answers are kept", &["I14"], |sim| {
        let row = sim.find("orders", "idempotency", &[]).clone();
        sim.row("orders", "idempotency", row);
    }),
    damage("an order that was made under two keys", &["I14"], |sim| {
        let mut row = sim.find("orders", "idempotency", &[]).clone();
        row["key"] = "key-other".into();
        sim.row("orders", "idempotency", row);
    }),
    // I15
    damage("a partner who charged twice", &["I15", "I8"], |sim| {
        sim.evidence.partner[1].effective = true;
    }),
    damage("a partner who was asked under a new key each time", &["I15"], |sim| {
        sim.evidence.partner[1].key = "another".to_owned();
    }),
    damage("a partner who gave back twice", &["I15", "I8"], |sim| {
        let order = sim.evidence.partner[0].subject.clone();
        sim.partner(&order, "refund", 3980);
        sim.partner(&order, "refund", 3980);
    }),
    // I16
    damage("a fact without a trace", &["I16"], |sim| {
        let order = sim.last("confirmed");
        sim.alter(SOLD, &order, |record| record.headers.retain(|(name, _)| name != "traceparent"));
    }),
    damage("a fact in another trace than its cause", &["I16"], |sim| {
        let order = sim.last("confirmed");
        let other = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
        sim.alter(SOLD, &order, |record| header(record, "traceparent", other));
    }),
    damage("a span whose parent nobody exported", &["I16"], |sim| {
        sim.evidence
            .spans
            .iter_mut()
            .rev()
            .find(|span| span.parent.is_some())
            .expect("a span")
            .parent = Some("ffffffffffffffff".to_owned());
    }),
    damage("a span that lost its parent", &["I16"], |sim| {
        let span = sim.evidence.spans.iter_mut().rev().find(|span| span.parent.is_some());
        span.expect("a span").parent = None;
    }),
    damage("a fact that lost its flow", &["I16"], |sim| {
        let order = sim.last("confirmed");
        sim.alter(SOLD, &order, |record| header(record, "ce_correlationid", "another"));
    }),
    damage("a fact whose cause is in no topic", &["I16"], |sim| {
        let order = sim.last("confirmed");
        let nobody = Uuid::from_u128(3).to_string();
        sim.alter(SOLD, &order, |record| header(record, "ce_causationid", &nobody));
    }),
];

fn is(record: &Logged, name: &str) -> bool {
    record.header("ce_type") == Some(name)
}

fn has(sim: &mut Sim, name: &str, key: &str) -> bool {
    let records = sim.evidence.topics.iter().flat_map(|log| &log.records);
    records.into_iter().any(|record| is(record, name) && record.key_text() == key)
}

fn id_of(sim: &Sim, name: &str, key: &str) -> String {
    let mut records = sim.evidence.topics.iter().flat_map(|log| &log.records);
    let record = records.find(|record| is(record, name) && record.key_text() == key);
    record.and_then(|record| record.header("ce_id")).expect("it was said").to_owned()
}

fn header(record: &mut Logged, name: &str, value: &str) {
    let found = record.headers.iter_mut().find(|(known, _)| known == name);
    found.expect("a header").1 = Some(value.as_bytes().to_vec());
}

fn add(row: &mut Value, field: &str, more: i64) {
    row[field] = (row[field].as_i64().expect("a number") + more).into();
}

/// A fact out of nothing, taken in by everybody who reads it.
fn say(sim: &mut Sim, by: &str, name: &str, key: &str, data: Value) {
    let request = sim.request();
    sim.say(by, name, key, data, &request);
    sim.rest();
}

/// Puts the last record of a fact, which came out of nothing, into the trace of the order.
fn same_trace(sim: &mut Sim, name: &str, key: &str) {
    let mut records = sim.evidence.topics.iter().flat_map(|log| &log.records);
    let placed = records.find(|record| is(record, PLACED) && record.key_text() == key);
    let parent =
        placed.and_then(|record| record.header("traceparent")).expect("a trace").to_owned();
    let parts: Vec<&str> = parent.split('-').collect();
    let rows = sim.evidence.services.iter().flat_map(|books| &books.outbox);
    let row = rows.filter(|row| row.name == name && row.key == key).max_by_key(|row| row.version);
    let id = row.expect("it was said").event_id.to_string();
    let is_own =
        |span: &harness::SpanRecord| span.attributes.get("messaging.message.id") == Some(&id);
    let own = sim.evidence.spans.iter().find(|span| is_own(span)).expect("a span").clone();
    let (trace, old) = (parts[1].to_owned(), own.trace_id);
    for span in sim.evidence.spans.iter_mut().filter(|span| span.trace_id == old) {
        span.trace_id = trace.clone();
        if span.parent.is_none() {
            span.parent = Some(parts[2].to_owned());
        }
    }
    let own = format!("00-{trace}-{}-01", own.span_id);
    sim.alter(name, key, |record| {
        if record.header("ce_id") == Some(&id) {
            header(record, "traceparent", &own);
        }
    });
}

/// The view learns of so many facts more.
fn viewed(sim: &mut Sim, order: &str, more: i64) {
    add(sim.find("order-view", "order_view", &[order]), "version", more);
}

fn row_of<'a>(sim: &'a mut Sim, service: &str, name: &str) -> &'a mut harness::check::OutboxRow {
    let mut rows = sim.books(service).outbox.iter_mut();
    rows.rfind(|row| row.name == name).expect("a row")
}

fn row_for(sim: &mut Sim, service: &str, name: &str, key: &str) -> harness::check::OutboxRow {
    let mut rows = sim.books(service).outbox.iter();
    rows.rfind(|row| row.name == name && row.key == key).expect("a row").clone()
}

fn charges(sim: &mut Sim, order: &str, kind: &str) -> Vec<Value> {
    let rows = &sim.books("payments").ledgers["money_ledger"];
    rows.iter().filter(|row| row["order_id"] == order && row["kind"] == kind).cloned().collect()
}

/// An order that was sold and cancelled.
fn refunded(sim: &mut Sim) -> String {
    let name = "retail.payment.PaymentRefunded";
    let rows = &sim.books("payments").outbox;
    rows.iter().rev().find(|row| row.name == name).expect("a refund").key.clone()
}

/// Takes everything that clients did about an order out of the history.
fn forget(sim: &mut Sim, order: &str) {
    let key = format!("key-{order}");
    let about = |step: &Step| match step {
        Step::Invoke { key: given, subject, .. } => {
            given.as_deref() == Some(&key) || subject.as_deref() == Some(order)
        }
        _ => false,
    };
    let ops: Vec<u64> = sim
        .evidence
        .history
        .iter()
        .filter(|entry| about(&entry.step))
        .map(|entry| entry.op)
        .collect();
    sim.evidence.history.retain(|entry| !ops.contains(&entry.op));
}

/// A client was told that its request under this key made this order.
fn answered(sim: &mut Sim, key: &str, order: &str, body: &str) {
    let (client, key) = ("ann".to_owned(), Some(key.to_owned()));
    let act = Act::Place;
    let op = sim.note(None, Step::Invoke { client, act, key, subject: None, token: None });
    let (subject, answer) = (Some(order.to_owned()), sha256(body.as_bytes()));
    sim.note(Some(op), Step::Ok { subject, answer, seen: None });
}
