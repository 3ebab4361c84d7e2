//! Tests of the configuration: precedence, origins, refusals. No test touches the environment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::units::{mask_url, parse_duration, parse_size, show_duration, show_size};
use super::*;

/// A directory of configuration files with an environment and flags.
#[derive(Default)]
struct World {
    files: Vec<(&'static str, &'static str)>,
    env: Vec<(&'static str, String)>,
    flags: Vec<(&'static str, &'static str)>,
}

impl World {
    fn toml(text: &'static str) -> Self {
        Self { files: vec![("millrace.toml", text)], ..Self::default() }
    }

    fn env(name: &'static str, value: &str) -> Self {
        Self { env: vec![(name, value.to_owned())], ..Self::default() }
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let env: BTreeMap<_, _> =
            self.env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let flags: Vec<_> = self.flags.iter().map(owned).collect();
        Config::load_from(directory.path(), &env, &flags)
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn source(loaded: &Loaded, key: &str) -> String {
    loaded.origins.iter().find(|origin| origin.key == key).unwrap().source.clone()
}

fn value(loaded: &Loaded, key: &str) -> String {
    loaded.origins.iter().find(|origin| origin.key == key).unwrap().value.clone()
}

#[test]
fn defaults_hold_together() {
    let loaded = World::default().load().unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.origins.iter().all(|origin| origin.source == "default"));
    assert_eq!(value(&loaded, "http.body_bytes_max"), "256KiB");
    assert_eq!(value(&loaded, "consume.retry_base"), "100ms");
    assert_eq!(value(&loaded, "trace.endpoint"), "");
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let mut world = World::default();
    let address = |world: &World| world.load().unwrap().config.http.listen;
    world.files.push(("millrace.toml", "http.listen = '127.0.0.1:1'"));
    world.files.push(("millrace.prod.toml", "http.listen = '127.0.0.1:2'"));
    assert_eq!(address(&world), "127.0.0.1:1");
    world.env.push(("MILLRACE_ENV", "prod".to_owned()));
    assert_eq!(address(&world), "127.0.0.1:2");
    world.env.push(("MILLRACE_HTTP__LISTEN", "127.0.0.1:3".to_owned()));
    assert_eq!(address(&world), "127.0.0.1:3");
    world.flags.push(("http.listen", "127.0.0.1:4"));
    assert_eq!(address(&world), "127.0.0.1:4");
    assert_eq!(source(&world.load().unwrap(), "http.listen"), "flag");
}

#[test]
fn an_origin_names_file_or_variable() {
    let mut world = World::toml("[outbox]\npoll = '2s'");
    world.env.push(("KAFKA_BOOTSTRAP_SERVERS", "broker:9092".to_owned()));
    let loaded = world.load().unwrap();
    assert!(source(&loaded, "outbox.poll").ends_with("millrace.toml"));
    assert_eq!(source(&loaded, "kafka.bootstrap_servers"), "environment KAFKA_BOOTSTRAP_SERVERS");
    assert_eq!(source(&loaded, "outbox.batch_records_max"), "default");
}

#[test]
fn prefixed_names_win_over_aliases() {
    let mut world = World::env("SCHEMA_REGISTRY_URL", "http://alias:1");
    assert_eq!(world.load().unwrap().config.registry.url, "http://alias:1");
    world.env.push(("MILLRACE_REGISTRY__URL", "http://prefixed:1".to_owned()));
    assert_eq!(world.load().unwrap().config.registry.url, "http://prefixed:1");
    let otlp = World::env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let endpoint = otlp.load().unwrap().config.trace.endpoint;
    assert_eq!(endpoint.as_deref(), Some("http://collector:4318"));
}

#[test]
fn an_empty_variable_is_none() {
    let loaded = World::env("DATABASE_URL", "").load().unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn properties_of_the_client_pass_through() {
    let mut world = World::toml("[kafka.properties]\n'client.rack' = 'a'\nsocket = { }\n");
    world.env.push(("MILLRACE_KAFKA__PROPERTIES__SOCKET_KEEPALIVE_ENABLE", "true".to_owned()));
    world.flags.push(("kafka.properties.group.protocol", "consumer"));
    let error = world.error();
    assert!(error.starts_with("`kafka.properties.socket` "), "{error}");
    world.files[0].1 = "[kafka.properties]\n'client.rack' = 'a'\n'log.queue' = true";
    let properties = world.load().unwrap().config.kafka.properties;
    let pairs: Vec<_> = properties.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let wanted = [
        "client.rack=a",
        "group.protocol=consumer",
        "log.queue=true",
        "socket.keepalive.enable=true",
    ];
    assert_eq!(pairs, wanted);
}

#[test]
fn settings_of_services_are_kept_with_their_types() {
    let mut world = World::toml("[service.order-view]\nwait_max = '10s'");
    world.env.push(("MILLRACE_SERVICE__ORDER_VIEW__PAGE_MAX", "50".to_owned()));
    world.flags.push(("service.order-view.strict", "true"));
    let loaded = world.load().unwrap();
    let wanted = serde_json::json!({ "wait_max": "10s", "page_max": 50, "strict": true });
    assert_eq!(loaded.config.service["order-view"], wanted);
    let variable = "environment MILLRACE_SERVICE__ORDER_VIEW__PAGE_MAX";
    assert_eq!(source(&loaded, "service.order-view.page_max"), variable);
}

#[test]
fn a_secret_may_lie_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    std::fs::write(&path, "postgres://u:hidden@h/d\n").unwrap();
    let path = path.to_str().unwrap();
    for name in ["DATABASE_URL_FILE", "MILLRACE_DATABASE__URL_FILE"] {
        let loaded = World::env(name, path).load().unwrap();
        assert_eq!(loaded.config.database.url(), "postgres://u:hidden@h/d");
        assert_eq!(source(&loaded, "database.url"), format!("file {path} (environment {name})"));
    }
    let error = World::env("DATABASE_URL_FILE", "/nowhere/at/all").error();
    assert!(
        error.starts_with("/nowhere/at/all: ") && error.contains("DATABASE_URL_FILE"),
        "{error}"
    );
}

#[test]
fn secrets_are_masked_wherever_a_configuration_is_shown() {
    let mut world = World::env("DATABASE_URL", "postgres://u:hunter2@h/d");
    world.env.push(("SCHEMA_REGISTRY_URL", "https://u:hunter2@registry".to_owned()));
    world.env.push(("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2".to_owned()));
    world.flags.push(("service.mail.api_key", "hunter2"));
    let loaded = world.load().unwrap();
    assert_eq!(value(&loaded, "database.url"), "postgres://u:***@h/d");
    assert_eq!(value(&loaded, "kafka.properties.sasl.password"), "***");
    assert!(!format!("{loaded:?}{:?}", loaded.config.database.url).contains("hunter2"));
}

#[test]
fn an_unknown_key_is_refused_with_the_likely_one() {
    for (world, wanted) in [
        (World::toml("[http]\nlisen = 'x'"), "did you mean `http.listen`?"),
        (World::toml("[consume]\nretrymax = '1s'"), "did you mean `consume.retry_max`?"),
        (World::toml("nonsense = 1"), "unknown key `nonsense` ("),
        (World::env("MILLRACE_OUTBOX__POLLL", "1s"), "(environment MILLRACE_OUTBOX__POLLL)"),
        (
            World::env("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", "x"),
            "`MILLRACE_KAFKA__BOOTSTRAP_SERVERS`",
        ),
        (World { flags: vec![("kafka", "x")], ..World::default() }, "unknown key `kafka` (flag)"),
    ] {
        let error = world.error();
        assert!(error.contains(wanted), "{error}");
        assert!(error.starts_with("unknown key"), "{error}");
    }
    let far = World::toml("nonsense = 1").error();
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn names_of_the_command_line_are_not_settings() {
    for name in ["ENV", "HOME", "GROUND", "POSTGRES", "ENDPOINTS", "OUTPUT", "FAILPOINT"] {
        let env = [("MILLRACE_".to_owned() + name, "x".to_owned())].into();
        Config::load_from(Path::new("/nowhere/at/all"), &env, &[]).unwrap();
    }
}

#[test]
fn a_variable_with_our_prefix_that_nobody_reads_is_refused_with_the_likely_one() {
    for (name, likely) in [
        ("MILLRACE_HTTP_LISEN", Some("MILLRACE_HTTP__LISTEN")),
        ("MILLRACE_DATABASE_URL", Some("MILLRACE_DATABASE__URL")),
        ("MILLRACE_DATABSE_URL_FILE", Some("MILLRACE_DATABASE__URL_FILE")),
        ("MILLRACE_GRUOND", Some("MILLRACE_GROUND")),
        ("MILLRACE_", None),
        ("MILLRACE_COLOUR", None),
    ] {
        let hint = likely.map(|likely| format!("; did you mean `{likely}`?")).unwrap_or_default();
        let error = World::env(name, "x").error();
        assert_eq!(error, format!("unknown key `{name}` (environment){hint}"));
    }
}

#[test]
fn settings_of_a_service_that_does_not_exist_are_refused_where_all_are_known() {
    let known = ["stock", "order-view"];
    let refused = |world: World| world.load().unwrap().of_services(&known).err();
    let told = |world: World| refused(world).unwrap().to_string();
    assert!(refused(World::toml("service.stock.a = 1\nservice.order-view.b = 2")).is_none());
    for text in ["[service.stok]\na = 1", "[service.stok]"] {
        let error = told(World::toml(text));
        assert!(error.starts_with("unknown key `service.stok` ("), "{error}");
        assert!(error.ends_with("did you mean `service.stock`?"), "{error}");
    }
    let error = told(World::env("MILLRACE_SERVICE__MAIL__A", "1"));
    assert_eq!(error, "unknown key `service.mail` (environment MILLRACE_SERVICE__MAIL__A)");
}

#[test]
fn a_value_of_the_wrong_kind_names_key_and_origin() {
    for (world, wanted) in [
        (World::toml("[http]\nbody_timeout = '10'"), "`http.body_timeout` is `10`, not a duration"),
        (
            World::toml("[http]\nbody_bytes_max = '1GB'"),
            "`http.body_bytes_max` is `1GB`, not a size",
        ),
        (
            World::env("MILLRACE_OUTBOX__BATCH_RECORDS_MAX", "many"),
            "`outbox.batch_records_max` is string \"many\"",
        ),
        (World::toml("[outbox]\nbatch_records_max = -1"), "`outbox.batch_records_max` "),
    ] {
        let error = world.error();
        assert!(error.starts_with(wanted), "{error}");
        assert!(error.contains("millrace.toml") || error.contains("(environment "), "{error}");
    }
    let broken = World::toml("[http").error();
    assert!(broken.contains("millrace.toml: "), "{broken}");
}

/// One setting that contradicts another or itself, and how the refusal begins.
const CONTRADICTIONS: [(&str, &str, &str); 31] = [
    ("kafka.bootstrap_servers", "broker", "is `broker`, not host:port"),
    ("kafka.bootstrap_servers", "", "is ``, not host:port"),
    ("registry.url", "registry:8081", "is not an http or https URL"),
    ("registry.timeout", "0s", "is 0s"),
    ("database.url", "mysql://h/d", "is not a PostgreSQL URL"),
    ("database.max_connections", "1", "is under 2"),
    ("database.statement_timeout", "0s", "is 0s"),
    ("http.listen", "8080", "is `8080`, not address:port"),
    ("http.body_bytes_max", "0", "is 0"),
    ("http.requests_max", "0", "is 0"),
    ("http.connections_max", "0", "is 0"),
    ("http.header_timeout", "0s", "is 0s"),
    ("http.body_timeout", "0s", "is 0s"),
    ("http.answer_timeout", "0s", "is 0s"),
    ("http.request_timeout", "6s", "is 6s, less than http.body_timeout (10s); raise it to 10s"),
    ("consume.batch_records_max", "0", "is 0"),
    ("consume.batch_bytes_max", "0", "is 0"),
    ("consume.retry_base", "0s", "is 0s"),
    ("consume.retry_max", "50ms", "is 50ms, less than consume.retry_base (100ms)"),
    ("consume.heartbeat", "0s", "is 0s"),
    ("consume.heartbeat", "3s", "is 3s, not under half of consume.session_timeout (6s)"),
    ("outbox.batch_records_max", "0", "is 0"),
    ("outbox.batch_bytes_max", "0", "is 0"),
    ("outbox.poll", "0s", "is 0s"),
    ("outbox.delivery_timeout", "0s", "is 0s"),
    ("shutdown.drain", "0s", "is 0s"),
    ("trace.endpoint", "collector", "is not an http or https URL"),
    ("trace.sample_ratio", "1.5", "is not between 0 and 1"),
    ("kafka.properties.acks", "1", "is fixed: without it a fact could be lost"),
    ("kafka.properties.session.timeout.ms", "9", "has a key of its own; set consume."),
    ("service.stock", "5", "is a value; write service.stock.<key>"),
];

#[test]
fn contradictions_are_refused_by_key_with_a_way_out() {
    for (key, value, wanted) in CONTRADICTIONS {
        let error = World { flags: vec![(key, value)], ..World::default() }.error();
        assert!(error.starts_with(&format!("`{key}` {wanted}")), "{error}");
        assert!(error.ends_with("(flag)"), "{error}");
    }
}

#[test]
fn load_from_takes_a_directory_without_files() {
    let nowhere = Path::new("/nowhere/at/all");
    assert!(Config::load_from(nowhere, &BTreeMap::new(), &[]).is_ok());
}

#[test]
fn a_url_without_password_is_shown_whole() {
    for url in ["http://h:1/p", "postgres://u@h/d", "no url", "http://h/p?a=b:c@d"] {
        assert_eq!(mask_url(url), url);
    }
    assert_eq!(mask_url("a://u:p@ss@h"), "a://u:***@h");
}

proptest! {
    #[test]
    fn durations_and_sizes_read_back_as_written(millis in 0u64..1 << 40, bytes in 0usize..1 << 40) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
    }

    #[test]
    fn an_accepted_unit_is_never_cut_short(text in "[0-9]{0,22} ?(ms|s|m|h|KiB|MiB|GiB|B)?") {
        if let Ok(duration) = parse_duration(&text) {
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        if let Ok(bytes) = parse_size(&text) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
