//! Day partitions of inbox and outbox. They are made ahead and dropped whole: deleting rows one by
//! one bloats a queue table until it stalls.

use std::time::Duration;

use millrace_contract::{Cleanup, Topic};
use sqlx::{AssertSqlSafe, PgPool, Row};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::Fault;

/// Partitions exist this many days ahead.
const DAYS_AHEAD: i64 = 3;
/// Kept beyond the retention of the topics: segments are deleted late, and clocks differ.
const MARGIN: Duration = Duration::from_secs(2 * 24 * 3600);
/// Answers under idempotency keys are replayed for this long.
const IDEMPOTENCY_DAYS: i32 = 7;
/// Records that were redriven or discarded, and operations that ended, are kept as long as the
/// topics of dead letters keep theirs.
const EVIDENCE_DAYS: i32 = 30;

/// How long rows of inbox and outbox can still matter, and are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Rows of the inbox. `None`: a topic that is never deleted may be read again from its first
    /// record.
    pub inbox: Option<Duration>,
    /// Rows of the outbox that are sent.
    pub outbox: Option<Duration>,
}

impl Horizon {
    /// Derived, not a clock: an inbox row may go when no permitted redelivery can reach it. Without
    /// a window everything that the topics keep may be delivered again.
    ///
    /// # Errors
    /// A window that reaches further back than a topic.
    pub(crate) fn derive(
        reads: &[&Topic],
        emits: &[&Topic],
        window: Duration,
    ) -> Result<Self, String> {
        let short = |topic: &&&Topic| match topic.cleanup {
            Cleanup::Delete { retention_ms } => Duration::from_millis(retention_ms) < window,
            Cleanup::Compact => false,
        };
        if let Some(topic) = reads.iter().find(short) {
            return Err(format!(
                "`consume.replay_window` is {window:?}, and {} does not keep its records that long: \
                 lower the one, or raise retention_days of the other",
                topic.name
            ));
        }
        let kept = longest(reads);
        let inbox = match window {
            Duration::ZERO => kept,
            window => kept.map(|_| window + MARGIN),
        };
        Ok(Self { inbox, outbox: longest(emits) })
    }
}

fn longest(topics: &[&Topic]) -> Option<Duration> {
    let retention = topics.iter().map(|topic| match topic.cleanup {
        Cleanup::Delete { retention_ms } => Some(Duration::from_millis(retention_ms)),
        Cleanup::Compact => None,
    });
    let all: Option<Vec<Duration>> = retention.collect();
    Some(all?.into_iter().max().unwrap_or_default() + MARGIN)
}

/// Makes the partitions of the coming days and drops those past the horizon.
pub(crate) async fn maintain(pool: &PgPool, horizon: &Horizon) -> Result<(), Fault> {
    let mut conn = pool.acquire().await?;
    sqlx::raw_sql("SET lock_timeout = '2s'").execute(&mut *conn).await?;
    let maintained = tables(&mut conn, horizon).await;
    sqlx::raw_sql("RESET lock_timeout").execute(&mut *conn).await?;
    let answers = sqlx::query(
        "DELETE FROM millrace.idempotency WHERE created_at < now() - make_interval(days => $1)",
    );
    answers.bind(IDEMPOTENCY_DAYS).execute(&mut *conn).await?;
    let settled = sqlx::query(
        "DELETE FROM millrace.parked WHERE status IN ('redriven', 'discarded')
             AND parked_at < now() - make_interval(days => $1)",
    );
    settled.bind(EVIDENCE_DAYS).execute(&mut *conn).await?;
    let ended = sqlx::query(
        "DELETE FROM millrace.operation WHERE state NOT IN ('running', 'paused')
             AND updated_at < now() - make_interval(days => $1)",
    );
    ended.bind(EVIDENCE_DAYS).execute(&mut *conn).await?;
    maintained
}

async fn tables(conn: &mut sqlx::PgConnection, horizon: &Horizon) -> Result<(), Fault> {
    let today = OffsetDateTime::now_utc().date();
    for table in ["inbox", "outbox"] {
        for ahead in -1..=DAYS_AHEAD {
            let day = today.saturating_add(time::Duration::days(ahead));
            if let Err(error) = sqlx::raw_sql(create(table, day)).execute(&mut *conn).await {
                tracing::warn!(%error, table, %day, "day partition was not made");
            }
        }
    }
    for (table, keep) in [("inbox", horizon.inbox), ("outbox", horizon.outbox)] {
        let Some(keep) = keep else { continue };
        let oldest = (OffsetDateTime::now_utc() - keep).date();
        for partition in expired(conn, table, oldest).await? {
            tracing::info!(partition, "dropping a day past the horizon");
            let drop = AssertSqlSafe(format!("DROP TABLE millrace.{partition}"));
            sqlx::raw_sql(drop).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

fn create(table: &str, day: Date) -> AssertSqlSafe<String> {
    let (from, to) = (first_id(day), first_id(day.saturating_add(time::Duration::days(1))));
    let name = partition_name(table, day);
    AssertSqlSafe(format!(
        "CREATE TABLE IF NOT EXISTS millrace.{name} PARTITION OF millrace.{table} \
         FOR VALUES FROM ('{from}') TO ('{to}')"
    ))
}

fn partition_name(table: &str, day: Date) -> String {
    format!("{table}_{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

/// The smallest UUIDv7 of a day: its first 48 bits are milliseconds since the epoch.
fn first_id(day: Date) -> Uuid {
    let millis = day.midnight().assume_utc().unix_timestamp() as u64 * 1000;
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Partitions wholly before `oldest`; of the outbox only those with nothing left to send.
async fn expired(
    conn: &mut sqlx::PgConnection,
    table: &str,
    oldest: Date,
) -> Result<Vec<String>, Fault> {
    let children = sqlx::query(
        "SELECT child.relname::text FROM pg_inherits
         JOIN pg_class child ON child.oid = inhrelid
         WHERE inhparent = ('millrace.' || $1)::regclass
           AND child.relname ~ '_[0-9]{8}$' AND child.relname < $2
         ORDER BY 1",
    );
    let rows =
        children.bind(table).bind(partition_name(table, oldest)).fetch_all(&mut *conn).await?;
    let mut expired = vec![];
    for name in rows.iter().map(|row| row.get::<String, _>(0)) {
        let waiting = AssertSqlSafe(format!(
            "SELECT EXISTS (SELECT 1 FROM millrace.{name} WHERE id IN (SELECT id FROM millrace.unsent))"
        ));
        let unsent = table == "outbox"
            && sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut *conn).await?;
        if !unsent {
            expired.push(name);
        }
    }
    Ok(expired)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const WEEK: u64 = 7 * 24 * 3600 * 1000;

    fn topic(cleanup: Cleanup) -> Topic {
        Topic { name: "t", owner: "o", partitions: 6, cleanup, key: "k", readers: &[] }
    }

    #[test]
    fn the_horizon_follows_the_longest_retention() {
        let week = topic(Cleanup::Delete { retention_ms: WEEK });
        let day = topic(Cleanup::Delete { retention_ms: WEEK / 7 });
        let horizon = Horizon::derive(&[&day, &week], &[&day], Duration::ZERO).unwrap();
        assert_eq!(horizon.inbox, Some(Duration::from_millis(WEEK) + MARGIN));
        assert_eq!(horizon.outbox, Some(Duration::from_millis(WEEK / 7) + MARGIN));
    }

    #[test]
    fn a_declared_window_bounds_the_inbox_and_may_not_reach_behind_a_topic() {
        let (day, week) = (Duration::from_millis(WEEK / 7), Duration::from_millis(WEEK));
        let topic = topic(Cleanup::Delete { retention_ms: WEEK });
        let horizon = |window| Horizon::derive(&[&topic], &[&topic], window);
        assert_eq!(horizon(day).unwrap().inbox, Some(day + MARGIN));
        assert_eq!(horizon(week).unwrap().inbox, Some(week + MARGIN));
        let refused = horizon(week + day).unwrap_err();
        assert!(refused.contains("consume.replay_window"), "{refused}");
    }

    #[test]
    fn an_inbox_behind_a_compacted_topic_is_kept_for_ever() {
        let compacted = topic(Cleanup::Compact);
        let horizon = |window| Horizon::derive(&[&compacted], &[], window).unwrap();
        assert_eq!(horizon(Duration::ZERO).inbox, None);
        assert_eq!(horizon(Duration::from_secs(60)).inbox, None);
    }

    #[test]
    fn a_day_holds_exactly_the_ids_made_in_it() {
        let day = date!(2026 - 11 - 21);
        let at = |millis: u64| {
            let seconds = millis / 1000;
            let stamp = uuid::Timestamp::from_unix(
                uuid::NoContext,
                seconds,
                (millis % 1000) as u32 * 1_000_000,
            );
            Uuid::new_v7(stamp)
        };
        let start = day.midnight().assume_utc().unix_timestamp() as u64 * 1000;
        let next = day.next_day().expect("a day follows");
        assert!(first_id(day) <= at(start) && at(start + 86_399_999) < first_id(next));
        assert!(at(start - 1) < first_id(day));
        assert_eq!(partition_name("inbox", day), "inbox_20261121");
    }
}
