//! The relay while somebody holds a snapshot: everything that was sent since stays in its index, and a
//! row that is committed now must not wait for that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::Ground;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Size;
use crate::hop::Hop;
use crate::peers::skip_locked;
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
const AT_ONCE: i32 = 500;
/// Rows whose way is timed.
const TIMED: usize = 200;
/// The relay may learn meanwhile which transactions have ended.
const REST: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let churned = CHURNED / size.less as i32;
    let rounds = take_turns("relay", &SIDES, WITHOUT, size.rounds, async |side| {
        let p50 = run(ground, side, churned).await?;
        Ok(Sample { rate: 1.0 / p50, ..Sample::default() })
    });
    let rounds = Rounds { shows: Shows::Milliseconds, ..rounds.await? };
    let ms = |side| 1e3 / rounds.median(|it| it.rate, side);
    let told = format!(
        "from the commit until it is marked as sent: {:.2} ms with {churned} rows sent under a held \
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
            churn(&mut db, churned, MARK).await?;
            tokio::time::sleep(REST).await;
            let p50 = p50(&mut db, None).await;
            running.stop().await?;
            p50?
        }
        _ => {
            let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
            let peer =
                tokio::spawn(skip_locked::run(hop.place.clone(), wake.clone(), stop.clone()));
            churn(&mut db, churned, DELETE).await?;
            tokio::time::sleep(REST).await;
            let p50 = p50(&mut db, Some(&wake)).await;
            stop.cancel();
            peer.await??;
            p50?
        }
    };
    holder.close().await?;
    hop.close().await?;
    Ok(p50)
}

const MARK: &str = "UPDATE millrace.outbox SET sent_at = now() WHERE event_id = ANY($1)";
const DELETE: &str = "DELETE FROM millrace.outbox WHERE event_id = ANY($1)";

/// Rows that are written and settled, as a relay under load does it.
async fn churn(db: &mut PgConnection, rows: i32, settle: &'static str) -> Result<()> {
    for from in (0..rows).step_by(AT_ONCE as usize) {
        let ids: Vec<Uuid> = (0..AT_ONCE).map(|_| Uuid::now_v7()).collect();
        let mut tx = db.begin().await?;
        sqlx::query(
            "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
                 correlation_id, occurred_at)
             SELECT event_id, 0, 'none', 'none', 'none', $2, '', '', now()
             FROM unnest($1::uuid[]) AS new (event_id)",
        )
        .bind(&ids)
        .bind(i64::from(from))
        .execute(&mut *tx)
        .await?;
        sqlx::query(settle).bind(&ids).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Seconds from the commit of a row until the relay has marked it as sent, or deleted it.
async fn p50(db: &mut PgConnection, wake: Option<&Notify>) -> Result<f64> {
    let mut took = Vec::with_capacity(TIMED);
    for number in 0..TIMED {
        let id = Uuid::now_v7();
        sqlx::query(
            "WITH row AS (
                 INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
                     correlation_id, occurred_at)
                 VALUES ($1, 0, 'retail.sale.events.v1', 'retail.sale.SaleConfirmed', $2, 1, '', '',
                     now()) RETURNING 1)
             SELECT pg_notify('millrace_outbox', '') FROM row",
        )
        .bind(id)
        .bind(format!("order-{number}"))
        .execute(&mut *db)
        .await?;
        let began = std::time::Instant::now();
        if let Some(wake) = wake {
            wake.notify_one();
        }
        loop {
            let sent = "SELECT NOT EXISTS (
                            SELECT 1 FROM millrace.outbox WHERE event_id = $1 AND sent_at IS NULL)";
            if sqlx::query_scalar::<_, bool>(sent).bind(id).fetch_one(&mut *db).await? {
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "the relay does not send");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}
