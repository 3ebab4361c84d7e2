//! An operator puts the group at another place while its members stay: each member moves the
//! partitions it has. What is read again is absorbed as after a reset by any other tool: by the
//! inbox, or by the positions beside the rows of a view.

use sqlx::Row as _;
use uuid::Uuid;

use super::assign::Partition;
use super::poll::Link;
use crate::Fault;
use crate::control::operation;
use crate::core::{Core, in_time};

/// What was looked at last: how often operators asked, and which assignment it was.
#[derive(Default)]
pub(super) struct Seeks {
    seen: Option<(u64, u64)>,
}

/// A partition that is to be moved.
struct Wanted {
    partition: Partition,
    offset: i64,
    operation: Uuid,
}

impl Seeks {
    /// Moves what is to be moved of the partitions that are ours, and says which were.
    pub(super) async fn obey(&mut self, core: &Core, link: &Link) -> Vec<Partition> {
        let now = (*core.seeks.borrow(), link.assignment.latest());
        if self.seen == Some(now) {
            return vec![];
        }
        let mut moved = vec![];
        match in_time(wanted(core)).await {
            Ok(all) => {
                let ours = |wanted: &Wanted| link.assignment.generation(wanted.partition).is_some();
                for wanted in all.into_iter().filter(ours) {
                    match one(core, link, &wanted).await {
                        Ok(()) => moved.push(wanted.partition),
                        Err(fault) => return self.again(core, &fault, moved),
                    }
                }
                // A move is a new assignment to whoever reads; nothing more is wanted of it.
                self.seen = Some((now.0, link.assignment.latest()));
                moved
            }
            Err(fault) => self.again(core, &fault, moved),
        }
    }

    fn again(&mut self, core: &Core, fault: &Fault, moved: Vec<Partition>) -> Vec<Partition> {
        tracing::warn!(service = core.service, error = %fault, "the group is not put elsewhere yet");
        self.seen = None;
        moved
    }
}

async fn wanted(core: &Core) -> Result<Vec<Wanted>, Fault> {
    let rows = sqlx::query(r#"SELECT topic, "partition", "offset", operation FROM millrace.seek"#)
        .fetch_all(&core.pool)
        .await?;
    let known = |row: &sqlx::postgres::PgRow| {
        let topic: &str = row.get(0);
        let topic = core.reads.iter().find(|read| **read == topic)?;
        Some(Wanted { partition: (*topic, row.get(1)), offset: row.get(2), operation: row.get(3) })
    };
    Ok(rows.iter().filter_map(known).collect())
}

/// The broker first: should the process end in between, the move is made once more.
async fn one(core: &Core, link: &Link, wanted: &Wanted) -> Result<(), Fault> {
    let Wanted { partition, offset, operation } = *wanted;
    link.put(partition, offset).await?;
    let (topic, number) = partition;
    tracing::info!(
        service = core.service,
        topic,
        partition = number,
        offset,
        "group put elsewhere"
    );
    in_time(Box::pin(operation::moved(core, operation, partition, offset))).await
}
