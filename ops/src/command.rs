//! What an operator asks of the services: commands and wishes over Kafka, each with a reason, each
//! told to the audit before it is sent. The services obey and report; nothing here waits for them.

use millrace::Timestamp;
use millrace::admin::{Admin, AdminError, RawRecord};
use millrace::control::{self, Command, Kind, OpsTopics, Pause};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// The first word of the retailer's topics.
const DOMAIN: &str = "retail";

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
    topics: OpsTopics,
}

/// What is paused: a group, one of its topics, or one partition of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The consumer group.
    pub group: String,
    /// Only this topic of it.
    pub topic: Option<String>,
    /// Only this partition of the topic.
    pub partition: Option<i32>,
}

/// A new command to a group, asked now.
pub fn command(group: &str, kind: Kind, author: &Author) -> Command {
    let operator = control::Operator {
        id: Uuid::now_v7(),
        group: group.to_owned(),
        issued_at: now(),
        by: author.by.clone(),
        reason: author.reason.clone(),
    };
    Command { operator, kind }
}

impl Operator {
    /// An operator of the system whose topics begin with `prefix`.
    pub fn new(admin: Admin, prefix: impl Into<String>) -> Self {
        Self { admin, prefix: prefix.into(), topics: topics() }
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
        let Command { operator, kind } = command;
        let detail = json(kind);
        self.tell(operator, kind.name(), &String::from_utf8_lossy(&detail)).await?;
        self.put(&self.topics.commands, &operator.group, Some(json(command))).await
    }

    /// Says that a group, one of its topics or one partition is to be paused, or no longer.
    ///
    /// # Errors
    /// As [`Operator::send`].
    pub async fn pause(
        &self,
        target: &Target,
        paused: bool,
        author: &Author,
    ) -> Result<(), AdminError> {
        let Target { group, topic, partition } = target.clone();
        let Author { by, reason } = author.clone();
        let asked = control::Operator {
            id: Uuid::now_v7(),
            group: group.clone(),
            issued_at: now(),
            by: by.clone(),
            reason: reason.clone(),
        };
        let wish = Pause { group, topic, partition, paused: true, by, reason, at: now() };
        let key = wish.key();
        self.tell(&asked, if paused { "pause" } else { "resume" }, &key).await?;
        self.put(&self.topics.desired, &key, paused.then(|| json(&wish))).await
    }

    /// Puts a group that has no members elsewhere: nobody is there to be asked.
    ///
    /// # Errors
    /// As [`Operator::send`]; `Refused` when a member joined meanwhile.
    pub async fn put_group(
        &self,
        group: &str,
        places: &[control::Place],
        author: &Author,
    ) -> Result<(), AdminError> {
        let asked = command(group, Kind::Seek { to: places.to_vec() }, author);
        let detail = String::from_utf8_lossy(&json(&asked.kind)).into_owned();
        self.tell(&asked.operator, asked.kind.name(), &detail).await?;
        let full = |place: &control::Place| {
            (format!("{}{}", self.prefix, place.topic), place.partition, place.offset)
        };
        self.admin.put_group(group, places.iter().map(full).collect()).await
    }

    /// The first record of every change: who asked for it. Without it nothing is sent.
    async fn tell(
        &self,
        asked: &control::Operator,
        kind: &str,
        detail: &str,
    ) -> Result<(), AdminError> {
        let control::Operator { id, group, issued_at, by, reason } = asked;
        let told = json!({
            "id": id, "group": group, "kind": kind, "event": "issued", "by": by, "reason": reason,
            "at": issued_at, "detail": detail,
        });
        self.put(&self.topics.audit, group, Some(json(&told))).await
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
    format!("{prefix}{DOMAIN}.{service}")
}

/// The service of a consumer group, whether or not the prefix was given.
pub fn service_of<'g>(prefix: &str, group: &'g str) -> &'g str {
    let group = group.strip_prefix(prefix).unwrap_or(group);
    group.strip_prefix(&format!("{DOMAIN}.")).unwrap_or(group)
}

/// The topics between operators and services, without a deployment's prefix.
pub fn topics() -> OpsTopics {
    OpsTopics::of(DOMAIN)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it has only fields that are JSON")
}

fn now() -> String {
    Timestamp::from(time::OffsetDateTime::now_utc()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_its_service_are_found_from_each_other() {
        assert_eq!(group("w1.", "stock"), "w1.retail.stock");
        for given in ["w1.retail.stock", "retail.stock", "stock"] {
            assert_eq!(service_of("w1.", given), "stock");
        }
    }
}
