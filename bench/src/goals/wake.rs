//! What it costs writers that a relay is woken: twelve of them beside a relay that is told once for any
//! number of commits, one that only looks now and then, and a notification in each transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Ground;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Size;
use crate::hop::Hop;
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 1] = ["wake_commit_rate_times_asleep"];
const SIDES: [&str; 3] = ["asleep", "woken", "notified in each transaction"];
const ASLEEP: usize = 0;
const WOKEN: usize = 1;
const IN_EACH: usize = 2;

const WRITERS: usize = 12;
const TIMED: Duration = Duration::from_secs(4);

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let rounds = take_turns("wake", &SIDES, ASLEEP, size.rounds, async |side| {
        let hop = Hop::new(ground).await?;
        let mount = hop.world.mount_with(sales::service(), |config| config.trace.endpoint = None);
        let running = mount.await?;
        let rate = commits(&hop, side, TIMED / size.less).await;
        running.stop().await?;
        hop.close().await?;
        Ok(Sample { rate: rate?, ..Sample::default() })
    });
    let rounds = rounds.await?;
    let rate = |side| rounds.median(|it| it.rate, side);
    let told = format!(
        "{:.0} commits/s of {WRITERS} writers with a relay that is woken, {:.0} with one that looks now \
         and then, {:.0} with a notification in each transaction; a disk of 2 ms",
        rate(WOKEN),
        rate(ASLEEP),
        rate(IN_EACH)
    );
    let ratios = rounds.ratios(|it| it.rate, WOKEN, ASLEEP);
    Ok((rounds, vec![Verdict::new(GOALS[0], &ratios, Bound::AtLeast, 0.95, told)]))
}

/// Commits in a second.
async fn commits(hop: &Hop, side: usize, timed: Duration) -> Result<f64> {
    let (committed, wake, stop) =
        (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()), CancellationToken::new());
    let mut working = JoinSet::new();
    for _ in 0..WRITERS {
        let (db, committed) = (hop.database().await?, committed.clone());
        working.spawn(write(db, side == IN_EACH, committed, wake.clone(), stop.clone()));
    }
    if side == WOKEN {
        working.spawn(tell(hop.database().await?, wake, stop.clone()));
    }
    let began = Instant::now();
    tokio::time::sleep(timed).await;
    let rate = committed.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.cancel();
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    Ok(rate)
}

/// A business that has something to announce, one commit after the other.
async fn write(
    mut db: PgConnection,
    notifies: bool,
    committed: Arc<AtomicU64>,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> Result<()> {
    while !stop.is_cancelled() {
        let mut tx = db.begin().await?;
        sqlx::query(
            "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
                 correlation_id, occurred_at)
             VALUES ($1, 0, 'retail.sale.events.v1', 'retail.sale.SaleConfirmed', $2, 1, '', '',
                 now())",
        )
        .bind(Uuid::now_v7())
        .bind(Uuid::now_v7().to_string())
        .execute(&mut *tx)
        .await?;
        if notifies {
            sqlx::query("SELECT pg_notify('millrace_outbox', '')").execute(&mut *tx).await?;
        }
        tx.commit().await?;
        committed.fetch_add(1, Ordering::Relaxed);
        wake.notify_one();
    }
    Ok(db.close().await?)
}

/// Tells the relay of another process, once for any number of commits.
async fn tell(mut db: PgConnection, wake: Arc<Notify>, stop: CancellationToken) -> Result<()> {
    while stop.run_until_cancelled(wake.notified()).await.is_some() {
        sqlx::query("SELECT pg_notify('millrace_outbox', '')").execute(&mut db).await?;
    }
    Ok(db.close().await?)
}
