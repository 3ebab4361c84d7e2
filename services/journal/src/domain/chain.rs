//! The chain of an order: every entry is bound to all before it by a hash. What is hashed is written
//! down here and never changes; another form would be another version with another first text.

use std::fmt;
use std::str::FromStr;

use schemas::{OrderId, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first bytes of everything that is hashed.
const VERSION: &[u8] = b"millrace.journal.v1";

/// SHA-256 over an entry and the hash before it. Before the first entry it is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash([u8; 32]);

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// How many entries it has.
    pub length: u64,
    /// The hash of the last one.
    pub hash: Hash,
}

/// What is kept of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The order, by the key of the record.
    pub order: OrderId,
    /// Identity of the fact.
    pub event_id: Uuid,
    /// Its full name.
    pub name: String,
    /// The topic it was read from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The registry's id of the schema it was written with.
    pub schema_id: u32,
    /// The value of the record, byte for byte.
    pub payload: Vec<u8>,
    /// The headers of the record as JSON.
    pub headers: String,
    /// The service that said it.
    pub producer: String,
    /// Its place among the facts of this order in its topic, from 1.
    pub version: u64,
    /// The flow it belongs to.
    pub correlation: String,
    /// The fact that led to it.
    pub causation: Option<Uuid>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the journal recorded it.
    pub recorded_at: Timestamp,
}

/// A page in its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place among all entries of the order, from 1.
    pub seq: u64,
    /// What is kept.
    pub page: Page,
    /// The hash of the entry before it.
    pub previous: Hash,
    /// Its own.
    pub hash: Hash,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is not there.
    #[error("entry {wanted} is missing, {found} follows")]
    Missing {
        /// The place without an entry.
        wanted: u64,
        /// The place of the next entry.
        found: u64,
    },
    /// It does not name the entry before it.
    #[error("it names {found} as the hash before it, which is {wanted}")]
    Previous {
        /// The hash of the entry before it.
        wanted: Hash,
        /// What it names.
        found: Hash,
    },
    /// Something in it was changed.
    #[error("its content has the hash {wanted}, it was recorded with {found}: it was changed")]
    Content {
        /// The hash of what is there.
        wanted: Hash,
        /// The hash it was recorded with.
        found: Hash,
    },
}

impl Link {
    /// Binds a page to the end of the chain and moves the end.
    pub fn append(&mut self, page: Page) -> Entry {
        let (seq, previous) = (self.length + 1, self.hash);
        let hash = page.hash(seq, previous);
        *self = Self { length: seq, hash };
        Entry { seq, page, previous, hash }
    }

    /// Moves the end over an entry that must follow it.
    ///
    /// # Errors
    /// Names what does not fit; the end is then where it was.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Broken> {
        let wanted = self.length + 1;
        if entry.seq != wanted {
            return Err(Broken::Missing { wanted, found: entry.seq });
        }
        if entry.previous != self.hash {
            return Err(Broken::Previous { wanted: self.hash, found: entry.previous });
        }
        let hash = entry.page.hash(entry.seq, entry.previous);
        if entry.hash != hash {
            return Err(Broken::Content { wanted: hash, found: entry.hash });
        }
        *self = Self { length: entry.seq, hash };
        Ok(())
    }
}

impl Page {
    /// SHA-256 over, one after the other: `millrace.journal.v1`, the previous hash, the order's 16
    /// bytes, the place as 8 bytes, the event's 16 bytes, name, topic, partition in 4 bytes, offset
    /// in 8, schema id in 4, payload, headers, producer, version in 8, correlation, causation as a
    /// byte 0, or a byte 1 and its 16 bytes, and the times of occurrence and of recording as
    /// microseconds since 1970 in 8 bytes each. Numbers are big-endian; texts and the payload are
    /// preceded by their length in 8 bytes, so that no two different entries have the same bytes.
    fn hash(&self, seq: u64, previous: Hash) -> Hash {
        let mut hash = Sha256::new();
        let sized = |hash: &mut Sha256, bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        hash.update(VERSION);
        hash.update(previous.0);
        hash.update(self.order.uuid());
        hash.update(seq.to_be_bytes());
        hash.update(self.event_id);
        sized(&mut hash, self.name.as_bytes());
        sized(&mut hash, self.topic.as_bytes());
        hash.update(self.partition.to_be_bytes());
        hash.update(self.offset.to_be_bytes());
        hash.update(self.schema_id.to_be_bytes());
        sized(&mut hash, &self.payload);
        sized(&mut hash, self.headers.as_bytes());
        sized(&mut hash, self.producer.as_bytes());
        hash.update(self.version.to_be_bytes());
        sized(&mut hash, self.correlation.as_bytes());
        match self.causation {
            None => hash.update([0]),
            Some(cause) => {
                hash.update([1]);
                hash.update(cause);
            }
        }
        hash.update(self.occurred_at.micros().to_be_bytes());
        hash.update(self.recorded_at.micros().to_be_bytes());
        Hash(hash.finalize().into())
    }
}

impl Hash {
    /// From 32 bytes; `None` when there are not so many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a hash has 64 hexadecimal digits";
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(wrong)?;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        Self::from_bytes(&bytes).ok_or(wrong)
    }
}
