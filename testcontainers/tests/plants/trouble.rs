//! What goes wrong in a run and is put right: an operator puts orders out of the way, in one group
//! only, while what follows them comes; they are redriven, and redriven again; and facts arrive twice.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::eventually;
use millrace::admin::{RawRecord, Record};
use millrace::control::{Kind, Selection};
use millrace::repair::Repair;
use millrace::{Event, Running};
use ops::command::{Author, Operator, command};
use schemas::{OrderId, OrderPlaced, topics};

use crate::shop::Shop;
use crate::work::{bad_record, cancel, ended, place};

/// Whose records are put out of the way.
const SERVICE: &str = "stock";
const PARKED: usize = 6;
/// Orders of which every fact arrives again.
const REPEATED: usize = 4;
/// What has not happened by then will not happen.
const SOON: Duration = Duration::from_secs(5);

/// All of it.
pub(crate) async fn all(shop: &mut Shop, orders: &[OrderId]) -> Result<()> {
    let parked = parked(shop).await?;
    for _ in 0..2 {
        let select = Selection::default();
        let repair = Repair::default();
        ask(shop, vec![Kind::Redrive { select, rate: None, canary: None, repair }]).await?;
    }
    let ending = parked.iter().map(|order| ended(shop, *order));
    futures::future::join_all(ending).await;
    repeat(shop, &orders[..REPEATED.min(orders.len())]).await
}

/// Orders that stock cannot handle; of every second one it learns, too, that nobody wants it any
/// more.
async fn parked(shop: &mut Shop) -> Result<Vec<OrderId>> {
    shop.instances(SERVICE).for_each(Running::hold);
    let mut orders = Vec::new();
    for number in 0..PARKED {
        // None that asks twice or is cancelled at once.
        orders.extend(place(shop, number * 12 + 2).await);
    }
    for order in orders.iter().step_by(2) {
        cancel(shop, *order).await;
    }
    let placed = placed(shop, &orders).await?;
    for record in &placed {
        shop.poisons.push(bad_record(record, Some(vec![SERVICE.to_owned()])));
    }
    let skip = |record: &Record| Kind::Skip {
        topic: topics::ORDER_EVENTS.name.to_owned(),
        partition: record.partition,
        offset: record.offset,
    };
    ask(shop, placed.iter().map(skip).collect()).await?;
    shop.instances(SERVICE).for_each(Running::release);
    let wanted = orders.len() + orders.len().div_ceil(2);
    let mut db = shop.world.database(SERVICE).await?;
    let parked = eventually(SOON, "the orders are parked", async || {
        let sql = "SELECT count(*) FROM millrace.parked";
        match sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut db).await {
            Ok(count) if count >= wanted as i64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // What is not parked is for the checker to find.
    drop(parked.await);
    Ok(orders)
}

/// The records of these orders' beginnings, when all of them are sent.
async fn placed(shop: &Shop, orders: &[OrderId]) -> Result<Vec<Record>> {
    let admin = shop.world.admin().await?;
    let topic = shop.world.topic(topics::ORDER_EVENTS);
    let keys: BTreeSet<String> = orders.iter().map(OrderId::to_string).collect();
    let begins = |record: &Record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        record.header("ce_type") == Some(OrderPlaced::NAME) && keys.contains(&*key)
    };
    let read = async || -> Result<Vec<Record>> {
        let mut records = admin.read_all(&topic).await?;
        records.retain(&begins);
        Ok(records)
    };
    let sent = eventually(SOON, "the orders are sent", async || match read().await {
        Ok(records) if records.len() >= keys.len() => Ok(records),
        other => Err(format!("{:?}", other.map(|records| records.len()))),
    });
    match sent.await {
        Ok(records) => Ok(records),
        Err(_) => read().await,
    }
}

/// Asks, and waits until all of it is done.
async fn ask(shop: &Shop, kinds: Vec<Kind>) -> Result<()> {
    let operator = Operator::new(shop.world.admin().await?, shop.world.prefix());
    let author = Author { by: "plants".to_owned(), reason: "a trial".to_owned() };
    let mut asked = Vec::new();
    for kind in kinds {
        let command = command(&operator.group(SERVICE), kind, &author);
        operator.send(&command).await?;
        asked.push(command.operator.id);
    }
    let mut db = shop.world.database(SERVICE).await?;
    let done = eventually(SOON, "it is done", async || {
        let sql =
            "SELECT count(*) FROM millrace.operation WHERE id = ANY($1) AND state <> 'running'";
        let done = sqlx::query_scalar::<_, i64>(sql).bind(&asked).fetch_one(&mut db).await;
        match done {
            Ok(done) if done == asked.len() as i64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    drop(done.await);
    Ok(())
}

/// Every fact of these orders arrives a second time, as it was.
async fn repeat(shop: &Shop, orders: &[OrderId]) -> Result<()> {
    let admin = shop.world.admin().await?;
    let keys: BTreeSet<Vec<u8>> = orders.iter().map(|order| order.to_string().into()).collect();
    let of_orders =
        [topics::ORDER_EVENTS, topics::STOCK_EVENTS, topics::PAYMENT_EVENTS, topics::SALE_EVENTS];
    for topic in of_orders {
        let topic = shop.world.topic(topic);
        for record in admin.read_all(&topic).await? {
            let Record { partition, key, payload, headers, .. } = record;
            if key.as_ref().is_some_and(|key| keys.contains(key)) {
                let copy = RawRecord { partition: Some(partition), key, payload, headers };
                admin.produce(&topic, copy).await.context("a copy")?;
            }
        }
    }
    Ok(())
}
