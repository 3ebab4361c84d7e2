//! The limit: what is ready, up to five hundred records, in one transaction of three statements, and
//! announced from memory. No parking, no versions, no wake-up, no telemetry, no second instance.

use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::FutureProducer;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Paid, Place, Sold};

const BATCH: usize = 500;
const PATIENCE: Duration = Duration::from_millis(20);

/// Works until it is told to stop.
pub(crate) async fn run(place: Place, stop: CancellationToken) -> Result<()> {
    let (consumer, producer) = (place.consumer()?, place.producer()?);
    let mut db = PgConnection::connect(&place.database).await?;
    while !stop.is_cancelled() {
        let batch = tokio::task::block_in_place(|| ready(&consumer))?;
        if batch.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let sold: Vec<Sold> = batch.iter().map(|paid| paid.sold(&place)).collect();
        let mut tx = db.begin().await?;
        insert_inbox(&place, &mut tx, &batch).await?;
        insert_sales(&mut tx, &batch).await?;
        insert_outbox(&place, &mut tx, &sold).await?;
        tx.commit().await?;
        store(&consumer, &place.read(), &batch)?;
        publish(&place, &producer, &sold).await?;
        let said =
            "UPDATE millrace.relay SET below = (SELECT last_value + 1 FROM millrace.outbox_id)";
        sqlx::query(said).execute(&mut db).await?;
    }
    Ok(())
}

fn ready(consumer: &BaseConsumer) -> Result<Vec<Paid>> {
    let (mut batch, mut patience) = (vec![], PATIENCE);
    while batch.len() < BATCH {
        let Some(message) = consumer.poll(patience) else { break };
        batch.push(Paid::read(&message?)?);
        patience = Duration::ZERO;
    }
    Ok(batch)
}

fn store(consumer: &BaseConsumer, topic: &str, batch: &[Paid]) -> Result<()> {
    let mut next = TopicPartitionList::new();
    for paid in batch {
        let offset = Offset::Offset(paid.offset + 1);
        if next.find_partition(topic, paid.partition).is_none() {
            next.add_partition(topic, paid.partition);
        }
        next.set_partition_offset(topic, paid.partition, offset)?;
    }
    Ok(consumer.store_offsets(&next)?)
}

async fn publish(place: &Place, producer: &FutureProducer, sold: &[Sold]) -> Result<()> {
    let sent = sold.iter().map(|sold| place.send(producer, sold)).collect::<Result<Vec<_>>>()?;
    for delivery in sent {
        delivery.await?.map_err(|(error, _)| error)?;
    }
    Ok(())
}

async fn insert_inbox(place: &Place, db: &mut PgConnection, batch: &[Paid]) -> Result<()> {
    sqlx::query(
        r#"INSERT INTO millrace.inbox (event_id, topic, "partition", "offset")
           SELECT event_id, $1, "partition", "offset"
           FROM unnest($2::uuid[], $3::int[], $4::bigint[]) AS new (event_id, "partition", "offset")
           ON CONFLICT DO NOTHING RETURNING event_id"#,
    )
    .bind(place.reads)
    .bind(batch.iter().map(|paid| paid.id).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.partition).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.offset).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    Ok(())
}

async fn insert_sales(db: &mut PgConnection, batch: &[Paid]) -> Result<()> {
    let lines = batch.iter().map(Paid::lines).collect::<Result<Vec<_>>>()?;
    sqlx::query(
        "INSERT INTO sale (order_id, sale_id, state, customer_id, store_id, lines, total, currency,
             confirmed_at)
         SELECT order_id, sale_id, 'confirmed', customer_id, store_id, lines, total, currency, now()
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::bigint[],
             $7::text[]) AS new (order_id, sale_id, customer_id, store_id, lines, total, currency)
         ON CONFLICT DO NOTHING",
    )
    .bind(batch.iter().map(|paid| paid.fact.order_id.uuid()).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.sale().uuid()).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.fact.customer_id.as_str()).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.fact.store_id.as_str()).collect::<Vec<_>>())
    .bind(lines)
    .bind(batch.iter().map(|paid| paid.fact.amount.minor()).collect::<Vec<_>>())
    .bind(batch.iter().map(|paid| paid.fact.amount.currency().to_string()).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_outbox(place: &Place, db: &mut PgConnection, sold: &[Sold]) -> Result<()> {
    sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, causation_id, occurred_at)
         SELECT event_id, 0, $1, $2, key, 1, payload, key, cause, now()
         FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::uuid[])
             AS new (event_id, key, payload, cause)",
    )
    .bind(place.writes)
    .bind(place.announces.name())
    .bind(sold.iter().map(|sold| sold.id).collect::<Vec<Uuid>>())
    .bind(sold.iter().map(|sold| sold.key.as_str()).collect::<Vec<_>>())
    .bind(sold.iter().map(|sold| sold.payload.as_slice()).collect::<Vec<_>>())
    .bind(sold.iter().map(|sold| sold.cause).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
