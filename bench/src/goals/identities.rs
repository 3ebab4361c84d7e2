//! Why identities have an order: an inbox of ours with millions of rows beside one with as many under
//! random identities. Nothing is judged; it is what such an inbox would cost.

use std::time::Instant;

use anyhow::Result;
use harness::Ground;
use sqlx::PgConnection;
use uuid::Uuid;

use super::growth;
use crate::Size;
use crate::hop::Hop;
use crate::meter::Meter;
use crate::peers::random_ids;
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::Verdict;

pub(crate) const GOALS: [&str; 1] = ["random_inbox_cost_times_ordered"];
const SIDES: [&str; 2] = ["in the order of time", "random"];
const ORDERED: usize = 0;
const RANDOM: usize = 1;

/// In each inbox before the first round.
const ROWS: u32 = 2_000_000;
const RECORDS: u32 = 40_000;
const BATCH: u32 = 100;

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let hop = Hop::new(ground).await?;
    let mut db = hop.database().await?;
    let rows = ROWS / size.less;
    growth::grow(&mut db, rows).await?;
    random_ids::grow(&mut db, rows).await?;
    let rounds = take_turns("identities", &SIDES, ORDERED, size.rounds, async |side| {
        fill(&hop, &mut db, side, RECORDS / size.less).await
    });
    let rounds = rounds.await?;
    hop.close().await?;
    let bytes = |side| rounds.median(|it| it.log_bytes, side);
    let told = format!(
        "PostgreSQL's processor time for each record: {:.1} us and {:.1} us, of its log {:.0} bytes and \
         {:.0}, with {rows} rows",
        rounds.median(|it| it.postgres_us, RANDOM),
        rounds.median(|it| it.postgres_us, ORDERED),
        bytes(RANDOM),
        bytes(ORDERED)
    );
    let ratios = rounds.ratios(|it| it.postgres_us, RANDOM, ORDERED);
    Ok((rounds, vec![Verdict::known(GOALS[0], &ratios, told)]))
}

async fn fill(hop: &Hop, db: &mut PgConnection, side: usize, records: u32) -> Result<Sample> {
    let (before, meter) = (log_position(db).await?, Meter::begin(hop.beside));
    let began = Instant::now();
    for _ in 0..records / BATCH {
        match side {
            ORDERED => ordered(db, BATCH as usize).await?,
            _ => random_ids::insert(db, BATCH as usize).await?,
        }
    }
    let (took, records) = (began.elapsed(), f64::from(records));
    let sample = Sample { rate: records / took.as_secs_f64(), ..meter.end(records) };
    let log_bytes = (log_position(db).await? - before) as f64 / records;
    Ok(Sample { log_bytes, ..sample })
}

/// What a batch adds to our inbox.
async fn ordered(db: &mut PgConnection, records: usize) -> Result<()> {
    let ids: Vec<Uuid> = (0..records).map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        r#"INSERT INTO millrace.inbox (event_id, topic, "partition", "offset")
           SELECT event_id, 'retail.payment.events.v1', 0, 0 FROM unnest($1::uuid[]) AS event_id
           ON CONFLICT DO NOTHING"#,
    )
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}

/// Where the server's log ends.
async fn log_position(db: &mut PgConnection) -> Result<i64> {
    let position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
    Ok(sqlx::query_scalar(position).fetch_one(db).await?)
}
