//! What clients are told, whatever a deployment says.

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
fn answers_are_kept_for_a_while_unless_a_deployment_says_for_how_long() {
    let mut config = Config::default();
    let kept = |config: &Config| {
        let mut client = consumer(config, "retail.journal", "journal-1");
        gather(&mut client, config, Duration::from_millis(100));
        ["fetch.min.bytes", "fetch.wait.max.ms"].map(|name| client.get(name).map(str::to_owned))
    };
    assert_eq!(kept(&config), ["1048576", "100"].map(|value| Some(value.to_owned())));
    config.kafka.properties.insert("fetch.wait.max.ms".into(), "7".into());
    assert_eq!(kept(&config)[1].as_deref(), Some("7"));
}

#[test]
fn a_producer_awaits_every_replica_and_places_keys_as_java_does() {
    let producer = producer(&Config::default(), "stock-1");
    let wanted = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("message.timeout.ms", "0"),
        ("enable.gapless.guarantee", "true"),
    ];
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

fn with(properties: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let owned = properties.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    config.kafka.properties = owned.collect();
    config
}

#[test]
fn our_own_settings_work_for_either_group_protocol() {
    check(&Config::default(), "g").unwrap();
    check(&with(&[("group.protocol", "consumer")]), "g").unwrap();
}

#[test]
fn properties_that_do_not_work_are_refused_by_name() {
    for (properties, name, told) in [
        (&[("nonsense.key", "1")] as &[_], "nonsense.key", "CONFIGURATION.md"),
        (&[("linger.msec", "1")], "linger.msec", "did you mean `kafka.properties.linger.ms`?"),
        (&[("fetch.min.bytes", "few")], "fetch.min.bytes", "CONFIGURATION.md"),
        (&[("retries", "0")], "retries", "enable.idempotence"),
        (&[("fetch.max.bytes", "5"), ("client.rack", "a")], "fetch.max.bytes", "must be"),
        (&[("security.protocol", "ssl"), ("ssl.ca.location", "/none")], "ssl.ca.location", ""),
    ] {
        let error = check(&with(properties), "g").unwrap_err().to_string();
        let start = format!("`kafka.properties.{name}` does not work: ");
        assert!(error.starts_with(&start) && error.contains(told), "{error}");
    }
}

#[test]
fn what_our_guarantees_rest_on_cannot_be_set() {
    for (name, reason) in FIXED {
        let error = with(&[(name, "all")]).check().unwrap_err().to_string();
        assert_eq!(error, format!("`kafka.properties.{name}` {reason}"));
    }
    with(&[("group.id", "g"), ("group.protocol", "consumer")]).check().unwrap();
}

#[test]
fn a_property_reaches_every_client_that_takes_it() {
    for (name, of_consumer, of_producer) in [
        ("topic.metadata.refresh.interval.ms", true, true),
        ("socket.keepalive.enable", true, true),
        ("sasl.username", true, true),
        ("fetch.min.bytes", true, false),
        ("group.id", true, false),
        ("compression.type", false, true),
        ("linger.ms", false, true),
    ] {
        let config = with(&[(name, "given")]);
        let given = |client: ClientConfig| client.get(name) == Some("given");
        assert_eq!(given(consumer(&config, "g", "c")), of_consumer, "{name}");
        assert_eq!(given(producer(&config, "c")), of_producer, "{name}");
    }
}

#[test]
fn a_shard_depends_on_the_key_alone() {
    assert_eq!(shard_of("a"), shard_of("a"));
    let shards: std::collections::HashSet<i16> =
        (0..1000).map(|n| shard_of(&format!("key-{n}"))).collect();
    assert_eq!(shards.len(), SHARDS as usize);
    assert!(shards.iter().all(|shard| (0..SHARDS).contains(shard)));
}
