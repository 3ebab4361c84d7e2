//! Dead letters as a topic has them: ours or anybody's. The whole topic is read and held in memory,
//! and no group moves.

use millrace::admin::{Admin, AdminError, Record};
use schemas::Timestamp;

use super::foreign::{self, Dialect, Note};
use super::{Filter, Letter};

/// A record of a topic of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLetter {
    /// What is known of it.
    pub letter: Letter,
    /// What its headers say.
    pub note: Note,
    /// The record itself.
    pub record: Record,
}

/// Every dead letter of a topic that is meant, by partition and offset.
///
/// # Errors
/// `NoTopic`, `TooSlow` or `Unreachable`.
pub async fn read_topic(
    admin: &Admin,
    topic: &str,
    original_topic: &str,
    filter: &Filter,
) -> Result<Vec<TopicLetter>, AdminError> {
    let records = admin.read_all(topic).await?;
    let letters = records.into_iter().map(|record| TopicLetter::new(record, original_topic));
    Ok(letters.filter(|letter| filter.takes(&letter.letter)).collect())
}

impl TopicLetter {
    fn new(record: Record, original_topic: &str) -> Self {
        let note = foreign::read(&record.headers, original_topic);
        let written = record.timestamp.and_then(|millis| millis.checked_mul(1000));
        let written = written.and_then(Timestamp::from_micros);
        let place = format!("{}/{}", record.partition, record.offset);
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let letter = Letter {
            id: note.id.clone().unwrap_or(place),
            service: note.group.clone().unwrap_or_default(),
            cause: note.fingerprint.clone(),
            status: "dead".to_owned(),
            reason: note.reason.clone().unwrap_or_default(),
            error_type: note.error_type.clone().unwrap_or_default(),
            error_message: note.error_message.clone().unwrap_or_default(),
            fact: record.header("ce_type").unwrap_or_default().to_owned(),
            key: key.into_owned(),
            topic: note.topic.clone().unwrap_or_default(),
            partition: note.partition,
            offset: note.offset,
            attempts: note.attempts,
            redrives: note.redrives,
            // Other dialects do not say when; the record was written when it had failed.
            first_failed_at: note.first_failed_at.or(written),
            last_failed_at: note.last_failed_at.or(written),
            parked_at: written.filter(|_| note.dialect != Dialect::None),
        };
        Self { letter, note, record }
    }
}
