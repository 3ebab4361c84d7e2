//! The records between operators and services, as JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::repair::Repair;

/// What an operator asks a group to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Who asks, why, and of whom.
    #[serde(flatten)]
    pub operator: Operator,
    /// What is asked.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Who asks for something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The operation; obeyed once.
    pub id: Uuid,
    /// The consumer group that is asked, with the deployment's prefix.
    pub group: String,
    /// When it was asked, RFC 3339.
    pub issued_at: String,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The kinds of commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Handle dead letters again, each key in the order of its records.
    Redrive {
        /// Which dead letters.
        select: Selection,
        /// Keys for each second; none: as fast as it goes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
        /// So many keys first; the others only when these went well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canary: Option<u32>,
        /// Changes to the records before they are handled.
        #[serde(flatten)]
        repair: Repair,
    },
    /// Put dead letters out of the way; what waits behind them goes on.
    Discard {
        /// Which dead letters.
        select: Selection,
    },
    /// Make discarded records dead letters again.
    Restore {
        /// Which records.
        select: Selection,
    },
    /// Make a dead letter of a record when it comes.
    Skip {
        /// The topic without the deployment's prefix.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// Read partitions again from somewhere else, while the members stay.
    Seek {
        /// Where, for each partition that is meant.
        to: Vec<Place>,
    },
    /// Make another build of a view, or put one in the place of another.
    Projection {
        /// What is done.
        #[serde(rename = "do")]
        action: Build,
    },
    /// Steer a running operation.
    Control {
        /// Which one.
        operation: Uuid,
        /// What it does from now on.
        #[serde(rename = "do")]
        action: Do,
    },
}

/// What is done with the builds of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Build {
    /// Fold the topics from their beginning into rows beside the live ones. Obeyed by an instance
    /// whose code has this fingerprint.
    Rebuild {
        /// Fingerprint of the folding code.
        fold: String,
        /// Where the topics end now.
        to: Vec<Place>,
        /// How many records there are up to that.
        records: i64,
    },
    /// The build that was made becomes the live one.
    Swap,
    /// The build that was live before becomes the live one again.
    Rollback,
    /// The build in the making is given up.
    Cancel,
}

/// A place in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The topic without the deployment's prefix.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Offset of the next record.
    pub offset: i64,
}

/// Which dead letters; what is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Fingerprint of the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The record key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Ids of dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<Uuid>>,
}

/// How an operation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// Release no more keys for now.
    Pause,
    /// Go on.
    Resume,
    /// Release no more keys, ever.
    Cancel,
}

/// What an operator holds; no record means that it flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The consumer group, with the deployment's prefix.
    pub group: String,
    /// Only this topic, without the deployment's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Only this partition of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Always true; a tombstone says the opposite.
    pub paused: bool,
    /// Who holds it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, RFC 3339.
    pub at: String,
}

impl Kind {
    /// Its name in the table of operations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "redrive",
            Self::Discard { .. } => "discard",
            Self::Restore { .. } => "restore",
            Self::Skip { .. } => "skip",
            Self::Seek { .. } => "seek",
            Self::Projection { action } => match action {
                Build::Rebuild { .. } => "rebuild",
                Build::Swap => "swap",
                Build::Rollback => "rollback",
                Build::Cancel => "cancel",
            },
            Self::Control { .. } => "control",
        }
    }
}

impl Pause {
    /// The key of its record.
    pub fn key(&self) -> String {
        let topic = self.topic.iter().map(|topic| format!("|{topic}"));
        let partition = self.partition.iter().map(|partition| format!("|{partition}"));
        std::iter::once(self.group.clone()).chain(topic).chain(partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_as_they_are_written_down() {
        let text = r#"{"id":"019ab000-0000-7000-8000-000000000001","group":"retail.payments",
            "issued_at":"2026-11-21T10:00:00Z","by":"night shift","reason":"fixed",
            "kind":"redrive","select":{"cause":"7f3a0000"},"rate":50.0,"canary":10,
            "set":[{"path":"$.total","value":1}],
            "where":[{"path":"$.status","op":"==","value":"x"}]}"#;
        let command: Command = serde_json::from_str(text).unwrap();
        let Kind::Redrive { select, rate, canary, repair } = &command.kind else {
            panic!("{command:?}");
        };
        assert_eq!(select.cause.as_deref(), Some("7f3a0000"));
        assert_eq!((*rate, *canary), (Some(50.0), Some(10)));
        assert_eq!((repair.set.len(), repair.conditions.len()), (1, 1));
        let again = serde_json::to_value(&command).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn a_pause_has_a_key_for_what_it_holds() {
        let mut pause = Pause {
            group: "g".into(),
            topic: None,
            partition: None,
            paused: true,
            by: String::new(),
            reason: String::new(),
            at: String::new(),
        };
        assert_eq!(pause.key(), "g");
        (pause.topic, pause.partition) = (Some("t".into()), Some(3));
        assert_eq!(pause.key(), "g|t|3");
    }
}
