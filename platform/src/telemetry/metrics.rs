//! The numbers of one service by the names of the field, in the OpenMetrics form. No label takes
//! a value from a record or a request, so that the number of series is bounded.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::ask::AskMetrics;
use crate::replica::ReplicaMetrics;

/// Bounds of the semantic conventions, in seconds.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const RECORDS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// The metrics of one service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    group: Arc<str>,
    consumed: Family<Message, Counter>,
    sent: Family<Message, Counter>,
    operation: Family<Message, Histogram, fn() -> Histogram>,
    processed: Family<Message, Histogram, fn() -> Histogram>,
    duplicates: Family<Fact, Counter>,
    skipped: Family<OfTopic, Counter>,
    batch_records: Histogram,
    batch_seconds: Histogram,
    retries: Family<Failure, Counter>,
    stopped: Family<OfPartition, Gauge>,
    time_lag: Family<OfPartition, Gauge<f64, AtomicU64>>,
    paused: Gauge,
    attempts: Family<Parked, Counter>,
    dead_letters: Family<Parked, Counter>,
    parked_keys: Gauge,
    parked_records: Gauge,
    dead: Gauge,
    outbox_pending: Gauge,
    outbox_oldest: Gauge<f64, AtomicU64>,
    outbox_published: Counter,
    outbox_failures: Family<Failure, Counter>,
    outbox_blocked: Gauge,
    http: Family<Request, Histogram, fn() -> Histogram>,
    asks: AskMetrics,
    replica: ReplicaMetrics,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Message {
    messaging_system: &'static str,
    messaging_operation_name: &'static str,
    messaging_operation_type: &'static str,
    messaging_destination_name: String,
    messaging_consumer_group_name: Option<Arc<str>>,
    retail_event_type: Option<&'static str>,
    error_type: Option<&'static str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fact {
    group: Arc<str>,
    retail_event_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTopic {
    topic: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPartition {
    group: Arc<str>,
    topic: &'static str,
    partition: i32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    error_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Parked {
    group: Arc<str>,
    error_type: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    http_request_method: &'static str,
    http_route: String,
    http_response_status_code: u16,
    url_scheme: &'static str,
    error_type: Option<String>,
}

impl Metrics {
    /// `service` labels every series; `group` is its consumer group.
    pub(crate) fn new(service: &str, group: &str, version: &str) -> Self {
        let label = ("service".into(), service.to_owned().into());
        let mut registry = Registry::with_labels([label].into_iter());
        let mut inner = Inner {
            asks: AskMetrics::register(&mut registry),
            replica: ReplicaMetrics::register(&mut registry),
            registry,
            group: group.into(),
            consumed: Family::default(),
            sent: Family::default(),
            operation: Family::new_with_constructor(seconds),
            processed: Family::new_with_constructor(seconds),
            duplicates: Family::default(),
            skipped: Family::default(),
            batch_records: Histogram::new(RECORDS),
            batch_seconds: seconds(),
            retries: Family::default(),
            stopped: Family::default(),
            time_lag: Family::default(),
            paused: Gauge::default(),
            attempts: Family::default(),
            dead_letters: Family::default(),
            parked_keys: Gauge::default(),
            parked_records: Gauge::default(),
            dead: Gauge::default(),
            outbox_pending: Gauge::default(),
            outbox_oldest: Gauge::default(),
            outbox_published: Counter::default(),
            outbox_failures: Family::default(),
            outbox_blocked: Gauge::default(),
            http: Family::new_with_constructor(seconds),
        };
        let target =
            [("service_name", service.to_owned()), ("service_version", version.to_owned())];
        inner.registry.register("target", "What is measured", Info::new(target.to_vec()));
        inner.register_consume();
        inner.register_outbox();
        let http = inner.http.clone();
        let help = "Time from a complete request head to the answer";
        inner.registry.register("http_server_request_duration_seconds", help, http);
        Self(Arc::new(inner))
    }

    /// Facts of one type taken from a topic.
    pub(crate) fn consumed(&self, topic: &'static str, name: &'static str, count: u64) {
        let labels = self.message("poll", "receive", topic, Some(name), None);
        self.0.consumed.get_or_create(&labels).inc_by(count);
    }

    /// Time a fact took, from its batch's first statement to the commit.
    pub(crate) fn processed(
        &self,
        topic: &'static str,
        name: &'static str,
        took: Duration,
        error: Option<&'static str>,
    ) {
        let labels = self.message("process", "process", topic, Some(name), error);
        self.0.processed.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Facts that had been applied before.
    pub(crate) fn duplicates(&self, name: &'static str, count: u64) {
        let labels = Fact { group: self.0.group.clone(), retail_event_type: name };
        self.0.duplicates.get_or_create(&labels).inc_by(count);
    }

    /// Records of a type this service does not read.
    pub(crate) fn skipped_unknown(&self, topic: &'static str, count: u64) {
        self.0.skipped.get_or_create(&OfTopic { topic }).inc_by(count);
    }

    /// One committed batch.
    pub(crate) fn batch(&self, records: usize, took: Duration) {
        self.0.batch_records.observe(records as f64);
        self.0.batch_seconds.observe(took.as_secs_f64());
    }

    /// A batch is done again.
    pub(crate) fn retried(&self, error_type: &'static str) {
        self.0.retries.get_or_create(&Failure { error_type }).inc();
    }

    /// A record failed: it is a dead letter now, or it will be tried again. The type is a word of
    /// few values.
    pub(crate) fn parked(&self, dead: bool, error_type: &str, reason: &'static str) {
        let group = self.0.group.clone();
        let labels = Parked { group, error_type: error_type.to_owned(), reason };
        let family = if dead { &self.0.dead_letters } else { &self.0.attempts };
        family.get_or_create(&labels).inc();
    }

    /// How much waits in the group's database.
    pub(crate) fn parking(&self, keys: i64, records: i64, dead: i64) {
        self.0.parked_keys.set(keys);
        self.0.parked_records.set(records);
        self.0.dead.set(dead);
    }

    /// Whether a partition stands at a record that cannot be handled.
    pub(crate) fn partition_stopped(&self, topic: &'static str, partition: i32, stopped: bool) {
        let labels = self.partition(topic, partition);
        self.0.stopped.get_or_create(&labels).set(i64::from(stopped));
    }

    /// Whether the consumer waits for its infrastructure.
    pub(crate) fn paused(&self, paused: bool) {
        self.0.paused.set(i64::from(paused));
    }

    /// Age of the record last applied of a partition.
    pub(crate) fn time_lag(&self, topic: &'static str, partition: i32, seconds: f64) {
        let labels = self.partition(topic, partition);
        self.0.time_lag.get_or_create(&labels).set(seconds);
    }

    /// Rows waiting in the outbox and the age of the oldest.
    pub(crate) fn outbox_pending(&self, rows: i64, oldest_seconds: f64) {
        self.0.outbox_pending.set(rows);
        self.0.outbox_oldest.set(oldest_seconds);
    }

    /// Records a broker has acknowledged.
    pub(crate) fn published(&self, topic: &str, count: u64) {
        let labels = self.message("send", "send", topic, None, None);
        self.0.sent.get_or_create(&labels).inc_by(count);
        self.0.outbox_published.inc_by(count);
    }

    /// A relay batch that was not acknowledged.
    pub(crate) fn publish_failed(&self, error_type: &'static str) {
        self.0.outbox_failures.get_or_create(&Failure { error_type }).inc();
    }

    /// Keys whose next fact the broker refuses.
    pub(crate) fn blocked_keys(&self, count: usize) {
        self.0.outbox_blocked.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Time from handing a batch to the producer to its last acknowledgement.
    pub(crate) fn sent_duration(&self, topic: &str, took: Duration) {
        let labels = self.message("send", "send", topic, None, None);
        self.0.operation.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// One answered request. The route is the template, never the path.
    pub(crate) fn http(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = Request {
            http_request_method: method,
            http_route: route.to_owned(),
            http_response_status_code: status,
            url_scheme: "http",
            error_type: (status >= 500).then(|| status.to_string()),
        };
        self.0.http.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// What is asked of partners outside.
    pub(crate) fn asks(&self) -> &AskMetrics {
        &self.0.asks
    }

    /// How the copy of a topic is.
    pub(crate) fn replica(&self) -> &ReplicaMetrics {
        &self.0.replica
    }

    /// Everything as OpenMetrics text.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        text::encode(&mut text, &self.0.registry).expect("writing to a string does not fail");
        text
    }

    fn message(
        &self,
        operation: &'static str,
        kind: &'static str,
        topic: &str,
        name: Option<&'static str>,
        error_type: Option<&'static str>,
    ) -> Message {
        let consumes = operation != "send";
        Message {
            messaging_system: "kafka",
            messaging_operation_name: operation,
            messaging_operation_type: kind,
            messaging_destination_name: topic.to_owned(),
            messaging_consumer_group_name: consumes.then(|| self.0.group.clone()),
            retail_event_type: name,
            error_type,
        }
    }

    fn partition(&self, topic: &'static str, partition: i32) -> OfPartition {
        OfPartition { group: self.0.group.clone(), topic, partition }
    }
}

impl Inner {
    fn register_consume(&mut self) {
        let r = &mut self.registry;
        r.register(
            "messaging_client_consumed_messages",
            "Facts taken from topics",
            self.consumed.clone(),
        );
        r.register(
            "messaging_process_duration_seconds",
            "Time from a batch's first statement to its commit",
            self.processed.clone(),
        );
        r.register("inbox_duplicates", "Facts applied before", self.duplicates.clone());
        r.register("consumer_skipped", "Records of types not read here", self.skipped.clone());
        r.register("consumer_batch_records", "Records in a batch", self.batch_records.clone());
        r.register("consumer_batch_seconds", "Time of a batch", self.batch_seconds.clone());
        r.register("retry_attempts", "Batches done again", self.retries.clone());
        r.register(
            "consumer_partition_stopped",
            "1 when a record that cannot be handled stops the partition",
            self.stopped.clone(),
        );
        r.register("consumer_time_lag_seconds", "Age of the last record", self.time_lag.clone());
        r.register("record_attempts_failed", "Attempts at parked records", self.attempts.clone());
        r.register("dead_letters", "Records that became dead letters", self.dead_letters.clone());
        r.register("parked_keys", "Keys that wait", self.parked_keys.clone());
        r.register("parked_records", "Records that wait", self.parked_records.clone());
        r.register("dead_letters_waiting", "Dead letters that wait", self.dead.clone());
        r.register("consumer_paused", "1 while infrastructure is away", self.paused.clone());
    }

    fn register_outbox(&mut self) {
        let r = &mut self.registry;
        r.register("outbox_pending_messages", "Rows not yet sent", self.outbox_pending.clone());
        r.register("outbox_oldest_pending_seconds", "Oldest row", self.outbox_oldest.clone());
        r.register("outbox_published", "Records acknowledged", self.outbox_published.clone());
        r.register("outbox_failures", "Batches not acknowledged", self.outbox_failures.clone());
        r.register("outbox_blocked_keys", "Keys the broker refuses", self.outbox_blocked.clone());
        r.register(
            "messaging_client_sent_messages",
            "Facts acknowledged by a broker",
            self.sent.clone(),
        );
        r.register(
            "messaging_client_operation_duration_seconds",
            "Time of an operation on the broker",
            self.operation.clone(),
        );
    }
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}
