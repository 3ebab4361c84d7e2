//! The dead letter: the record as it was read, byte for byte, with a note on why it stands here.

use millrace_contract::{EventId, Headers};
use sha2::{Digest, Sha256};

use crate::Poison;
use crate::consume::arrive::Record;
use crate::core::Core;
use crate::kafka::Names;
use crate::plant::{self, Plant};

/// Longest message and chain in a note, in bytes.
const MESSAGE_MAX: usize = 2 * 1024;
const CHAIN_MAX: usize = 8 * 1024;

/// Why a record failed, as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) error_type: String,
    pub(crate) message: String,
    pub(crate) chain: String,
    pub(crate) fingerprint: String,
    pub(crate) reason: &'static str,
    pub(crate) attempts: i32,
    pub(crate) redrives: i32,
    pub(crate) first_failed_at: Option<time::OffsetDateTime>,
    pub(crate) operation: Option<uuid::Uuid>,
}

/// A record on its way to the topic of dead letters.
pub(crate) struct Letter<'a> {
    pub(crate) core: &'a Core,
    pub(crate) record: &'a Record,
    pub(crate) id: EventId,
    pub(crate) key: &'a str,
    pub(crate) fault: &'a Fault,
}

impl Fault {
    pub(crate) fn new(fingerprint: String, poison: &Poison, reason: &'static str) -> Self {
        Self {
            error_type: poison.code().to_owned(),
            message: shortened(&poison.to_string(), MESSAGE_MAX),
            chain: shortened(&poison.chain(), CHAIN_MAX),
            fingerprint,
            reason,
            attempts: 1,
            redrives: 0,
            first_failed_at: None,
            operation: None,
        }
    }
}

impl Letter<'_> {
    /// The original headers, and ours behind them.
    pub(crate) fn headers(&self) -> Headers {
        let (at, fault) = (&self.record.position, self.fault);
        let now = time::OffsetDateTime::now_utc();
        let first = fault.first_failed_at.unwrap_or(now);
        let original = |time: Option<i64>| time.map(|millis| millis.to_string());
        let notes = [
            ("dlq_id", Some(self.id.to_string())),
            ("dlq_original_topic", Some(Names::new(&self.core.config).topic(at.topic))),
            ("dlq_original_partition", Some(at.partition.to_string())),
            ("dlq_original_offset", Some(at.offset.to_string())),
            ("dlq_original_timestamp", original(self.record.timestamp_ms)),
            ("dlq_original_group", Some(self.core.group.clone())),
            ("dlq_reason", Some(fault.reason.to_owned())),
            ("dlq_error_type", Some(fault.error_type.clone())),
            ("dlq_error_message", Some(fault.message.clone())),
            ("dlq_error_chain", Some(fault.chain.clone())),
            ("dlq_fingerprint", Some(fault.fingerprint.clone())),
            ("dlq_attempts", Some(fault.attempts.to_string())),
            ("dlq_first_failed_at", Some(crate::Timestamp::from(first).to_string())),
            ("dlq_last_failed_at", Some(crate::Timestamp::from(now).to_string())),
            ("dlq_service_version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("dlq_redrive_count", Some(fault.redrives.to_string())),
            ("dlq_operation_id", fault.operation.map(|id| id.to_string())),
        ];
        let mut headers = self.record.unpacked_headers();
        if plant::is(Plant::LetterWithoutHeaders) {
            headers.clear();
        }
        let given = |(name, value): (&str, Option<String>)| {
            value.map(|value| (name.to_owned(), Some(value.into_bytes())))
        };
        headers.extend(notes.into_iter().filter_map(given));
        headers
    }
}

/// Groups dead letters by their cause: numbers and ids in the message differ from record to
/// record and are left out.
pub(crate) fn fingerprint(service: &str, name: &str, poison: &Poison) -> String {
    let mut hash = Sha256::new();
    for part in [service, name, poison.code(), &without_numbers(&poison.to_string())] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Every word with a digit in it becomes `#`, so that ids of any form fall away.
fn without_numbers(text: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let end = match is_part(letter) {
            true => rest.find(|letter| !is_part(letter)).unwrap_or(rest.len()),
            false => letter.len_utf8(),
        };
        let (word, behind) = rest.split_at(end);
        plain.push_str(if word.contains(|letter: char| letter.is_ascii_digit()) {
            "#"
        } else {
            word
        });
        rest = behind;
    }
    plain
}

fn shortened(text: &str, bytes_max: usize) -> String {
    let plain: String =
        text.chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    let mut end = plain.len().min(bytes_max);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_cause_have_one_fingerprint() {
        let of = |text: &str| fingerprint("stock", "retail.order.OrderPlaced", &Poison::new(text));
        let one = of("the total of order 019a-77 is 12, not 13");
        assert_eq!(one, of("the total of order 88aa-01 is 7, not 900"));
        assert_ne!(one, of("the total of order 88aa-01 is missing"));
        assert_eq!(one.len(), 8);
        assert_ne!(one, fingerprint("sales", "retail.order.OrderPlaced", &Poison::new("x")));
    }

    #[test]
    fn a_note_stays_short_and_on_its_letters() {
        assert_eq!(shortened("aé\u{7}b", 2), "a");
        assert_eq!(shortened("aé\u{7}b", 10), "aéb");
    }
}
