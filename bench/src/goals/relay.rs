//! The relay while somebody holds a snapshot: everything that was sent since stays in its index, and a
//! row that is committed now must not wait for that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{Ground, eventually};
use schemas::topics;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Size;
use crate::hop::{Hop, announced};
use crate::peers::{sink, skip_locked};
use crate::rounds::{Rounds, Sample, Shows, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 1] = ["relay_p50_times_without_snapshot"];
const SIDES: [&str; 4] = ["without", "held", "skip locked without", "skip locked held"];
const WITHOUT: usize = 0;
const HELD: usize = 1;
const PEER_WITHOUT: usize = 2;
const PEER_HELD: usize = 3;

/// Rows that were sent since the snapshot was taken.
const CHURNED: i32 = 60_000;
const AT_ONCE: usize = 500;
/// Rows whose way is timed.
const TIMED: usize = 200;
/// Our relay may learn meanwhile which transactions have ended.
const REST: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let churned = CHURNED / size.less as i32;
    let rounds = take_turns("relay", &SIDES, WITHOUT, size.rounds, async |side| {
        let p50 = run(ground, side, churned).await?;
        Ok(Sample { rate: 1.0 / p50, ..Sample::default() })
    });
    let rounds = Rounds { shows: Shows::Milliseconds, ..rounds.await? };
    let ms = |side| 1e3 / rounds.median(|it| it.rate, side);
    let told = format!(
        "from the insert until a reader has it: {:.2} ms with {churned} rows sent under a held \
         snapshot, {:.2} ms without one; a relay by SKIP LOCKED and DELETE {:.2} and {:.2} ms",
        ms(HELD),
        ms(WITHOUT),
        ms(PEER_HELD),
        ms(PEER_WITHOUT)
    );
    let ratios = rounds.ratios(|it| 1.0 / it.rate, HELD, WITHOUT);
    let verdict = Verdict::new(GOALS[0], &ratios, Bound::AtMost, 1.5, told);
    Ok((rounds, vec![verdict]))
}

/// Half of the rows that are timed take at most so many seconds.
async fn run(ground: &Ground, side: usize, churned: i32) -> Result<f64> {
    let hop = Hop::new(ground).await?;
    let (mut db, mut holder) = (hop.database().await?, hop.database().await?);
    if matches!(side, HELD | PEER_HELD) {
        // A number of its own would be another matter: it would hold up the horizon of commits.
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        holder.execute("SELECT count(*) FROM millrace.outbox").await?;
    }
    let p50 = match side {
        WITHOUT | HELD => {
            let mount =
                hop.world.mount_with(sales::service(), |config| config.trace.endpoint = None);
            let running = mount.await?;
            let p50 = measured(&hop, &mut db, OURS, churned, None).await;
            running.stop().await?;
            p50?
        }
        _ => {
            let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
            let peer =
                tokio::spawn(skip_locked::run(hop.place.clone(), wake.clone(), stop.clone()));
            let p50 = measured(&hop, &mut db, THEIRS, churned, Some(&wake)).await;
            stop.cancel();
            peer.await??;
            p50?
        }
    };
    holder.close().await?;
    hop.close().await?;
    Ok(p50)
}

const OURS: &str = "WITH row AS (
         INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, occurred_at)
         SELECT id, 0, 'retail.sale.events.v1', 'retail.sale.SaleConfirmed', id::text, 1, '', '', now()
         FROM unnest($1::uuid[]) AS new (id) RETURNING 1)
     SELECT pg_notify('millrace_outbox', '') FROM row LIMIT 1";
const THEIRS: &str = "INSERT INTO outbox (event_id, shard, topic, name, key, version, payload,
         correlation_id, occurred_at)
     SELECT id, 0, 'retail.sale.events.v1', 'retail.sale.SaleConfirmed', id::text, 1, '', '', now()
     FROM unnest($1::uuid[]) AS new (id)";

/// Lets many rows be sent, then times the way of some, one after the other.
async fn measured(
    hop: &Hop,
    db: &mut PgConnection,
    insert: &'static str,
    churned: i32,
    wake: Option<&Notify>,
) -> Result<f64> {
    let write = async |db: &mut PgConnection, ids: &[Uuid]| -> Result<()> {
        sqlx::query(insert).bind(ids).execute(db).await?;
        wake.iter().for_each(|wake| wake.notify_one());
        Ok(())
    };
    let (admin, sales) = (hop.world.admin().await?, hop.world.topic(topics::SALE_EVENTS));
    for _ in (0..churned).step_by(AT_ONCE) {
        write(db, &(0..AT_ONCE).map(|_| Uuid::now_v7()).collect::<Vec<_>>()).await?;
    }
    eventually(PATIENCE, "all rows are sent", async || match announced(&admin, &sales).await {
        Ok(sent) if sent == i64::from(churned) => Ok(()),
        sent => Err(format!("{sent:?} of {churned}")),
    })
    .await?;
    if wake.is_none() {
        tokio::time::sleep(REST).await;
    }
    let consumer = sink(&hop.place, &sales)?;
    let mut took = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let began = std::time::Instant::now();
        write(db, &[Uuid::now_v7()]).await?;
        tokio::task::block_in_place(|| consumer.poll(PATIENCE)).context("a row is not sent")??;
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[TIMED / 2])
}
