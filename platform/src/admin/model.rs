//! The values that administration speaks in. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_contract::{Cleanup, Topic};
use rdkafka::error::KafkaError;

/// Tombstones stay this long, so that a reader who was away for days still sees them.
const TOMBSTONE_RETENTION_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody answers: try again later.
    #[error("no broker answers at {bootstrap}: {source}")]
    Unreachable {
        /// What was dialled.
        bootstrap: String,
        /// What the client saw.
        source: KafkaError,
    },
    /// The broker answered no: asking again does not help.
    #[error("the broker refused to {what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        reason: String,
    },
    /// The topic does not exist.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// A topic of that name exists with another number of partitions: its keys lie elsewhere.
    #[error("topic {topic} has {found} partitions where {wanted} were declared")]
    OtherPartitions {
        /// Its name.
        topic: String,
        /// What was declared.
        wanted: usize,
        /// What is there.
        found: usize,
    },
    /// The deadline passed.
    #[error("{what} took more than {} s", deadline.as_secs())]
    TooSlow {
        /// What was asked.
        what: String,
        /// How long was allowed.
        deadline: Duration,
    },
    /// A property is unknown to the client, or two contradict each other.
    #[error("the client refuses its settings: {0}")]
    Settings(KafkaError),
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Full name on the broker.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Number of copies of each partition.
    pub replication: u32,
    /// Topic settings, such as `retention.ms`.
    pub config: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic with one copy of each partition, whose batches lie packed with lz4 whatever their
    /// producer used: a few kB of gzip can become gigabytes, and a reader unpacks a batch whole.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        let spec = Self { name: name.into(), partitions, replication: 1, config: BTreeMap::new() };
        spec.set("compression.type", "lz4")
    }

    /// With one more setting.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.config.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same topic under a deployment's prefix.
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.name.insert_str(0, prefix);
        self
    }
}

impl From<&Topic> for TopicSpec {
    fn from(topic: &Topic) -> Self {
        let spec = Self::new(topic.name, topic.partitions);
        match topic.cleanup {
            Cleanup::Delete { retention_ms } => {
                spec.set("cleanup.policy", "delete").set("retention.ms", retention_ms)
            }
            Cleanup::Compact => spec
                .set("cleanup.policy", "compact")
                .set("delete.retention.ms", TOMBSTONE_RETENTION_MS),
        }
    }
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicInfo {
    /// Full name on the broker.
    pub name: String,
    /// Number of partitions.
    pub partitions: usize,
    /// Every partition has a leader.
    pub ready: bool,
}

/// What [`Admin::create_topics`] did with each topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It was not there.
    Created,
    /// It was there, with the declared number of partitions.
    Existed,
}

/// A partition's offsets: the first that is kept, and the next to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The partition.
    pub partition: i32,
    /// Offset of the oldest record.
    pub low: i64,
    /// Offset that the next record will have.
    pub high: i64,
}

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, when there is one.
    pub timestamp: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The payload's bytes; none is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers in their order, repeated names included.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().rev().find(|(given, _)| given == name)?.1.as_deref()?;
        std::str::from_utf8(value).ok()
    }
}

/// A record to be written exactly as given, however wrong it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Where to, if not where the key belongs.
    pub partition: Option<i32>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The payload's bytes.
    pub payload: Option<Vec<u8>>,
    /// Headers in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The committed offset of a group in one partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupOffset {
    /// Full name of the topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset the group will read, if it ever committed.
    pub committed: Option<i64>,
}

/// Where a group is put. Offsets outside what is kept are moved to the nearest that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// This offset, in every partition.
    Offset(i64),
    /// The first record that is not older than this many milliseconds since 1970.
    Time(i64),
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id, when it has one.
    pub id: Option<String>,
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
}

/// A consumer group as its coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The coordinator's word: `Stable`, `Empty`, `Dead` and others.
    pub state: String,
    /// How many members it has.
    pub members: usize,
}
