//! What can be seen of a bad record from outside: what became of it in each group, how much each
//! group took in and each topic holds, and its dead letters. It reads only.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::eventually;
use millrace::admin::Record;
use ops::dead::Letter;
use schemas::{OrderId, topics};
use serde_json::json;
use uuid::Uuid;

use crate::demo::facts::OF_ORDERS;
use crate::demo::report::Tale;
use crate::demo::stage::Stage;

const SOON: Duration = Duration::from_secs(30);

/// All groups and topics at one moment.
pub(super) struct Sight {
    /// By service, what became of the record there.
    outcomes: BTreeMap<String, String>,
    /// Facts that a service took in, and records of a topic.
    counts: BTreeMap<String, i64>,
}

impl Sight {
    /// Of the fact with this id.
    pub(super) async fn of(stage: &Stage, fact: &str) -> Result<Self> {
        let fact: Uuid = fact.parse()?;
        let (mut outcomes, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for books in stage.all_books() {
            let service = books.service.name();
            let outcome: Option<String> =
                sqlx::query_scalar("SELECT outcome FROM millrace.inbox WHERE event_id = $1")
                    .bind(fact)
                    .fetch_optional(&books.database)
                    .await?;
            outcomes.extend(outcome.map(|outcome| (service.to_owned(), outcome)));
            let taken = sqlx::query_scalar("SELECT count(*) FROM millrace.inbox");
            let taken: i64 = taken.fetch_one(&books.database).await?;
            counts.insert(format!("taken in by {service}"), taken);
        }
        for topic in OF_ORDERS {
            let marks = stage.log().admin().watermarks(&stage.log().on_broker(topic)).await?;
            counts.insert(topic.name.to_owned(), marks.iter().map(|mark| mark.high).sum());
        }
        Ok(Self { outcomes, counts })
    }

    /// Redriving changed what became of the record in the two groups that had refused it; the journal
    /// kept it as it was from the first. All that is new are the facts that the order was short of; the record itself came to nobody again.
    pub(super) fn against(&self, before: &Self, tale: &mut Tale) {
        let in_both =
            |outcome: &str| json!({ "journal": "handled", "orders": outcome, "payments": outcome });
        tale.expect("what became of the record", in_both("dead"), &before.outcomes);
        tale.expect("what became of it in the end", in_both("handled"), &self.outcomes);
        let more = |(what, count): (&String, &i64)| {
            let more = count - before.counts.get(what).copied().unwrap_or_default();
            (more != 0).then(|| (what.clone(), more))
        };
        let more: BTreeMap<String, i64> = self.counts.iter().filter_map(more).collect();
        let wanted = json!({
            "retail.order.events.v1": 1, "retail.payment.events.v1": 1, "retail.sale.events.v1": 1,
            "taken in by journal": 3, "taken in by orders": 2, "taken in by sales": 1,
        });
        tale.expect("what came of the redrives, and nothing else", wanted, more);
    }
}

/// Waits until orders keeps so many records of the order, and answers them as they arrived.
pub(super) async fn until_kept(stage: &Stage, order: OrderId, count: usize) -> Result<Vec<String>> {
    let database = &stage.books("orders")?.database;
    let kept = "SELECT status || ' ' || split_part(name, '.', 3) FROM millrace.parked
                WHERE key = $1 AND status IN ('dead', 'waiting') ORDER BY id";
    eventually(SOON, &format!("orders keeps {count} records"), async || {
        let kept = sqlx::query_scalar(kept).bind(order.to_string()).fetch_all(database).await;
        let kept: Vec<String> = kept.map_err(|error| error.to_string())?;
        if kept.len() == count { Ok(kept) } else { Err(format!("{kept:?}")) }
    })
    .await
}

/// Parts of a record that are other in its dead letter; headers may have come behind its own.
pub(super) async fn changed(stage: &Stage, letter: &Letter) -> Result<Vec<&'static str>> {
    let dead = format!("{}retail.{}.dlq.v1", stage.log().prefix(), letter.service);
    let dead = eventually(SOON, "the dead letter is published", async || {
        found(stage, &dead, "dlq_id", &letter.id).await.map_err(|error| format!("{error:#}"))
    });
    let dead = dead.await?;
    let original =
        found(stage, &stage.log().on_broker(topics::STOCK_EVENTS), "ce_id", &letter.id).await?;
    let parts = [
        ("key", dead.key == original.key),
        ("value", dead.payload == original.payload),
        ("time", dead.timestamp == original.timestamp),
        ("headers", dead.headers.starts_with(&original.headers)),
    ];
    Ok(parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect())
}

async fn found(stage: &Stage, topic: &str, header: &str, value: &str) -> Result<Record> {
    let records = stage.log().admin().read_all(topic).await?;
    let found = records.into_iter().find(|record| record.header(header) == Some(value));
    found.with_context(|| format!("{topic} has no record with {header} {value}"))
}
