//! Whether a field has come to rest: nothing to be published, nothing unread, nothing that waits
//! to be tried again. It reads only.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace::admin::{Admin, GroupOffset};

use super::Field;
use crate::eventually;

const UNSENT: &str = "SELECT count(*) FROM millrace.unsent";
const PARKING: &str = "SELECT to_regclass('millrace.parked') IS NOT NULL";
/// What waits behind a dead letter waits for an operator, not for time.
const WAITING: &str = "SELECT count(*) FROM millrace.parked_key WHERE state <> 'dead'";

impl Field {
    /// Waits until every service has published what it announced, has read what there is, and has
    /// nothing to try again. What a service reads has to be [told](Field::reads).
    ///
    /// # Errors
    /// When that is not so in time: says what is left, and of whom.
    pub async fn until_at_rest(&self, bound: Duration) -> Result<()> {
        eventually(bound, "everything comes to rest", async || {
            // Work goes round: what a look at one place sees end may have begun at another.
            for _ in 0..2 {
                self.is_at_rest().await.map_err(|error| format!("{error:#}"))?;
            }
            Ok(())
        })
        .await
    }

    async fn is_at_rest(&self) -> Result<()> {
        let services: BTreeSet<&str> =
            self.fleet().instances().map(|instance| instance.service()).collect();
        for name in services {
            let mut database = self.world().database(name).await?;
            if sqlx::query_scalar(PARKING).fetch_one(&mut database).await? {
                let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut database).await?;
                ensure!(waiting == 0, "{name} has {waiting} records to try again");
            }
            let unsent: i64 = sqlx::query_scalar(UNSENT).fetch_one(&mut database).await?;
            ensure!(unsent == 0, "{name} has {unsent} facts to publish");
        }
        let admin = self.admin().await?;
        for name in self.services() {
            if let Some((group, topics)) = self.group(name) {
                has_read(&admin, &group, &topics).await?;
            }
        }
        Ok(())
    }
}

async fn has_read(admin: &Admin, group: &str, topics: &[String]) -> Result<()> {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let committed = admin.group_offsets(group, &topics).await?;
    for topic in topics {
        for mark in admin.watermarks(topic).await? {
            let here = |it: &&GroupOffset| it.topic == topic && it.partition == mark.partition;
            let at = committed.iter().find(here).and_then(|it| it.committed).unwrap_or(mark.low);
            let (partition, behind) = (mark.partition, mark.high - at);
            ensure!(behind <= 0, "{group} is {behind} behind in {topic} partition {partition}");
        }
    }
    Ok(())
}
