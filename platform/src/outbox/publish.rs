//! A batch on its way to the broker: sent as a whole, every acknowledgement awaited.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use millrace_contract::{Headers, TraceContext, headers_from_json};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::Fault;
use crate::contract::Timestamp;
use crate::core::Core;
use crate::kafka::{self, Names};
use crate::plant::{self, Plant};

/// The broker must show its topics within this time.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A relay with nothing to send looks for the broker this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A row of the outbox.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// Its place in the outbox.
    pub(super) id: i64,
    pub(super) shard: i16,
    pub(super) event_id: Uuid,
    pub(super) topic: Cow<'static, str>,
    pub(super) name: Cow<'static, str>,
    pub(super) key: String,
    /// 0 of what is no fact.
    pub(super) version: i64,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) correlation_id: String,
    pub(super) causation_id: Option<Uuid>,
    pub(super) traceparent: Option<String>,
    pub(super) occurred_at: Timestamp,
    pub(super) recorded_at: Timestamp,
    pub(super) raw: Option<Raw>,
}

/// What is sent of a record that is not a fact of ours, as it is.
pub(super) struct Raw {
    key: Option<Vec<u8>>,
    headers: Headers,
    timestamp_ms: Option<i64>,
}

impl Outgoing {
    pub(super) fn from_row(row: &PgRow) -> Self {
        Self {
            event_id: row.get(0),
            topic: row.get::<String, _>(1).into(),
            name: row.get::<String, _>(2).into(),
            key: row.get(3),
            version: row.get(4),
            payload: row.get(5),
            correlation_id: row.get(6),
            causation_id: row.get(7),
            traceparent: row.get(8),
            occurred_at: row.get::<time::OffsetDateTime, _>(9).into(),
            recorded_at: row.get::<time::OffsetDateTime, _>(10).into(),
            raw: row.get::<Option<&[u8]>, _>(11).map(|headers| Raw {
                key: row.get(12),
                headers: headers_from_json(headers).unwrap_or_default(),
                timestamp_ms: row.get(13),
            }),
            id: row.get(14),
            shard: row.get(15),
        }
    }

    /// How large its payload is.
    pub(super) fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len)
    }

    /// CloudEvents attributes in binary mode.
    fn headers(&self, service: &str, registry: &str) -> OwnedHeaders {
        if let Some(raw) = &self.raw {
            let insert = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
                all.insert(Header { key, value: value.as_deref() })
            };
            return raw.headers.iter().fold(OwnedHeaders::new(), insert);
        }
        let domain = self.topic.split('.').next().unwrap_or_default();
        let payload = self.payload.as_deref().unwrap_or_default();
        let schema_id = millrace_contract::unframe(payload).map_or(0, |(id, _)| id);
        let mut headers: Vec<(&str, Cow<'_, str>)> = vec![
            ("ce_specversion", "1.0".into()),
            ("ce_id", self.event_id.to_string().into()),
            ("ce_source", format!("/{domain}/{service}").into()),
            ("ce_type", (*self.name).into()),
            ("ce_subject", (&self.key).into()),
            ("ce_partitionkey", (&self.key).into()),
            ("ce_time", self.occurred_at.to_string().into()),
            ("ce_recordedtime", self.recorded_at.to_string().into()),
            ("ce_dataschema", format!("{registry}/schemas/ids/{schema_id}").into()),
            ("ce_sequence", format!("{:020}", self.version).into()),
            ("ce_correlationid", (&self.correlation_id).into()),
            ("content-type", "application/avro".into()),
        ];
        if let Some(causation) = self.causation_id {
            headers.push(("ce_causationid", causation.to_string().into()));
        }
        if let Some(traceparent) = &self.traceparent {
            headers.push(("traceparent", traceparent.into()));
        }
        super::planted::spoil(&mut headers);
        let insert = |all: OwnedHeaders, (key, value): &(&str, Cow<'_, str>)| {
            all.insert(Header { key, value: Some(&**value) })
        };
        headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), insert)
    }
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Outcome {
    /// Indices of rows to mark as sent: for each key a prefix without a hole.
    pub(super) acknowledged: Vec<usize>,
    /// Keys with a record the broker will never take, and why.
    pub(super) refused: Vec<(String, String)>,
    /// The broker is away: the producer must be thrown away, since a record that timed out in its
    /// queue and a later one of the same key that did not would stand in the wrong order.
    pub(super) failed: Option<Fault>,
}

/// A producer of one session.
pub(super) struct Publisher {
    producer: FutureProducer,
    names: Names,
    registry_url: String,
    patience: Duration,
    /// When the broker last showed that it is there.
    seen: Instant,
}

impl Publisher {
    pub(super) async fn connect(core: &Core) -> Result<Self, Fault> {
        let client_id = kafka::client_id(&core.config, core.service);
        let config = kafka::producer(&core.config, &client_id);
        let mut publisher = Self {
            producer: config.create().map_err(Fault::transient)?,
            names: Names::new(&core.config),
            registry_url: core.config.registry.url.clone(),
            patience: core.config.outbox.delivery_timeout,
            seen: Instant::now(),
        };
        publisher.look().await?;
        Ok(publisher)
    }

    /// Notices a broker that is away before there is anything to send.
    pub(super) async fn look_now_and_then(&mut self) -> Result<(), Fault> {
        match self.seen.elapsed() < LOOK_EVERY {
            true => Ok(()),
            false => self.look().await,
        }
    }

    /// Asks the broker for its topics, which warms the connection.
    async fn look(&mut self) -> Result<(), Fault> {
        let producer = self.producer.clone();
        let look = move || producer.client().fetch_metadata(None, LOOK_MAX).map(drop);
        let looked = tokio::task::spawn_blocking(look).await.map_err(Fault::transient)?;
        self.seen = Instant::now();
        looked.map_err(Fault::transient)
    }

    /// Sends everything, then awaits everything.
    pub(super) async fn publish(&self, core: &Core, rows: &[Outgoing]) -> Outcome {
        let began = Instant::now();
        let creates: Vec<TraceContext> =
            rows.iter().filter_map(|row| row.traceparent.clone().map(TraceContext)).collect();
        let topic = rows.first().map_or("", |row| &row.topic);
        let mut span = core.tracing.send(topic, rows.len(), creates.iter());
        let mut sent = Vec::with_capacity(rows.len());
        let mut outcome = Outcome::default();
        let mut held: HashSet<&str> = HashSet::new();
        for row in rows {
            if outcome.failed.is_some() || held.contains(row.key.as_str()) {
                sent.push(None);
                continue;
            }
            match self.enqueue(core.service, row).await {
                Ok(delivery) => sent.push(Some(delivery)),
                Err(error) => {
                    sent.push(None);
                    held.insert(&row.key);
                    outcome.note(&row.key, &error);
                }
            }
        }
        self.collect(rows, sent, &mut outcome).await;
        if outcome.failed.is_some() {
            span.fail("broker");
        }
        for topic in rows.iter().map(|row| &*row.topic).collect::<HashSet<&str>>() {
            let of_topic = |index: &&usize| rows[**index].topic == topic;
            let count = outcome.acknowledged.iter().filter(of_topic).count();
            core.metrics.published(topic, count as u64);
            core.metrics.sent_duration(topic, began.elapsed());
        }
        outcome
    }

    async fn enqueue(&self, service: &str, row: &Outgoing) -> Result<DeliveryFuture, KafkaError> {
        let topic = self.names.topic(&row.topic);
        let headers = row.headers(service, &self.registry_url);
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        record.payload = row.payload.as_deref();
        record.key = match &row.raw {
            None => Some(row.key.as_bytes()),
            Some(raw) => raw.key.as_deref(),
        };
        if row.raw.is_some() && plant::is(Plant::LetterElsewhere) {
            record.partition = Some(0);
        }
        record.timestamp = row.raw.as_ref().and_then(|raw| raw.timestamp_ms);
        let began = Instant::now();
        loop {
            match self.producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((error, returned)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !full || began.elapsed() > self.patience {
                        return Err(error);
                    }
                    record = returned;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    async fn collect(
        &self,
        rows: &[Outgoing],
        sent: Vec<Option<DeliveryFuture>>,
        outcome: &mut Outcome,
    ) {
        if plant::is_turn(Plant::RelayUnawaited, 5) {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            outcome.acknowledged = (0..rows.len()).collect();
            return;
        }
        let mut broken: HashSet<&str> = HashSet::new();
        let deadline = tokio::time::Instant::now() + self.patience + Duration::from_secs(5);
        for (index, delivery) in sent.into_iter().enumerate() {
            let row = &rows[index];
            let acknowledged = match delivery {
                None => false,
                Some(delivery) => match tokio::time::timeout_at(deadline, delivery).await {
                    Ok(Ok(Ok(_))) => true,
                    Ok(Ok(Err((error, _)))) => {
                        outcome.note(&row.key, &error);
                        false
                    }
                    Ok(Err(_)) | Err(_) => {
                        outcome.failed = Some(Fault::transient("the broker did not acknowledge"));
                        false
                    }
                },
            };
            if !acknowledged {
                broken.insert(&row.key);
            } else if !broken.contains(row.key.as_str()) {
                outcome.acknowledged.push(index);
            }
        }
    }

    /// Lets what is queued leave, or makes sure that nothing does.
    pub(super) async fn close(&self, orderly: bool) {
        let producer = self.producer.clone();
        let close = move || {
            if orderly {
                if let Err(error) = producer.flush(Duration::from_secs(2)) {
                    tracing::warn!(%error, "unsent facts stay in the outbox");
                }
            } else {
                producer.purge(PurgeConfig::default().queue().inflight());
            }
        };
        if tokio::task::spawn_blocking(close).await.is_err() {
            tracing::error!("closing the producer panicked");
        }
    }
}

impl Outcome {
    fn note(&mut self, key: &str, error: &KafkaError) {
        let refused = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::InvalidMessage
                    | RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::PolicyViolation
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownPartition
            )
        );
        if refused {
            self.refused.push((key.to_owned(), error.to_string()));
        } else {
            self.failed = Some(Fault::transient(error.clone()));
        }
    }
}
