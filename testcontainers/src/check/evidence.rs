//! What the checker judges: plain values, collected from a real run or made up by a test. Nothing
//! here is judged yet, and nothing was left out because it looked wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::history::Entry;
use crate::SpanRecord;

/// Everything that is known of a run when it has come to rest.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every topic with every record that is in it.
    pub topics: Vec<Log>,
    /// What each service wrote down.
    pub services: Vec<Books>,
    /// Every span that arrived.
    pub spans: Vec<SpanRecord>,
    /// No span can be missing: none was dropped, and no process died with spans in its hands.
    pub spans_whole: bool,
    /// What clients did and saw, in the order it was noted.
    pub history: Vec<Entry>,
    /// Bad records that were put on topics on purpose.
    pub poisons: Vec<Poison>,
    /// What outside partners were asked to do.
    pub partner: Vec<PartnerCall>,
}

/// What a topic carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Facts, kept in full.
    Facts,
    /// The latest record of each key.
    State,
    /// What a service could not handle.
    DeadLetters,
    /// What operators asked for and what came of it; services and tools write it.
    Audit,
}

/// A topic and its records, by partition and offset.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its name as the contract gives it.
    pub topic: String,
    /// What it carries.
    pub kind: Kind,
    /// The only service that writes to it; empty for one that many write to.
    pub owner: String,
    /// Oldest kept and next offset of each partition.
    pub ends: Vec<(i64, i64)>,
    /// Its records.
    pub records: Vec<Logged>,
}

/// A record as it lies in a topic.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The payload's bytes.
    pub payload: Option<Vec<u8>>,
    /// Headers in their order, repeated names included.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What the payload says, read by another Avro implementation than the platform's.
    pub datum: Datum,
}

/// What a payload says.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// There is no payload.
    Absent,
    /// Its fields.
    Value(serde_json::Value),
    /// It is not what its header says, and why.
    Unreadable(String),
}

/// A fact that a service reads: its full name and its topic.
pub type Reads = (String, String);

/// What one service wrote down. Every table of a database is read in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The service.
    pub service: String,
    /// Its group as the broker knows it.
    pub group: String,
    /// What it reacts to.
    pub reads: Vec<Reads>,
    /// It keeps positions instead of an inbox.
    pub is_view: bool,
    /// It keeps records as they were written, without reading what they say.
    pub is_keeper: bool,
    /// Facts that arrived.
    pub inbox: Vec<InboxRow>,
    /// The last version applied for each key.
    pub last_versions: Vec<LastVersion>,
    /// Facts that were announced.
    pub outbox: Vec<OutboxRow>,
    /// Records that wait, or waited.
    pub parked: Vec<ParkedRow>,
    /// Keys that wait.
    pub parked_keys: Vec<ParkedKey>,
    /// How far a view has folded.
    pub positions: Vec<ViewPosition>,
    /// Where its group would go on.
    pub committed: Vec<Committed>,
    /// Rows of its own tables by the table's name.
    pub ledgers: BTreeMap<String, Vec<serde_json::Value>>,
    /// What its own tables say was done because of a fact.
    pub effects: Vec<Effect>,
}

/// A row of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InboxRow {
    /// Identity of the fact.
    pub event_id: Uuid,
    /// Where it was read.
    pub topic: String,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// First eight bytes of the sha256 over key and payload.
    #[serde(default)]
    pub digest: Option<i64>,
    /// `handled`, `parked` or `dead`.
    #[serde(default = "handled")]
    pub outcome: String,
    /// When its transaction began, RFC 3339.
    pub recorded_at: String,
}

fn handled() -> String {
    "handled".to_owned()
}

/// The last version applied for a key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LastVersion {
    /// The topic.
    pub topic: String,
    /// The key.
    pub key: String,
    /// The version.
    pub version: u64,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboxRow {
    /// Identity of the fact.
    pub event_id: Uuid,
    /// Its place in the order of announcements of its key.
    pub id: i64,
    /// Where it goes.
    pub topic: String,
    /// Its full name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// The framed datum.
    #[serde(deserialize_with = "bytea")]
    pub payload: Option<Vec<u8>>,
    /// JSON of all headers, when they are not made from this row: it is no fact.
    #[serde(default, deserialize_with = "bytea")]
    pub raw_headers: Option<Vec<u8>>,
    /// The fact that led to it.
    pub causation_id: Option<Uuid>,
    /// When it was written, RFC 3339.
    pub recorded_at: String,
    /// Whether the relay has said that it is sent.
    pub sent: bool,
}

/// A record that waits, or waited.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ParkedRow {
    /// Order of arrival.
    pub id: i64,
    /// The key; empty when the record has none that can be used.
    pub key: String,
    /// Its identity, and that of its dead letter.
    pub event_id: Uuid,
    /// Where it was read.
    pub topic: String,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// `waiting`, `retrying`, `dead`, `redriven` or `discarded`.
    pub status: String,
    /// `exhausted`, `poison`, `undecodable`, `parked_behind`, `version_gap` or `skipped`.
    pub reason: String,
}

/// A key that waits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ParkedKey {
    /// The key.
    pub key: String,
    /// `retrying`, `dead`, `redriving` or `held`.
    pub state: String,
}

/// How far a view has folded a partition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ViewPosition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset it has not folded.
    pub next_offset: i64,
}

/// Where a group would go on in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The topic as the contract names it.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset it will read, if it ever committed.
    pub offset: Option<i64>,
}

/// Something a service did because of a fact, by its own books.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// The fact.
    pub cause: Uuid,
    /// What it was done to.
    pub target: String,
}

/// A bad record that was put on a topic on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poison {
    /// The topic as the contract names it.
    pub topic: String,
    /// Where the broker put it.
    pub partition: i32,
    /// Where the broker put it.
    pub offset: i64,
    /// sha256 of the key, hexadecimal; `None` for no key.
    pub key: Option<String>,
    /// sha256 of the payload, hexadecimal; `None` for no payload.
    pub value: Option<String>,
    /// [`digest_of_headers`].
    pub headers: String,
    /// The services that must refuse it; `None` means whoever reads its type, or its whole topic
    /// when it has none. A reader that is not named takes it for good.
    pub refused_by: Option<Vec<String>>,
    /// Only what it says is wrong: whoever keeps records as they were written takes it.
    pub of_datum: bool,
}

/// A call that reached an outside partner, as the partner noted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerCall {
    /// What it was about, for example an order's id.
    pub subject: String,
    /// What for: `charge`, `refund`.
    pub purpose: String,
    /// The idempotency key it came with.
    pub key: String,
    /// Amount in minor units.
    pub amount: i64,
    /// The partner acted on it, and not merely repeated an earlier answer or refused.
    pub effective: bool,
}

impl Kind {
    /// Whether its records are facts.
    pub fn is_facts(&self) -> bool {
        matches!(self, Self::Facts | Self::State)
    }
}

impl Logged {
    /// The last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().rev().find(|(given, _)| given == name)?.1.as_deref()?;
        std::str::from_utf8(value).ok()
    }

    /// The key as text; empty when there is none that can be read.
    pub fn key_text(&self) -> &str {
        self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }

    /// A field of the datum as text.
    pub fn field(&self, name: &str) -> Option<&serde_json::Value> {
        match &self.datum {
            Datum::Value(value) => value.get(name),
            Datum::Absent | Datum::Unreadable(_) => None,
        }
    }
}

impl Evidence {
    /// The books of a service.
    pub fn books(&self, service: &str) -> Option<&Books> {
        self.services.iter().find(|books| books.service == service)
    }

    /// The log of a topic.
    pub fn log(&self, topic: &str) -> Option<&Log> {
        self.topics.iter().find(|log| log.topic == topic)
    }
}

impl Books {
    /// Rows of one of its own tables.
    pub fn rows(&self, table: &str) -> &[serde_json::Value] {
        self.ledgers.get(table).map_or(&[], Vec::as_slice)
    }
}

/// sha256 of bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// sha256 over names and values of headers in their order, each with its length before it.
pub fn digest_of_headers<'a>(
    headers: impl IntoIterator<Item = &'a (String, Option<Vec<u8>>)>,
) -> String {
    let mut all = Vec::new();
    let mut put = |bytes: Option<&[u8]>| {
        let length = bytes.map_or(-1, |bytes| bytes.len() as i64);
        all.extend(length.to_be_bytes());
        all.extend(bytes.unwrap_or_default());
    };
    for (name, value) in headers {
        put(Some(name.as_bytes()));
        put(value.as_deref());
    }
    sha256(&all)
}

/// Postgres writes bytes in JSON as `\x` and hexadecimal digits.
fn bytea<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let Some(text) = text else { return Ok(None) };
    let digits = text.strip_prefix("\\x").unwrap_or(&text).as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.map(Some).ok_or_else(|| serde::de::Error::custom("bytes are not hexadecimal"))
}
