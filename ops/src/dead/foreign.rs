//! What the headers of a dead letter say, in every dialect in use: ours, Spring's, Kafka Streams'
//! (KIP-1034), Connect's, and a topic named by any header. Pure; what a header does not say stays
//! unknown.

use schemas::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The header that names the original topic where nobody's dialect is spoken.
pub const ORIGINAL_TOPIC: &str = "x-original-topic";

/// Who wrote the note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// This platform.
    Millrace,
    /// Spring for Apache Kafka.
    Spring,
    /// Kafka Streams.
    Streams,
    /// Kafka Connect.
    Connect,
    /// Somebody who named the original topic in a header.
    Header,
    /// Nobody: the record has no note.
    None,
}

/// Where a record comes from and why it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Who says so.
    pub dialect: Dialect,
    /// Id of the dead letter.
    pub id: Option<String>,
    /// Where the record was read from.
    pub topic: Option<String>,
    /// Its partition there.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// When it was written, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The consumer group, connector or stage that failed.
    pub group: Option<String>,
    /// What went wrong, in one word.
    pub error_type: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// The errors behind it.
    pub error_chain: Option<String>,
    /// Of what went wrong; made from the rest where nobody says it.
    pub fingerprint: String,
    /// Why it was given up.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// How often it was redriven.
    pub redrives: Option<u32>,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
}

/// Headers by name. Who passes a record on may add a header again: the first tells where the record
/// began, the last how it ended.
struct Named<'a>(&'a [(String, Option<Vec<u8>>)]);

/// Reads the note. `original_topic` names the header that is looked at last.
pub fn read(headers: &[(String, Option<Vec<u8>>)], original_topic: &str) -> Note {
    let named = Named(headers);
    let mut note = match () {
        () if named.has("dlq_original_topic") => named.millrace(),
        () if named.has("kafka_dlt-original-topic") => named.spring(),
        () if named.any("__streams.errors.") => named.streams(),
        () if named.any("__connect.errors.") => named.connect(),
        () if named.has(original_topic) => named.header(original_topic),
        () => Note::of(Dialect::None),
    };
    if note.fingerprint.is_empty() {
        note.fingerprint = fingerprint(&note, named.last("ce_type").as_deref());
    }
    note
}

impl Note {
    fn of(dialect: Dialect) -> Self {
        Self {
            dialect,
            id: None,
            topic: None,
            partition: None,
            offset: None,
            timestamp_ms: None,
            group: None,
            error_type: None,
            error_message: None,
            error_chain: None,
            fingerprint: String::new(),
            reason: None,
            attempts: None,
            redrives: None,
            first_failed_at: None,
            last_failed_at: None,
        }
    }
}

impl Named<'_> {
    fn millrace(&self) -> Note {
        let time = |name: &str| self.last(name)?.parse().ok();
        Note {
            id: self.last("dlq_id"),
            topic: self.first("dlq_original_topic"),
            partition: self.number("dlq_original_partition"),
            offset: self.number("dlq_original_offset"),
            timestamp_ms: self.number("dlq_original_timestamp"),
            group: self.last("dlq_original_group"),
            error_type: self.last("dlq_error_type"),
            error_message: self.last("dlq_error_message"),
            error_chain: self.last("dlq_error_chain"),
            fingerprint: self.last("dlq_fingerprint").unwrap_or_default(),
            reason: self.last("dlq_reason"),
            attempts: self.number("dlq_attempts"),
            redrives: self.number("dlq_redrive_count"),
            first_failed_at: time("dlq_first_failed_at"),
            last_failed_at: time("dlq_last_failed_at"),
            ..Note::of(Dialect::Millrace)
        }
    }

    fn spring(&self) -> Note {
        // The listener's exception only wraps the one that is of interest.
        let cause = self.last("kafka_dlt-exception-cause-fqcn");
        let attempts = self.binary("retry_topic-attempts");
        Note {
            topic: self.first("kafka_dlt-original-topic"),
            partition: self.binary("kafka_dlt-original-partition").and_then(narrow),
            offset: self.binary("kafka_dlt-original-offset"),
            timestamp_ms: self.binary("kafka_dlt-original-timestamp"),
            group: self.first("kafka_dlt-original-consumer-group"),
            error_type: cause.or_else(|| self.last("kafka_dlt-exception-fqcn")),
            error_message: self.last("kafka_dlt-exception-message"),
            error_chain: self.last("kafka_dlt-exception-stacktrace"),
            attempts: attempts.and_then(|count| u32::try_from(count).ok()),
            ..Note::of(Dialect::Spring)
        }
    }

    fn streams(&self) -> Note {
        Note {
            topic: self.first("__streams.errors.topic"),
            partition: self.number("__streams.errors.partition"),
            offset: self.number("__streams.errors.offset"),
            error_type: self.last("__streams.errors.exception"),
            error_message: self.last("__streams.errors.message"),
            error_chain: self.last("__streams.errors.stacktrace"),
            ..Note::of(Dialect::Streams)
        }
    }

    fn connect(&self) -> Note {
        Note {
            topic: self.first("__connect.errors.topic"),
            partition: self.number("__connect.errors.partition"),
            offset: self.number("__connect.errors.offset"),
            group: self.last("__connect.errors.connector.name"),
            error_type: self.last("__connect.errors.exception.class.name"),
            error_message: self.last("__connect.errors.exception.message"),
            error_chain: self.last("__connect.errors.exception.stacktrace"),
            reason: self.last("__connect.errors.stage"),
            ..Note::of(Dialect::Connect)
        }
    }

    /// Place and error stand in headers that are named like the one of the topic.
    fn header(&self, topic: &str) -> Note {
        let like = |word: &str| match topic.strip_suffix("topic") {
            Some(start) => format!("{start}{word}"),
            None => format!("{topic}-{word}"),
        };
        Note {
            topic: self.first(topic),
            partition: self.number(&like("partition")),
            offset: self.number(&like("offset")),
            timestamp_ms: self.number(&like("timestamp")),
            error_message: self.last("x-exception-message").or_else(|| self.last("x-error")),
            ..Note::of(Dialect::Header)
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    fn any(&self, start: &str) -> bool {
        self.0.iter().any(|(given, _)| given.starts_with(start))
    }

    fn bytes(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let of_name = self.0.iter().filter(move |(given, _)| given == name);
        of_name.filter_map(|(_, value)| value.as_deref())
    }

    fn first(&self, name: &str) -> Option<String> {
        self.bytes(name).next().map(text)
    }

    fn last(&self, name: &str) -> Option<String> {
        self.bytes(name).next_back().map(text)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.first(name)?.trim().parse().ok()
    }

    /// A whole number as Java's `ByteBuffer` writes it, of one, four or eight bytes.
    fn binary(&self, name: &str) -> Option<i64> {
        match self.bytes(name).next()? {
            [byte] => Some(i64::from(*byte)),
            bytes => match <[u8; 4]>::try_from(bytes) {
                Ok(bytes) => Some(i32::from_be_bytes(bytes).into()),
                Err(_) => bytes.try_into().ok().map(i64::from_be_bytes),
            },
        }
    }
}

/// What failed alike has the same fingerprint: numbers and ids in the message do not count.
fn fingerprint(note: &Note, fact: Option<&str>) -> String {
    let message = without_numbers(note.error_message.as_deref().unwrap_or_default());
    let mut hash = Sha256::new();
    for part in [note.group.as_deref(), fact, note.error_type.as_deref(), Some(&message)] {
        hash.update(part.unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn without_numbers(text: &str) -> String {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let has_digit = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
    let words = text.split_inclusive(|letter| !inside(letter)).map(|word| match has_digit(word) {
        true => format!("#{}", word.trim_start_matches(inside)),
        false => word.to_owned(),
    });
    words.collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn narrow(number: i64) -> Option<i32> {
    i32::try_from(number).ok()
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
