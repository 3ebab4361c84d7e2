//! Whether everything has come to rest: no order open, nothing to be published, nothing unread,
//! nothing that waits to be tried again. It reads only.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::eventually;
use harness::fault::Field;

use crate::shop;

const OPEN: &str = "SELECT count(*) FROM orders WHERE deadline IS NOT NULL";
const UNSENT: &str = "SELECT count(*) FROM millrace.outbox WHERE sent_at IS NULL";
const PARKING: &str = "SELECT to_regclass('millrace.parked') IS NOT NULL";
const WAITING: &str =
    "SELECT count(*) FROM millrace.parked WHERE status IN ('retrying', 'waiting')";

/// Waits until everything is at rest.
///
/// # Errors
/// When it is not in time: says what is not.
pub(crate) async fn wait(field: &Field, bound: Duration) -> Result<()> {
    eventually(bound, "everything comes to rest", async || {
        look(field).await.map_err(|error| format!("{error:#}"))
    })
    .await
}

async fn look(field: &Field) -> Result<()> {
    let mut orders = field.world().database("orders").await?;
    let open: i64 = sqlx::query_scalar(OPEN).fetch_one(&mut orders).await?;
    ensure!(open == 0, "{open} orders are open");
    for name in shop::names() {
        let mut database = field.world().database(name).await?;
        let unsent: i64 = sqlx::query_scalar(UNSENT).fetch_one(&mut database).await?;
        ensure!(unsent == 0, "{name} has {unsent} facts to publish");
        if sqlx::query_scalar(PARKING).fetch_one(&mut database).await? {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut database).await?;
            ensure!(waiting == 0, "{name} has {waiting} records to try again");
        }
    }
    let admin = field.world().admin().await?;
    for name in shop::names() {
        let prefix = field.world().prefix();
        let topics: Vec<String> =
            shop::topics_of(name).iter().map(|topic| format!("{prefix}{topic}")).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if topics.is_empty() {
            continue;
        }
        let committed = admin.group_offsets(&format!("{prefix}retail.{name}"), &topics).await?;
        for topic in topics {
            for mark in admin.watermarks(topic).await? {
                let place = |it: &&millrace::admin::GroupOffset| {
                    it.topic == topic && it.partition == mark.partition
                };
                let at = committed.iter().find(place).and_then(|it| it.committed);
                let behind = mark.high - at.unwrap_or(mark.low);
                ensure!(behind <= 0, "{name} is {behind} behind in {topic} {}", mark.partition);
            }
        }
    }
    Ok(())
}
