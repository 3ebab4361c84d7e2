//! What a process is told from outside: read once at start, checked as a whole, never read again.
//!
//! A later layer wins: defaults, `millrace.toml`, `millrace.<env>.toml`, environment, flags.

mod check;
mod load;
#[cfg(test)]
mod tests;
pub(crate) mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use load::alike;

/// Everything a process can be told. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The broker.
    pub kafka: Kafka,
    /// The schema registry.
    pub registry: Registry,
    /// PostgreSQL.
    pub database: Database,
    /// The front door.
    pub http: Http,
    /// How batches are drained.
    pub consume: Consume,
    /// How facts are published.
    pub outbox: Outbox,
    /// The copy that a replica answers from.
    pub replica: Replica,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// Where spans go.
    pub trace: Trace,
    /// `[service.<name>]`: what a service understands of its own, checked when it is mounted.
    pub service: BTreeMap<String, serde_json::Value>,
}

/// `[kafka]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kafka {
    /// `host:port`, more of them separated by commas.
    pub bootstrap_servers: String,
    /// Put before every topic and group name, so that several worlds share one broker.
    pub topic_prefix: String,
    /// Properties of librdkafka, passed through as they are.
    pub properties: BTreeMap<String, String>,
}

/// `[registry]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registry {
    /// Base URL of an API of the Confluent kind.
    pub url: String,
    /// How long one call may take.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
}

/// `[database]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `postgres://user:password@host:port/database`
    pub url: Secret,
    /// Size of a service's connection pool.
    pub max_connections: u32,
    /// How long one statement may take.
    #[serde(with = "units::duration")]
    pub statement_timeout: Duration,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// `address:port`; port 0 takes a free one.
    pub listen: String,
    /// Largest request body in bytes.
    #[serde(with = "units::size")]
    pub body_bytes_max: usize,
    /// How long a connection may be silent before a request head is complete.
    #[serde(with = "units::duration")]
    pub header_timeout: Duration,
    /// How long a body may take to arrive.
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,
    /// How long the answer to a whole request may take, unless the request asks to wait.
    #[serde(with = "units::duration")]
    pub answer_timeout: Duration,
    /// How long a request may take as a whole.
    #[serde(with = "units::duration")]
    pub request_timeout: Duration,
    /// Requests handled at the same time; more are refused at once.
    pub requests_max: usize,
    /// Connections served at the same time; more wait to be accepted.
    pub connections_max: usize,
}

/// `[consume]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consume {
    /// Records in a batch at most.
    pub batch_records_max: usize,
    /// Payload bytes in a batch at most.
    #[serde(with = "units::size")]
    pub batch_bytes_max: usize,
    /// Pause before the first repetition of a failed batch.
    #[serde(with = "units::duration")]
    pub retry_base: Duration,
    /// Longest pause between repetitions.
    #[serde(with = "units::duration")]
    pub retry_max: Duration,
    /// Keys that may wait at the same time; past it a partition stops.
    pub parked_keys_max: usize,
    /// Records that may wait at the same time; past it a partition stops.
    pub parked_records_max: usize,
    /// How long a key waits for a version that is missing before it is a dead letter.
    #[serde(with = "units::duration")]
    pub gap_wait: Duration,
    /// How far back records may be read again at most; nothing: as far as the topics keep them. The
    /// inbox remembers facts that long.
    #[serde(with = "units::duration")]
    pub replay_window: Duration,
    /// After this silence the broker gives the partitions to another member.
    #[serde(with = "units::duration")]
    pub session_timeout: Duration,
    /// How often the broker hears of this member.
    #[serde(with = "units::duration")]
    pub heartbeat: Duration,
}

/// `[outbox]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbox {
    /// Rows sent at once at most.
    pub batch_records_max: usize,
    /// Payload bytes sent at once at most; a single row may have more.
    #[serde(with = "units::size")]
    pub batch_bytes_max: usize,
    /// How often the table is looked at when nothing wakes the relay.
    #[serde(with = "units::duration")]
    pub poll: Duration,
    /// How long the broker may take to acknowledge a record.
    #[serde(with = "units::duration")]
    pub delivery_timeout: Duration,
}

/// `[replica]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replica {
    /// Folder of the store, for one process alone. Empty: `millrace/<service>` in the user's folder
    /// for state.
    pub dir: String,
    /// How much of the store is kept in memory.
    #[serde(with = "units::size")]
    pub cache: usize,
    /// Clients that follow the changes at the same time; more are refused.
    pub subscribers_max: usize,
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shutdown {
    /// How long work in hand may take after the stop signal.
    #[serde(with = "units::duration")]
    pub drain: Duration,
}

/// `[trace]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// Base URL of an OTLP receiver over HTTP; nothing is exported without it.
    pub endpoint: Option<String>,
    /// Share of traces begun here that are kept, 0 to 1.
    pub sample_ratio: f64,
}

/// A value that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// A configuration with the origin of each of its values.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// Every value and where it comes from, sorted by key.
    pub origins: Vec<Origin>,
}

/// Where one value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Dotted key: `http.listen`.
    pub key: String,
    /// The value as text, secrets masked.
    pub value: String,
    /// `default`, a file, a variable or a flag.
    pub source: String,
}

/// Why a configuration is refused. The process exits with 64 before a port opens.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("unknown key `{key}` ({source_name}){}", suggest(.suggestion))]
    Unknown {
        /// Dotted key as it was given.
        key: String,
        /// Where it was given.
        source_name: String,
        /// The known key that looks most like it.
        suggestion: Option<String>,
    },
    /// A value does not fit its key, or contradicts another.
    #[error("`{key}` {reason}")]
    Invalid {
        /// Dotted key.
        key: String,
        /// What is wrong with it and what to do instead.
        reason: String,
    },
    /// An argument that sets no key.
    #[error("`{argument}` is not of the form --key=value; write --http.listen=127.0.0.1:8080")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// A file cannot be read or is not TOML.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What the reader said.
        reason: String,
    },
}

fn suggest(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            topic_prefix: String::new(),
            properties: BTreeMap::new(),
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self { url: "http://localhost:8081".to_owned(), timeout: Duration::from_secs(2) }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: Secret("postgres://localhost:5432/postgres".to_owned()),
            max_connections: 8,
            statement_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            body_bytes_max: 256 * 1024,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_millis(4_800),
            request_timeout: Duration::from_secs(30),
            requests_max: 512,
            connections_max: 1024,
        }
    }
}

impl Default for Consume {
    fn default() -> Self {
        Self {
            batch_records_max: 500,
            batch_bytes_max: 256 * 1024,
            retry_base: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            parked_keys_max: 10_000,
            parked_records_max: 100_000,
            gap_wait: Duration::from_secs(30),
            replay_window: Duration::ZERO,
            session_timeout: Duration::from_secs(6),
            heartbeat: Duration::from_millis(500),
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            batch_records_max: 1000,
            batch_bytes_max: 4 * 1024 * 1024,
            poll: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Replica {
    fn default() -> Self {
        Self { dir: String::new(), cache: 64 * 1024 * 1024, subscribers_max: 256 }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: Duration::from_secs(25) }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: 1.0 }
    }
}

impl Database {
    /// The URL with its password.
    pub fn url(&self) -> &str {
        self.url.expose()
    }
}

impl Secret {
    /// Hides a text.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::mask_url(&self.0))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in units::leaves(self) {
            map.entry(&key, &units::shown(&key, &value));
        }
        map.finish()
    }
}
