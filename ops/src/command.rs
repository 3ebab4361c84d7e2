//! What an operator asks of the services: commands and wishes over Kafka, each with a reason, each
//! told to the audit before it is sent. The services obey and report; nothing here waits for them.

use millrace::Timestamp;
use millrace::admin::{Admin, AdminError, RawRecord};
use millrace::repair::Repair;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// Where commands are sent.
pub const COMMANDS: &str = "retail.ops.commands.v1";
/// Where it stands what is to be paused.
pub const DESIRED: &str = "retail.ops.desired.v1";
/// Where services say how they are.
pub const STATUS: &str = "retail.ops.status.v1";
/// Where every change is told.
pub const AUDIT: &str = "retail.ops.audit.v1";

/// Which parked records; all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Select {
    /// Those of this cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Those of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// These.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<Uuid>,
}

/// What a group is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Handle dead letters again, and what waits behind them.
    Redrive {
        /// Which.
        select: Select,
        /// At most so many in a second.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
        /// So many first; if one of them fails as before, nothing more is tried.
        #[serde(skip_serializing_if = "Option::is_none")]
        canary: Option<u32>,
        /// What is repaired in them before.
        #[serde(flatten)]
        repair: Repair,
    },
    /// Give dead letters up, and release what waits behind them.
    Discard {
        /// Which.
        select: Select,
    },
    /// Take discarded dead letters back.
    Restore {
        /// Which.
        select: Select,
    },
    /// Make one record a dead letter without handling it.
    Skip {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// Change a running operation.
    Control {
        /// Which.
        operation: Uuid,
        /// How.
        #[serde(rename = "do")]
        action: Control,
    },
}

/// How an operation is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// It waits.
    Pause,
    /// It goes on.
    Resume,
    /// It ends; what is done stays done.
    Cancel,
}

/// A command to one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its id, which is also the id of the operation.
    pub id: Uuid,
    /// The consumer group that obeys.
    pub group: String,
    /// What it does.
    #[serde(flatten)]
    pub kind: Kind,
    /// When it was asked.
    pub issued_at: Timestamp,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What is to be paused: a group, one of its topics, or one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The consumer group.
    pub group: String,
    /// Only this topic of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Only this partition of the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
}

/// Who asks, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Sends commands and wishes, each after its record in the audit.
#[derive(Debug, Clone)]
pub struct Operator {
    admin: Admin,
    prefix: String,
}

impl Command {
    /// A new command, asked now.
    pub fn new(group: &str, kind: Kind, author: &Author) -> Self {
        Self {
            id: Uuid::now_v7(),
            group: group.to_owned(),
            kind,
            issued_at: now(),
            by: author.by.clone(),
            reason: author.reason.clone(),
        }
    }
}

impl Kind {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "redrive",
            Self::Discard { .. } => "discard",
            Self::Restore { .. } => "restore",
            Self::Skip { .. } => "skip",
            Self::Control { .. } => "control",
        }
    }
}

impl Control {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

impl Target {
    /// As it is named: `group`, `group|topic` or `group|topic|partition`.
    pub fn key(&self) -> String {
        let topic = self.topic.iter().map(String::clone);
        let partition = self.partition.iter().map(i32::to_string);
        let parts = std::iter::once(self.group.clone()).chain(topic).chain(partition);
        parts.collect::<Vec<_>>().join("|")
    }
}

impl Operator {
    /// An operator of the system whose topics begin with `prefix`.
    pub fn new(admin: Admin, prefix: impl Into<String>) -> Self {
        Self { admin, prefix: prefix.into() }
    }

    /// The consumer group of a service.
    pub fn group(&self, service: &str) -> String {
        group(&self.prefix, service)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// `NoTopic` when the topics of operation are not there; `Refused` or `Unreachable`.
    pub async fn send(&self, command: &Command) -> Result<(), AdminError> {
        let Command { id, group, kind, by, reason, .. } = command;
        let author = Author { by: by.clone(), reason: reason.clone() };
        let detail = serde_json::to_string(kind).unwrap_or_default();
        self.tell(*id, group, kind.name(), &author, &detail).await?;
        let body = serde_json::to_vec(command).unwrap_or_default();
        self.put(COMMANDS, group, Some(body)).await
    }

    /// Says that something is to be paused, or no longer.
    ///
    /// # Errors
    /// As [`Operator::send`].
    pub async fn pause(
        &self,
        target: &Target,
        paused: bool,
        author: &Author,
    ) -> Result<(), AdminError> {
        let kind = if paused { "pause" } else { "resume" };
        self.tell(Uuid::now_v7(), &target.group, kind, author, &target.key()).await?;
        let Target { group, topic, partition } = target;
        let wish = paused.then(|| {
            let mut wish = json!({
                "group": group, "paused": true, "by": author.by, "reason": author.reason,
                "at": now(),
            });
            if let Some(topic) = topic {
                wish["topic"] = topic.as_str().into();
            }
            if let Some(partition) = partition {
                wish["partition"] = (*partition).into();
            }
            wish.to_string().into_bytes()
        });
        self.put(DESIRED, &target.key(), wish).await
    }

    /// The first record of every change: who asked for it. Without it nothing is sent.
    async fn tell(
        &self,
        id: Uuid,
        group: &str,
        kind: &str,
        author: &Author,
        detail: &str,
    ) -> Result<(), AdminError> {
        let body = json!({
            "id": id, "group": group, "kind": kind, "event": "issued", "by": author.by,
            "reason": author.reason, "at": now(), "detail": detail,
        });
        self.put(AUDIT, group, Some(body.to_string().into_bytes())).await
    }

    async fn put(
        &self,
        topic: &str,
        key: &str,
        payload: Option<Vec<u8>>,
    ) -> Result<(), AdminError> {
        let content_type = ("content-type".to_owned(), Some(b"application/json".to_vec()));
        let raw = RawRecord {
            partition: None,
            key: Some(key.as_bytes().to_vec()),
            payload,
            headers: vec![content_type],
        };
        self.admin.produce(&format!("{}{topic}", self.prefix), raw).await.map(drop)
    }
}

/// The consumer group of a service under a deployment's prefix.
pub fn group(prefix: &str, service: &str) -> String {
    format!("{prefix}retail.{service}")
}

/// The service of a consumer group, whether or not the prefix was given.
pub fn service_of<'g>(prefix: &str, group: &'g str) -> &'g str {
    let group = group.strip_prefix(prefix).unwrap_or(group);
    group.strip_prefix("retail.").unwrap_or(group)
}

fn now() -> Timestamp {
    time::OffsetDateTime::now_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind) -> serde_json::Value {
        let author = Author { by: "me".to_owned(), reason: "because".to_owned() };
        let command = Command::new("retail.payments", kind, &author);
        let told = serde_json::to_value(&command).unwrap();
        assert_eq!(serde_json::from_value::<Command>(told.clone()).unwrap(), command);
        told
    }

    #[test]
    fn a_redrive_says_all_it_means_and_no_more() {
        let repair = Repair {
            set: vec!["$.a=1".parse().unwrap()],
            conditions: vec!["$.b==x".parse().unwrap()],
        };
        let select = Select { cause: Some("7f3a0b1c".to_owned()), ..Select::default() };
        let told = said(Kind::Redrive { select, rate: Some(50.0), canary: None, repair });
        assert_eq!(told["kind"], "redrive");
        assert_eq!(told["group"], "retail.payments");
        assert_eq!((&told["by"], &told["reason"]), (&json!("me"), &json!("because")));
        assert_eq!(told["select"], json!({ "cause": "7f3a0b1c" }));
        assert_eq!(told["rate"], 50.0);
        assert_eq!(told["set"], json!([{ "path": "$.a", "value": 1 }]));
        assert_eq!(told["where"], json!([{ "path": "$.b", "op": "==", "value": "x" }]));
        assert!(told.get("canary").is_none());
    }

    #[test]
    fn the_other_commands_have_their_fields_beside_the_kind() {
        let told = said(Kind::Skip { topic: "t".to_owned(), partition: 3, offset: 41 });
        assert_eq!((&told["kind"], &told["offset"]), (&json!("skip"), &json!(41)));
        let operation = Uuid::now_v7();
        let told = said(Kind::Control { operation, action: Control::Cancel });
        assert_eq!((&told["operation"], &told["do"]), (&json!(operation), &json!("cancel")));
    }

    #[test]
    fn a_target_is_named_as_far_as_it_goes() {
        let of = |topic: Option<&str>, partition| {
            let topic = topic.map(str::to_owned);
            Target { group: "g".to_owned(), topic, partition }.key()
        };
        assert_eq!(of(None, None), "g");
        assert_eq!(of(Some("t"), None), "g|t");
        assert_eq!(of(Some("t"), Some(3)), "g|t|3");
    }

    #[test]
    fn a_group_and_its_service_are_found_from_each_other() {
        assert_eq!(group("w1.", "stock"), "w1.retail.stock");
        for given in ["w1.retail.stock", "retail.stock", "stock"] {
            assert_eq!(service_of("w1.", given), "stock");
        }
    }
}
