//! A topic as the contract sees it. The list of all topics is data in `topics.toml`.

/// A partitioned topic with one owner, keyed by the aggregate its facts are about.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Full name, for example `retail.order.events.v1`.
    pub name: &'static str,
    /// The only service that may write to it.
    pub owner: &'static str,
    /// Number of partitions; a key's partition is murmur2(key) modulo this number.
    pub partitions: u32,
    /// What the broker removes, and when.
    pub cleanup: Cleanup,
    /// What the record key is, for example `orderId`.
    pub key: &'static str,
    /// Services that declare they read it.
    pub readers: &'static [&'static str],
}

/// How the broker cleans a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cleanup {
    /// Records are deleted when they are older than this many milliseconds.
    Delete {
        /// Age in milliseconds.
        retention_ms: u64,
    },
    /// The latest record of each key is kept for ever.
    Compact,
}
