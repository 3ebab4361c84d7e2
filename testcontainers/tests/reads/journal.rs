//! What the chain of the journal costs: batches appended to it beside the same rows inserted bare.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use harness::{Ground, World};
use journal::domain::chain::{Entry, Link, Page};
use millrace::{Door, Timestamp, Tx};
use schemas::{EVENTS, topics};
use uuid::Uuid;

use super::Number;
use super::states::order;

/// As a consumer takes them.
const BATCH: u32 = 500;
/// Facts of one order in a batch.
const OF_ONE: u32 = 5;
const BATCHES: u32 = 20;
/// The first one does not count.
const ROUNDS: u32 = 8;
const TIMES_MAX: f64 = 1.5;
const PAYLOAD_BYTES: usize = 250;
const HEADERS: &str = r#"[["ce_specversion","1.0"],["ce_type","retail.order.OrderPlaced"]]"#;

pub(crate) async fn measure(ground: &Ground) -> Result<Vec<Number>> {
    let world = World::on(ground)?;
    world.create_topics(topics::ALL).await?;
    world.register(EVENTS.iter().map(|event| (event.subject(), event.schema))).await?;
    let journal = world.mount(journal::service()).await?;
    let mut db = world.database("journal").await?;
    sqlx::query("CREATE TABLE bare (LIKE entry INCLUDING INDEXES)").execute(&mut db).await?;
    let (door, mut ratios) = (journal.door(), vec![]);
    for round in 0..ROUNDS {
        let (mut chained, mut bare) = (Duration::ZERO, Duration::ZERO);
        for batch in 0..BATCHES {
            let pages = pages((round * BATCHES + batch) * BATCH);
            let entries = entries(&pages);
            if batch % 2 == 0 {
                chained += append(door, pages).await?;
                bare += insert(door, &entries).await?;
            } else {
                bare += insert(door, &entries).await?;
                chained += append(door, pages).await?;
            }
        }
        if round > 0 {
            ratios.push(chained.div_duration_f64(bare));
        }
    }
    journal.stop().await?;
    world.close().await?;
    ratios.sort_by(f64::total_cmp);
    let told = format!(
        "median of {} rounds of {BATCHES} batches of {BATCH} facts of {} orders; from {:.2} to {:.2}",
        ratios.len(),
        BATCH / OF_ONE,
        ratios[0],
        ratios[ratios.len() - 1],
    );
    let median = ratios[ratios.len() / 2];
    Ok(vec![Number::new("journal_append_times_bare_insert", median, TIMES_MAX, told)])
}

async fn append(door: &Door, pages: Vec<Page>) -> Result<Duration> {
    let (mut tx, began) = (connection(door).await?, Instant::now());
    sqlx::query("BEGIN").execute(tx.db()).await?;
    journal::store::append(&mut tx, pages).await?;
    sqlx::query("COMMIT").execute(tx.db()).await?;
    Ok(began.elapsed())
}

async fn insert(door: &Door, entries: &[Entry]) -> Result<Duration> {
    let (mut tx, began) = (connection(door).await?, Instant::now());
    sqlx::query("BEGIN").execute(tx.db()).await?;
    unnest(&mut tx, entries).await?;
    sqlx::query("COMMIT").execute(tx.db()).await?;
    Ok(began.elapsed())
}

async fn connection(door: &Door) -> Result<Tx> {
    door.read().await.map_err(|problem| anyhow!("{problem:?}"))
}

/// One statement for all rows, and nothing else.
async fn unnest(tx: &mut Tx, entries: &[Entry]) -> Result<()> {
    fn all<'a, T>(entries: &'a [Entry], column: impl Fn(&'a Entry) -> T) -> Vec<T> {
        entries.iter().map(column).collect()
    }
    sqlx::query(
        "INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[],
             $5::text[], $6::int[], $7::bigint[], $8::bigint[], $9::bytea[], $10::text[],
             $11::text[], $12::bigint[], $13::text[], $14::uuid[], $15::timestamptz[],
             $16::timestamptz[], $17::bytea[], $18::bytea[])",
    )
    .bind(all(entries, |it| it.page.order.uuid()))
    .bind(all(entries, |it| it.seq as i64))
    .bind(all(entries, |it| it.page.event_id))
    .bind(all(entries, |it| it.page.name.as_str()))
    .bind(all(entries, |it| it.page.topic.as_str()))
    .bind(all(entries, |it| it.page.partition))
    .bind(all(entries, |it| it.page.offset))
    .bind(all(entries, |it| i64::from(it.page.schema_id)))
    .bind(all(entries, |it| it.page.payload.as_slice()))
    .bind(all(entries, |it| it.page.headers.as_str()))
    .bind(all(entries, |it| it.page.producer.as_str()))
    .bind(all(entries, |it| it.page.version as i64))
    .bind(all(entries, |it| it.page.correlation.as_str()))
    .bind(all(entries, |it| it.page.causation))
    .bind(all(entries, |it| it.page.occurred_at.datetime()))
    .bind(all(entries, |it| it.page.recorded_at.datetime()))
    .bind(all(entries, |it| it.previous.as_bytes()))
    .bind(all(entries, |it| it.hash.as_bytes()))
    .execute(tx.db())
    .await?;
    Ok(())
}

fn pages(first: u32) -> Vec<Page> {
    let page = |n: u32| Page {
        order: order((first + n) / OF_ONE),
        event_id: Uuid::now_v7(),
        name: "retail.order.OrderPlaced".to_owned(),
        topic: topics::ORDER_EVENTS.name.to_owned(),
        partition: (n % 6) as i32,
        offset: i64::from(first + n),
        schema_id: 1,
        payload: (0..PAYLOAD_BYTES).map(|byte| (byte as u32 ^ n) as u8).collect(),
        headers: HEADERS.to_owned(),
        producer: "orders".to_owned(),
        version: u64::from(n % OF_ONE) + 1,
        correlation: order((first + n) / OF_ONE).to_string(),
        causation: None,
        occurred_at: Timestamp::default(),
        recorded_at: Timestamp::default(),
    };
    (0..BATCH).map(page).collect()
}

/// The same pages as the chains of their orders have them.
fn entries(pages: &[Page]) -> Vec<Entry> {
    let chains = pages.chunks(OF_ONE as usize).map(|of_one| {
        let mut link = Link::default();
        of_one.iter().map(|page| link.append(page.clone())).collect::<Vec<_>>()
    });
    chains.flatten().collect()
}
