//! Every setting of our Kafka clients, reviewed in one place, and the names by which a
//! deployment's prefix separates its topics and groups from others' on the same broker.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::Config;

/// Key shards of an outbox; one relay owns a shard at a time. Fixed, because rows carry it.
pub(crate) const SHARDS: i16 = 16;

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
}

/// Settings of the consumer. Offsets are stored by us after the database commit and committed by
/// the client in the background and on revoke; librdkafka's own storing at poll time skipped
/// 1,804 of 1,818 records after graceful restarts.
pub(crate) fn consumer(config: &Config, group: &str, client_id: &str) -> ClientConfig {
    let millis = |duration: std::time::Duration| duration.as_millis().to_string();
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
        .set("max.poll.interval.ms", "300000")
        .set("topic.metadata.refresh.interval.ms", "10000");
    let passed = &config.kafka.properties;
    if passed.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        client
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(config.consume.session_timeout))
            .set("heartbeat.interval.ms", millis(config.consume.heartbeat));
    }
    pass(&mut client, passed, is_consumer_property);
    client
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
        .set("delivery.timeout.ms", config.outbox.delivery_timeout.as_millis().to_string())
        .set("allow.auto.create.topics", "false");
    pass(&mut client, &config.kafka.properties, |name| !is_consumer_property(name));
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

fn pass(client: &mut ClientConfig, given: &BTreeMap<String, String>, fits: impl Fn(&str) -> bool) {
    for (name, value) in given.iter().filter(|(name, _)| is_shared_property(name) || fits(name)) {
        client.set(name, value);
    }
}

/// librdkafka refuses a consumer's setting on a producer only with a warning, but the warning is
/// printed for every client.
fn is_consumer_property(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "group.",
        "session.",
        "heartbeat.",
        "fetch.",
        "queued.m",
        "auto.",
        "isolation.",
        "max.poll",
        "partition.assignment",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_shared_property(name: &str) -> bool {
    const PREFIXES: [&str; 6] = ["security.", "sasl.", "ssl.", "socket.", "broker.", "client."];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_never_stores_an_offset_before_the_commit() {
        let consumer = consumer(&Config::default(), "retail.stock", "stock-1");
        let wanted = [
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("check.crcs", "true"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("allow.auto.create.topics", "false"),
            ("socket.keepalive.enable", "true"),
        ];
        for (name, value) in wanted {
            assert_eq!(consumer.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_producer_awaits_every_replica_and_places_keys_as_java_does() {
        let producer = producer(&Config::default(), "stock-1");
        let wanted =
            [("acks", "all"), ("enable.idempotence", "true"), ("partitioner", "murmur2_random")];
        for (name, value) in wanted {
            assert_eq!(producer.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn the_consumer_protocol_is_created_without_classic_settings() {
        let mut config = Config::default();
        config.kafka.properties.insert("group.protocol".into(), "consumer".into());
        let consumer = consumer(&config, "g", "c");
        assert_eq!(consumer.get("session.timeout.ms"), None);
        assert_eq!(consumer.get("group.protocol"), Some("consumer"));
        assert_eq!(producer(&config, "c").get("group.protocol"), None);
    }

    #[test]
    fn a_shard_depends_on_the_key_alone() {
        assert_eq!(shard_of("a"), shard_of("a"));
        let shards: std::collections::HashSet<i16> =
            (0..1000).map(|n| shard_of(&format!("key-{n}"))).collect();
        assert_eq!(shards.len(), SHARDS as usize);
        assert!(shards.iter().all(|shard| (0..SHARDS).contains(shard)));
    }
}
