//! What customers do in a run: orders of every kind, some asked for twice, some cancelled at once,
//! some when they are paid and some too late; and a few records that nobody can read.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use harness::check::{Act, Poison, Seen, digest_of_headers, sha256};
use harness::eventually;
use millrace::Event;
use millrace::admin::{RawRecord, Record};
use ops::ClientError;
use schemas::{CustomerId, OrderCancelled, OrderId, OrderPlaced, topics};
use uuid::Uuid;

use crate::shop::Shop;
use crate::trouble;

const BEFORE_SALES: usize = 4;
const CROWD: usize = 44;
const AT_ONCE: usize = 8;
const HELD: usize = 10;
const SOLD: usize = 3;
/// Placed, reserved, paid, sold.
const FACTS_UNTIL_SOLD: u64 = 4;
const LATE: usize = 6;
const POISONS: usize = 3;
/// What has not happened by then will not happen.
const SOON: Duration = Duration::from_secs(8);

/// All of it.
pub(crate) async fn all(shop: &mut Shop) -> Result<()> {
    for number in 0..BEFORE_SALES {
        place(shop, number * 8).await;
    }
    shop.open_sales().await?;
    let crowd = futures::stream::iter(0..CROWD).map(|number| place(shop, number));
    let orders: Vec<Option<OrderId>> = crowd.buffer_unordered(AT_ONCE).collect().await;
    cancelled_when_paid(shop).await?;
    cancelled_when_sold(shop).await?;
    let orders: Vec<OrderId> = orders.into_iter().flatten().collect();
    let ending = orders.iter().map(|order| ended(shop, *order));
    futures::future::join_all(ending).await;
    for order in orders.iter().take(LATE) {
        cancel(shop, *order).await;
    }
    trouble::all(shop, &orders).await?;
    poison(shop).await
}

/// Orders, and now and then asks for the same again or does not want it after all.
pub(crate) async fn place(shop: &Shop, number: usize) -> Option<OrderId> {
    let customer = if number % 8 == 7 { "poor" } else { "rich" };
    let (sku, pieces) = match number % 11 {
        10 => (&shop.rare, 5),
        _ => (&shop.mug, 1 + number as i64 % 3),
    };
    let (key, lines) = (Uuid::now_v7(), [(sku.clone(), pieces)]);
    let mut placed = None;
    for _ in 0..=usize::from(number.is_multiple_of(5)) {
        let op = shop.history.invoke(customer, Act::Place, Some(&key.to_string()), None, None);
        let customer = CustomerId::new(customer).ok()?;
        match shop.retailer.place_order(&customer, &shop.store, &lines, key).await {
            Ok(answer) => {
                let body = serde_json::to_vec(&answer).ok()?;
                shop.history.ok(op, Some(&answer.order_id.to_string()), &body, None);
                placed = Some(answer.order_id);
            }
            Err(ClientError::Refused { code, .. }) => shop.history.fail(op, code),
            Err(error) => shop.history.info(op, error.to_string()),
        }
    }
    if number % 6 == 1 {
        cancel(shop, placed?).await;
    }
    placed
}

pub(crate) async fn cancel(shop: &Shop, order: OrderId) {
    let text = order.to_string();
    let op = shop.history.invoke("rich", Act::Cancel, None, Some(&text), None);
    match shop.retailer.cancel(order, Some("second thoughts")).await {
        Ok(_) => shop.history.ok(op, Some(&text), b"", None),
        Err(error) => shop.history.info(op, error.to_string()),
    }
}

/// Sales is busy while orders are paid and cancelled, and stops before it has handled any of it: it
/// learns of both at once when it is back.
async fn cancelled_when_paid(shop: &mut Shop) -> Result<()> {
    shop.service("sales")?.hold();
    let mut orders = Vec::new();
    for number in 0..HELD {
        orders.extend(place(shop, number % 5 * 2).await);
    }
    for order in &orders {
        let paid = eventually(SOON, "the order is paid", async || match look(shop, *order).await {
            Some(status) if status == "paid" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        drop(paid.await);
        cancel(shop, *order).await;
    }
    shop.restart_sales().await?;
    let ending = orders.iter().map(|order| ended(shop, *order));
    futures::future::join_all(ending).await;
    Ok(())
}

/// Orders is busy while everything is done for its orders, and hears of it after the customer has
/// changed his mind.
async fn cancelled_when_sold(shop: &Shop) -> Result<()> {
    shop.service("orders")?.hold();
    let mut orders = Vec::new();
    for number in 0..SOLD {
        orders.extend(place(shop, number * 2).await);
    }
    for order in &orders {
        let sold = eventually(SOON, "the order is sold", async || match seen(shop, *order).await {
            Some(seen) if seen.version >= FACTS_UNTIL_SOLD => Ok(()),
            other => Err(format!("{other:?}")),
        });
        drop(sold.await);
        cancel(shop, *order).await;
    }
    shop.service("orders")?.release();
    let ending = orders.iter().map(|order| ended(shop, *order));
    futures::future::join_all(ending).await;
    Ok(())
}

pub(crate) async fn ended(shop: &Shop, order: OrderId) {
    let ended = eventually(SOON, "the order ends", async || match look(shop, order).await {
        Some(status) if !["placed", "reserved", "paid"].contains(&status.as_str()) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // One that does not end is for the checker to find.
    drop(ended.await);
}

/// The status a customer sees.
async fn look(shop: &Shop, order: OrderId) -> Option<String> {
    Some(seen(shop, order).await?.status)
}

/// What a customer sees.
async fn seen(shop: &Shop, order: OrderId) -> Option<Seen> {
    let text = order.to_string();
    let op = shop.history.invoke("rich", Act::Read, None, Some(&text), None);
    match shop.retailer.order(order, None).await {
        Ok(view) => {
            let seen = Seen { status: view.status, version: view.version };
            shop.history.ok(op, Some(&text), seen.status.as_bytes(), Some(seen.clone()));
            Some(seen)
        }
        Err(error) => {
            shop.history.info(op, error.to_string());
            None
        }
    }
}

/// Records that say they are orders and are cut off, where there is a place for what cannot be
/// read.
async fn poison(shop: &mut Shop) -> Result<()> {
    let admin = shop.world.admin().await?;
    let there = admin.topics().await?;
    if !there
        .iter()
        .any(|topic| topic.name == format!("{}retail.stock.dlq.v1", shop.world.prefix()))
    {
        return Ok(());
    }
    let topic = shop.world.topic(topics::ORDER_EVENTS);
    let records = admin.read_all(&topic).await?;
    let model = records.iter().find(|record| record.header("ce_type") == Some(OrderPlaced::NAME));
    let Some(model) = model else { return Ok(()) };
    let mut bad = vec![(other_body(model), Some(vec!["stock".to_owned()]))];
    bad.extend((0..POISONS).map(|_| (cut_off(model), None)));
    let ending =
        records.iter().find(|record| record.header("ce_type") == Some(OrderCancelled::NAME));
    bad.extend(ending.map(|ending| (cut_off(ending), None)));
    for (record, refused_by) in bad {
        let RawRecord { key, payload, headers, .. } = record.clone();
        let (partition, offset) = admin.produce(&topic, record).await?;
        let record = Record { partition, offset, timestamp: None, key, payload, headers };
        shop.poisons.push(bad_record(&record, refused_by));
    }
    Ok(())
}

/// A record of the orders, as one that these services must refuse.
pub(crate) fn bad_record(record: &Record, refused_by: Option<Vec<String>>) -> Poison {
    Poison {
        topic: topics::ORDER_EVENTS.name.to_owned(),
        partition: record.partition,
        offset: record.offset,
        key: record.key.as_deref().map(sha256),
        value: record.payload.as_deref().map(sha256),
        headers: digest_of_headers(&record.headers),
        refused_by,
        of_datum: true,
    }
}

/// Another customer under the identity of a fact. The view knows the fact and takes no notice.
fn other_body(model: &Record) -> RawRecord {
    let mut payload = model.payload.clone().unwrap_or_default();
    if let Some(at) = payload.windows(4).position(|word| word == b"rich") {
        payload[at..at + 4].copy_from_slice(b"poor");
    }
    let (key, headers) = (model.key.clone(), model.headers.clone());
    RawRecord { partition: None, key, payload: Some(payload), headers }
}

/// A fact of an order of its own that ends too early.
fn cut_off(model: &Record) -> RawRecord {
    let order = Uuid::now_v7().to_string();
    let mut headers = model.headers.clone();
    for (name, value) in &mut headers {
        let new = match name.as_str() {
            "ce_id" => Uuid::now_v7().to_string(),
            "ce_subject" | "ce_partitionkey" | "ce_correlationid" => order.clone(),
            "ce_sequence" => format!("{:020}", 1),
            _ => continue,
        };
        *value = Some(new.into_bytes());
    }
    let mut payload = model.payload.clone().unwrap_or_default();
    let old = model.key.as_deref().unwrap_or_default();
    if let Some(at) = payload.windows(order.len()).position(|word| word == old) {
        payload[at..at + order.len()].copy_from_slice(order.as_bytes());
    }
    payload.pop();
    RawRecord { partition: None, key: Some(order.into_bytes()), payload: Some(payload), headers }
}
