//! Records that nobody should have written, straight into topics: a copy of a real record, broken
//! in one way, under an identity and a key of its own, so that no real key is held up by it.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use millrace::admin::{RawRecord, Record};
use uuid::Uuid;

use super::{Field, Outcome, ParseError, text};
use crate::check::{Poison, digest_of_headers, sha256};

/// Above what any service takes, below what the broker refuses.
const LARGE_BYTES: usize = 900_000;
/// Magic byte and id of the schema.
const FRAME_BYTES: usize = 5;
/// No registry has given it away.
const NO_SCHEMA: u32 = 0x7fff_fff0;

/// How a record is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BadEvent {
    /// The payload has no bytes.
    Empty,
    /// There is no payload.
    Null,
    /// The payload is shorter than its frame.
    Short,
    /// The payload begins with another byte than the frame's.
    WrongMagic,
    /// The datum ends in the middle.
    Truncated,
    /// The datum goes on behind its end.
    Trailing,
    /// The schema's id is in no registry.
    UnknownSchema,
    /// There is no key.
    NoKey,
    /// The key is not UTF-8.
    BadKey,
    /// The subject of its headers is another key.
    WrongSubject,
    /// A header is there twice, with different values.
    DuplicateHeader,
    /// A header has line breaks in it.
    CrlfHeader,
    /// A header of almost a megabyte.
    HugeHeader,
    /// There are no headers.
    NoHeaders,
    /// A payload of almost a megabyte.
    TooLarge,
    /// Well formed, and says what cannot be.
    Absurd,
}

/// A bad record for a topic, by its declared name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFault {
    /// How it is bad.
    pub bad: BadEvent,
    /// Where it goes.
    pub topic: String,
}

impl EventFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let (admin, topic) = (field.admin().await?, field.topic(&self.topic));
        let key = Uuid::now_v7().to_string();
        let record = if self.bad == BadEvent::Absurd {
            let Some(record) = field.make_absurd(&self.topic, &key) else {
                return Ok(Outcome::NotHere(format!("nobody said what is absurd in {topic}")));
            };
            record
        } else {
            let records = admin.read_all(&topic).await?;
            let planted = field.planted();
            let whole = |record: &&Record| {
                let is = |bad: &Poison| {
                    (&bad.topic, bad.partition, bad.offset)
                        == (&self.topic, record.partition, record.offset)
                };
                let payload = record.payload.as_ref();
                payload.is_some_and(|payload| payload.len() > FRAME_BYTES + 1)
                    && record.header("ce_id").is_some()
                    && !planted.iter().any(is)
            };
            let Some(model) = records.iter().rev().find(whole) else {
                return Ok(Outcome::NotHere(format!("{topic} has no record to copy")));
            };
            let (payload, headers) = (model.payload.clone(), model.headers.clone());
            let key = Some(key.into_bytes());
            self.bad.spoil(RawRecord { partition: None, key, payload, headers })
        };
        let key = record.key.as_deref().map(sha256);
        let value = record.payload.as_deref().map(sha256);
        let headers = digest_of_headers(&record.headers);
        let (partition, offset) = match admin.produce(&topic, record).await {
            Ok(place) => place,
            // A compacted topic takes no record without a key.
            Err(error) if self.bad == BadEvent::NoKey => {
                return Ok(Outcome::NotHere(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        field.plant(Poison {
            topic: self.topic.clone(),
            partition,
            offset,
            key,
            value,
            headers,
            refused_by: None,
            of_datum: self.bad.is_of_datum(),
        });
        Ok(Outcome::Injected)
    }
}

impl BadEvent {
    /// Whether only those refuse it who read what it says. What is copied keeps the datum of its
    /// model, which has another key.
    fn is_of_datum(self) -> bool {
        use BadEvent::{Absurd, CrlfHeader, HugeHeader, Trailing, Truncated, UnknownSchema};
        matches!(self, Truncated | Trailing | UnknownSchema | CrlfHeader | HugeHeader | Absurd)
    }

    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Empty,
        Self::Null,
        Self::Short,
        Self::WrongMagic,
        Self::Truncated,
        Self::Trailing,
        Self::UnknownSchema,
        Self::NoKey,
        Self::BadKey,
        Self::WrongSubject,
        Self::DuplicateHeader,
        Self::CrlfHeader,
        Self::HugeHeader,
        Self::NoHeaders,
        Self::TooLarge,
        Self::Absurd,
    ];

    /// Its name in the text of a fault.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Null => "null",
            Self::Short => "short",
            Self::WrongMagic => "wrong-magic",
            Self::Truncated => "truncated",
            Self::Trailing => "trailing",
            Self::UnknownSchema => "unknown-schema",
            Self::NoKey => "no-key",
            Self::BadKey => "bad-key",
            Self::WrongSubject => "wrong-subject",
            Self::DuplicateHeader => "duplicate-header",
            Self::CrlfHeader => "crlf-header",
            Self::HugeHeader => "huge-header",
            Self::NoHeaders => "no-headers",
            Self::TooLarge => "too-large",
            Self::Absurd => "absurd",
        }
    }

    /// Breaks a record in this way. What identifies it becomes new, so that nobody takes it for
    /// the one it was copied from.
    pub fn spoil(self, mut record: RawRecord) -> RawRecord {
        let key = record.key.clone().unwrap_or_default();
        for (name, value) in &mut record.headers {
            match name.as_str() {
                "ce_id" => *value = Some(Uuid::now_v7().to_string().into_bytes()),
                "ce_subject" => *value = Some(key.clone()),
                "ce_sequence" => *value = Some(format!("{:020}", 1).into_bytes()),
                _ => {}
            }
        }
        let mut payload = record.payload.take().unwrap_or_default();
        let header = |name: &str, value: Vec<u8>| (name.to_owned(), Some(value));
        match self {
            Self::Empty => payload.clear(),
            Self::Short => payload.truncate(FRAME_BYTES - 2),
            Self::WrongMagic => payload.iter_mut().take(1).for_each(|magic| *magic = 0x7f),
            Self::Truncated => payload.truncate(FRAME_BYTES + (payload.len() - FRAME_BYTES) / 2),
            Self::Trailing => payload.extend([0, 1, 2]),
            Self::UnknownSchema => {
                let id = NO_SCHEMA.to_be_bytes();
                payload.iter_mut().skip(1).zip(id).for_each(|(byte, id)| *byte = id);
            }
            Self::TooLarge => payload.resize(LARGE_BYTES, 0),
            Self::NoKey => record.key = None,
            Self::BadKey => record.key = Some(vec![0xff, 0xfe, 0x80]),
            Self::WrongSubject => record.headers.iter_mut().for_each(|(name, value)| {
                if name == "ce_subject" {
                    *value = Some(b"another key".to_vec());
                }
            }),
            Self::DuplicateHeader => {
                record.headers.push(header("ce_id", Uuid::now_v7().to_string().into_bytes()));
            }
            Self::CrlfHeader => {
                record.headers.push(header("note", b"one\r\nce_id: two\x1b[31m".to_vec()));
            }
            Self::HugeHeader => record.headers.push(header("note", vec![b'x'; LARGE_BYTES])),
            Self::NoHeaders => record.headers.clear(),
            Self::Null | Self::Absurd => {}
        }
        record.payload = (self != Self::Null).then_some(payload);
        record
    }
}

impl fmt::Display for EventFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.bad.as_str(), self.topic)
    }
}

impl FromStr for EventFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let [bad, topic] = text::words(text)?;
        let found = BadEvent::ALL.into_iter().find(|known| known.as_str() == bad);
        let bad = found.ok_or_else(|| ParseError::new(bad, "a kind of bad record"))?;
        Ok(Self { bad, topic: topic.to_owned() })
    }
}
