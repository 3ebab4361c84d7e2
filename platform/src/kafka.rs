//! Every setting of our Kafka clients, reviewed in one place, and the names by which a
//! deployment's prefix separates its topics and groups from others' on the same broker.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_contract::Headers;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::config::alike;
use crate::consume::packed::Packed;
use crate::plant::{self, Plant};
use crate::{Config, ConfigError};

/// How long the broker keeps an answer to those who fold for readers.
pub(crate) const READERS_WAIT: Duration = Duration::from_millis(20);
/// An answer that is as large is not kept.
const WORTH_AN_ANSWER: &str = "1048576";
/// Key shards of an outbox; one relay owns a shard at a time. Fixed, because rows carry it.
pub(crate) const SHARDS: i16 = 16;

/// A record of the largest size a broker takes by default, and a note of at most 12 KiB.
pub(crate) const LETTER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Properties that a deployment may not set, and why: our guarantees rest on the first ones, the
/// others have a key of their own.
const FIXED: [(&str, &str); 18] = [
    ("acks", NO_LOSS),
    ("request.required.acks", NO_LOSS),
    ("enable.idempotence", NO_LOSS),
    ("transactional.id", "is fixed: the outbox does not use the broker's transactions; remove it"),
    ("partitioner", "is fixed: every writer of a topic must place a key alike; remove it"),
    ("enable.auto.commit", AFTER_WORK),
    ("auto.commit.enable", AFTER_WORK),
    ("enable.auto.offset.store", AFTER_WORK),
    ("auto.offset.reset", "is fixed: a new group reads every fact there is; remove it"),
    ("isolation.level", "is fixed: what an aborted transaction wrote is no fact; remove it"),
    ("check.crcs", "is fixed: a record that was damaged must not be handled; remove it"),
    ("allow.auto.create.topics", "is fixed: a topic is made as its contract says; remove it"),
    ("bootstrap.servers", "has a key of its own; set kafka.bootstrap_servers"),
    ("metadata.broker.list", "has a key of its own; set kafka.bootstrap_servers"),
    ("session.timeout.ms", "has a key of its own; set consume.session_timeout"),
    ("heartbeat.interval.ms", "has a key of its own; set consume.heartbeat"),
    ("delivery.timeout.ms", "has a key of its own; set outbox.delivery_timeout"),
    ("message.timeout.ms", "has a key of its own; set outbox.delivery_timeout"),
];
const NO_LOSS: &str = "is fixed: without it a fact could be lost or doubled; remove it";
const AFTER_WORK: &str = "is fixed: an offset moves only after the work is committed; remove it";

/// How the properties begin that only a consumer takes, after CONFIGURATION.md of librdkafka.
const OF_CONSUMERS: [&str; 11] = [
    "auto.",
    "consume.",
    "coordinator.",
    "enable.partition.eof",
    "fetch.",
    "group.",
    "max.partition.fetch",
    "max.poll",
    "offset.store.",
    "partition.assignment",
    "queued.m",
];

/// And those that only a producer takes.
const OF_PRODUCERS: [&str; 13] = [
    "batch.",
    "compression.",
    "delivery.",
    "enable.gapless",
    "linger.",
    "message.send",
    "produce.",
    "queue.buffering",
    "queuing.",
    "request.",
    "retries",
    "sticky.",
    "transaction.",
];

/// Why a deployment may not set this property; `None` when it may.
pub(crate) fn fixed(property: &str) -> Option<&'static str> {
    FIXED.iter().find(|(name, _)| *name == property).map(|(_, reason)| *reason)
}

/// Refuses settings that librdkafka does not know or that contradict each other. Makes a client of
/// each kind and drops it before it has talked to anybody.
pub(crate) fn check(config: &Config, group: &str) -> Result<(), ConfigError> {
    for (kind, client) in [
        (RDKafkaType::RD_KAFKA_CONSUMER, consumer(config, group, "check")),
        (RDKafkaType::RD_KAFKA_PRODUCER, producer(config, "check")),
    ] {
        create(kind, client.clone()).map_err(|error| misfit(config, &client, &error))?;
    }
    Ok(())
}

fn create(kind: RDKafkaType, mut client: ClientConfig) -> KafkaResult<()> {
    client.remove("bootstrap.servers");
    let native = client.create_native_config()?;
    Client::new(&client, native, kind, DefaultClientContext).map(drop)
}

/// Names the property that is meant, and the one that may have been.
fn misfit(config: &Config, client: &ClientConfig, error: &KafkaError) -> ConfigError {
    let given = &config.kafka.properties;
    let (name, told) = match error {
        KafkaError::ClientConfig(_, told, name, _) => (Some(name), told.clone()),
        error => {
            let told = error.to_string();
            (given.keys().find(|name| told.contains(name.as_str())), told)
        }
    };
    let key = match name.filter(|name| given.contains_key(*name)) {
        Some(name) => format!("kafka.properties.{name}"),
        None => "kafka.properties".to_owned(),
    };
    let others = client.config_map().into_keys().filter(|other| !given.contains_key(*other));
    // A name that librdkafka knows is the one that was meant.
    let unknown = name.filter(|_| told.contains("No such configuration property"));
    let hint = match unknown.and_then(|name| alike(name, others)) {
        Some(other) => format!("did you mean `kafka.properties.{other}`?"),
        None => "librdkafka's CONFIGURATION.md has every property and its values".to_owned(),
    };
    ConfigError::Invalid { key, reason: format!("does not work: {told}; {hint}") }
}

/// The client's name for the broker, of one service in one process.
pub(crate) fn client_id(config: &Config, service: &str) -> String {
    let given = config.kafka.properties.get("client.id").cloned();
    given.unwrap_or_else(|| format!("{service}-{}", std::process::id()))
}

/// The headers of a record; `None` when a name among them is not UTF-8, at which the client panics.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Option<Headers> {
    Packed::of(message).map(|headers| headers.unpacked())
}

/// The outbox shard of a key.
pub(crate) fn shard_of(key: &str) -> i16 {
    (fnv(key) % SHARDS as u64) as i16
}

fn fnv(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Topic and group names as they are on the broker.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(config: &Config) -> Self {
        Self { prefix: config.kafka.topic_prefix.clone() }
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `retail.stock`: the domain is the first word of the topics.
    pub(crate) fn group(&self, domain: &str, service: &str) -> String {
        format!("{}{domain}.{service}", self.prefix)
    }

    /// The contract's name of a topic on the broker.
    pub(crate) fn logical<'a>(&self, topic: &'a str) -> &'a str {
        topic.strip_prefix(&self.prefix).unwrap_or(topic)
    }

    /// Partitions of the contract's topics as the client takes them.
    pub(crate) fn list(&self, partitions: &[(&'static str, i32)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(&self.topic(topic), *partition);
        }
        list
    }
}

/// Settings of the consumer. Offsets are stored by us after the database commit and committed by
/// the client in the background and on revoke; librdkafka's own storing at poll time skipped
/// 1,804 of 1,818 records after graceful restarts.
pub(crate) fn consumer(config: &Config, group: &str, client_id: &str) -> ClientConfig {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut client = common(config, client_id);
    client
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("allow.auto.create.topics", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "2000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.message.max.bytes", "1048576")
        // Of one answer, over all partitions: lz4 unpacks to 255 times as much at most.
        .set("fetch.max.bytes", "1048576")
        .set("max.poll.interval.ms", "300000")
        // The only word of a broker that stands still, see the listener of the polling thread.
        .set("statistics.interval.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "10000");
    let passed = &config.kafka.properties;
    if passed.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        client
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(config.consume.session_timeout))
            .set("heartbeat.interval.ms", millis(config.consume.heartbeat));
    }
    pass(&mut client, passed, &OF_PRODUCERS);
    if plant::is(Plant::OffsetAtPoll) {
        client.set("enable.auto.offset.store", "true");
    }
    if plant::is(Plant::OffsetLatest) {
        client.set("auto.offset.reset", "latest");
    }
    client
}

/// Lets the broker keep an answer while it has little to say: it costs both sides the same for one record as
/// for many. What a deployment says of it itself counts.
pub(crate) fn gather(client: &mut ClientConfig, config: &Config, wait: Duration) {
    let wait = wait.as_millis().to_string();
    for (name, value) in [("fetch.min.bytes", WORTH_AN_ANSWER), ("fetch.wait.max.ms", &wait)] {
        if !config.kafka.properties.contains_key(name) {
            client.set(name, value);
        }
    }
}

/// Settings of the producer: every acknowledgement, no duplicate by retry, Java's partitioner.
pub(crate) fn producer(config: &Config, client_id: &str) -> ClientConfig {
    let mut client = common(config, client_id);
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "0")
        // A record that gave up while a later one of its key did not would stand behind it: records
        // never give up by themselves, the relay throws the whole producer away instead.
        .set("message.timeout.ms", "0")
        .set("enable.gapless.guarantee", "true")
        .set("message.max.bytes", LETTER_BYTES_MAX.to_string())
        .set("allow.auto.create.topics", "false");
    pass(&mut client, &config.kafka.properties, &OF_CONSUMERS);
    if plant::is(Plant::PartitionCrc) {
        client.set("partitioner", "consistent_random");
    }
    client
}

fn common(config: &Config, client_id: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.kafka.bootstrap_servers)
        .set("client.id", client_id)
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set("log.connection.close", "false");
    client
}

/// A property of the other kind of client would have no effect but a warning from each client.
fn pass(client: &mut ClientConfig, given: &BTreeMap<String, String>, foreign: &[&str]) {
    let fits = |name: &str| !foreign.iter().any(|prefix| name.starts_with(prefix));
    for (name, value) in given.iter().filter(|(name, _)| fits(name)) {
        client.set(name, value);
    }
}

#[cfg(test)]
#[path = "kafka_tests.rs"]
mod tests;
