//! What most services do: a transaction for each record, and a relay that looks at its outbox every
//! fifty milliseconds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Paid, Place, Sold};

const POLL_EVERY: Duration = Duration::from_millis(50);
const RELAY_BATCH: i64 = 500;
const PATIENCE: Duration = Duration::from_millis(20);
/// Records that wait for a worker.
const WAITING: usize = 500;

/// Works until it is told to stop. A worker has every so-manieth partition, and a connection.
pub(crate) async fn run(place: Place, workers: usize, stop: CancellationToken) -> Result<()> {
    // Tasks of their own: whoever waits for records must not keep the relay waiting.
    let relay = tokio::spawn(relay(place.clone(), stop.clone()));
    tokio::try_join!(consume(&place, workers, &stop), async { relay.await? }).map(drop)
}

async fn consume(place: &Place, workers: usize, stop: &CancellationToken) -> Result<()> {
    let consumer = Arc::new(place.consumer()?);
    let (mut lanes, mut working) = (vec![], JoinSet::new());
    for _ in 0..workers {
        let (lane, records) = mpsc::channel(WAITING);
        lanes.push(lane);
        working.spawn(work(place.clone(), consumer.clone(), records));
    }
    while !stop.is_cancelled() {
        let polled = tokio::task::block_in_place(|| consumer.poll(PATIENCE));
        let Some(message) = polled else {
            tokio::task::yield_now().await;
            continue;
        };
        let paid = Paid::read(&message?)?;
        if lanes[paid.partition as usize % workers].send(paid).await.is_err() {
            break;
        }
    }
    drop(lanes);
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    Ok(())
}

async fn work(
    place: Place,
    consumer: Arc<BaseConsumer>,
    mut records: mpsc::Receiver<Paid>,
) -> Result<()> {
    let (mut db, read) = (PgConnection::connect(&place.database).await?, place.read());
    while let Some(paid) = records.recv().await {
        handle(&place, &mut db, &paid, &paid.sold(&place)).await?;
        consumer.store_offset(&read, paid.partition, paid.offset)?;
    }
    Ok(())
}

async fn handle(place: &Place, db: &mut PgConnection, paid: &Paid, sold: &Sold) -> Result<()> {
    let mut tx = db.begin().await?;
    let new = sqlx::query(
        r#"INSERT INTO millrace.inbox (event_id, topic, "partition", "offset")
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"#,
    )
    .bind(paid.id)
    .bind(place.reads)
    .bind(paid.partition)
    .bind(paid.offset)
    .execute(&mut *tx)
    .await?;
    if new.rows_affected() == 1 {
        sqlx::query(
            "INSERT INTO sale (order_id, sale_id, state, customer_id, store_id, lines, total,
                 currency, confirmed_at)
             VALUES ($1, $2, 'confirmed', $3, $4, $5, $6, $7, now()) ON CONFLICT DO NOTHING",
        )
        .bind(paid.fact.order_id.uuid())
        .bind(paid.sale().uuid())
        .bind(paid.fact.customer_id.as_str())
        .bind(paid.fact.store_id.as_str())
        .bind(paid.lines()?)
        .bind(paid.fact.amount.minor())
        .bind(paid.fact.amount.currency().to_string())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO outbox (event_id, shard, topic, name, key, version, payload, correlation_id,
                 causation_id, occurred_at)
             VALUES ($1, 0, $2, $3, $4, 1, $5, $4, $6, now())",
        )
        .bind(sold.id)
        .bind(place.writes)
        .bind(place.announces.name())
        .bind(&sold.key)
        .bind(&sold.payload)
        .bind(sold.cause)
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

async fn relay(place: Place, stop: CancellationToken) -> Result<()> {
    let producer = place.producer()?;
    let mut db = PgConnection::connect(&place.database).await?;
    let mut ticks = tokio::time::interval(POLL_EVERY);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let rows = sqlx::query(
            "SELECT event_id, key, payload, causation_id FROM outbox
             WHERE sent_at IS NULL ORDER BY id LIMIT $1",
        )
        .bind(RELAY_BATCH)
        .fetch_all(&mut db)
        .await?;
        let sold: Vec<Sold> = rows
            .iter()
            .map(|row| Sold {
                id: row.get(0),
                key: row.get(1),
                payload: row.get(2),
                cause: row.get(3),
            })
            .collect();
        if sold.is_empty() {
            continue;
        }
        let sent =
            sold.iter().map(|sold| place.send(&producer, sold)).collect::<Result<Vec<_>>>()?;
        for delivery in sent {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        sqlx::query("UPDATE outbox SET sent_at = now() WHERE event_id = ANY($1)")
            .bind(sold.iter().map(|sold| sold.id).collect::<Vec<_>>())
            .execute(&mut db)
            .await?;
    }
    Ok(())
}
