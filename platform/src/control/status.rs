//! How an instance is, every second, for everybody who wants to know. A broker that is away is no
//! reason to wait: the next second has a newer record.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use uuid::Uuid;

use super::OpsTopics;
use crate::core::{Core, within};
use crate::kafka::{self, Names};
use crate::outbox::PENDING;
use crate::parking::store::counts;
use crate::{Fault, Health, Timestamp};

/// Counting in the database takes no longer.
const COUNT_MAX: Duration = Duration::from_secs(1);

/// How one instance of a service is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The service's name.
    pub service: String,
    /// Its consumer group, with the deployment's prefix.
    pub group: String,
    /// The instance among those of its group.
    pub instance: String,
    /// Version of the build.
    pub version: String,
    /// When this was so, RFC 3339, by the clock of the instance.
    pub at: String,
    /// Every condition holds.
    pub ready: bool,
    /// Conditions, and why those do not hold that do not.
    pub conditions: BTreeMap<String, Option<String>>,
    /// Fingerprint of the code that folds its view, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// What operators hold: `group`, a topic, or `topic/partition`.
    pub paused: Vec<String>,
    /// How far this instance has handled its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Keys that wait in the group's database; absent when it did not answer.
    pub parked_keys: Option<i64>,
    /// Records that wait.
    pub parked_records: Option<i64>,
    /// Dead letters among them.
    pub dead_letters: Option<i64>,
    /// Rows of the outbox that are not sent.
    pub outbox_pending: Option<i64>,
    /// Age of the oldest of them.
    pub outbox_oldest_seconds: Option<f64>,
    /// Circuit breakers by dependency: `closed`, `half_open` or `open`.
    pub breakers: BTreeMap<String, String>,
    /// Operations that run, are paused, or ended within the last minute.
    pub operations: Vec<OperationStatus>,
}

/// How far a partition is handled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Topic without the deployment's prefix.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the next record.
    pub offset: i64,
    /// Age of the last record when it was handled.
    pub time_lag_seconds: Option<f64>,
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStatus {
    /// Its id, given by who asked for it.
    pub id: Uuid,
    /// What was asked for.
    pub kind: String,
    /// `running`, `paused`, `done`, `stopped`, `cancelled` or `refused`.
    pub state: String,
    /// Keys it is about.
    pub total: i32,
    /// Keys that went well.
    pub done: i32,
    /// Keys that failed again.
    pub failed: i32,
    /// What there is to say.
    pub detail: String,
}

/// Sends the records.
pub(super) struct Teller {
    producer: BaseProducer,
    topic: String,
    key: String,
    health: Health,
}

/// What the database says.
struct Stored {
    parked: crate::parking::Counts,
    pending: i64,
    oldest_seconds: f64,
    operations: Vec<OperationStatus>,
}

impl Teller {
    pub(super) fn new(core: &Core, health: Health) -> Result<Self, Fault> {
        let client_id = format!("{}-ops", kafka::client_id(&core.config, core.service));
        let mut config = kafka::producer(&core.config, &client_id);
        config
            .set("enable.gapless.guarantee", "false")
            .set("message.timeout.ms", "5000")
            .set("queue.buffering.max.messages", "10");
        let producer = config.create().map_err(Fault::transient)?;
        let topic = Names::new(&core.config).topic(&OpsTopics::of(core.domain).status);
        let key = format!("{}/{}", core.group, core.instance);
        Ok(Self { producer, topic, key, health })
    }

    pub(super) async fn tell(&mut self, core: &Core) {
        let stored = within(COUNT_MAX, stored(core)).await.ok();
        if let Some(stored) = &stored {
            core.metrics.parking(stored.parked.keys, stored.parked.records, stored.parked.dead);
        }
        let status = self.status(core, stored);
        let payload = serde_json::to_vec(&status).unwrap_or_default();
        let record = BaseRecord::to(&self.topic).key(&self.key).payload(&payload);
        if let Err((error, _)) = self.producer.send(record) {
            tracing::debug!(service = core.service, %error, "status not told");
        }
        self.producer.poll(Duration::ZERO);
    }

    fn status(&self, core: &Core, stored: Option<Stored>) -> Status {
        let pauses = core.pauses.borrow().clone();
        let group = pauses.group.then(|| "group".to_owned());
        let parts = pauses.parts.iter().map(|(topic, partition)| match partition {
            Some(partition) => format!("{topic}/{partition}"),
            None => (*topic).to_owned(),
        });
        let partition = |((topic, partition), (offset, lag)): (crate::consume::Partition, _)| {
            PartitionStatus { topic: topic.to_owned(), partition, offset, time_lag_seconds: lag }
        };
        let parked = stored.as_ref().map(|stored| stored.parked);
        Status {
            service: core.service.to_owned(),
            group: core.group.clone(),
            instance: core.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: Timestamp::from(time::OffsetDateTime::now_utc()).to_string(),
            ready: self.health.ready().is_ok(),
            conditions: self.health.conditions().into_iter().collect(),
            fold: core.view.as_ref().map(|view| view.fold.clone()),
            paused: group.into_iter().chain(parts).collect(),
            partitions: core.progress.all().into_iter().map(partition).collect(),
            parked_keys: parked.map(|parked| parked.keys),
            parked_records: parked.map(|parked| parked.records),
            dead_letters: parked.map(|parked| parked.dead),
            outbox_pending: stored.as_ref().map(|stored| stored.pending),
            outbox_oldest_seconds: stored.as_ref().map(|stored| stored.oldest_seconds),
            breakers: breakers(core),
            operations: stored.map(|stored| stored.operations).unwrap_or_default(),
        }
    }
}

fn breakers(core: &Core) -> BTreeMap<String, String> {
    let states = core.breakers.states().into_iter();
    states.map(|(partner, state)| (partner.to_owned(), state.to_owned())).collect()
}

async fn stored(core: &Core) -> Result<Stored, Fault> {
    let mut conn = core.pool.acquire().await?;
    let parked = counts(&mut conn).await?;
    let outbox = sqlx::query(PENDING).fetch_one(&mut *conn).await?;
    let operations = sqlx::query(
        "SELECT id, kind, state, total, done, failed, detail FROM millrace.operation
         WHERE state IN ('running', 'paused') OR updated_at > clock_timestamp() - interval '1 min'
         ORDER BY issued_at LIMIT 20",
    )
    .fetch_all(&mut *conn)
    .await?;
    let operation = |row: &sqlx::postgres::PgRow| OperationStatus {
        id: row.get(0),
        kind: row.get(1),
        state: row.get(2),
        total: row.get(3),
        done: row.get(4),
        failed: row.get(5),
        detail: row.get(6),
    };
    Ok(Stored {
        parked,
        pending: outbox.get(0),
        oldest_seconds: outbox.get(1),
        operations: operations.iter().map(operation).collect(),
    })
}
