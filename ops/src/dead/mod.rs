//! Dead letters: records that a consumer group could not handle, with what waits behind them. Read
//! from the services' databases, or from any topic of dead letters. Reading changes nothing.

mod causes;
mod content;
pub mod foreign;
mod plan;
mod rows;
mod show;
mod topic;

use schemas::Timestamp;
use serde::Serialize;
use uuid::Uuid;

pub use causes::{Cause, Trend, causes};
pub use content::{Change, Content, Form, changes, content};
pub use plan::{Asked, GroupPlan, PlanError, Sample, plan};
pub use rows::{Letters, Record, asked, letters, records, waiting};
pub use show::{Neighbour, Shown, find};
pub use topic::{TopicLetter, read_topic};

/// A record that failed, or waits behind one that did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// By which it is found again: the id of the fact, or `partition/offset` in a foreign topic.
    pub id: String,
    /// The service that could not handle it; in a foreign topic the consumer group.
    pub service: String,
    /// Fingerprint of what went wrong; empty for what only waits.
    pub cause: String,
    /// waiting, retrying, dead, redriven or discarded.
    pub status: String,
    /// exhausted, poison, undecodable, parked_behind, version_gap or skipped.
    pub reason: String,
    /// What went wrong, in one word.
    pub error_type: String,
    /// What went wrong.
    pub error_message: String,
    /// Name of the fact, when its headers say it.
    pub fact: String,
    /// Key of the record; empty when it has none.
    pub key: String,
    /// The topic it was read from.
    pub topic: String,
    /// Its partition there.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// How often it was redriven.
    pub redrives: Option<u32>,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// Since when it is parked.
    pub parked_at: Option<Timestamp>,
}

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those whose cause begins like this.
    pub cause: Option<String>,
    /// Only those of this key.
    pub key: Option<String>,
    /// Only these.
    pub ids: Vec<Uuid>,
    /// Only those of this service.
    pub service: Option<String>,
    /// Only those in one of these states; any when there are none.
    pub status: Vec<String>,
}

impl Filter {
    /// Whether a letter is meant.
    pub fn takes(&self, letter: &Letter) -> bool {
        let cause = self.cause.as_ref().is_none_or(|cause| letter.cause.starts_with(cause));
        let key = self.key.as_ref().is_none_or(|key| letter.key == *key);
        let service = self.service.as_ref().is_none_or(|service| letter.service == *service);
        let status = self.status.is_empty() || self.status.contains(&letter.status);
        let ids = self.ids.is_empty() || self.ids.iter().any(|id| id.to_string() == letter.id);
        cause && key && service && status && ids
    }
}

#[cfg(test)]
mod tests;
