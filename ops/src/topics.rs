//! The declared topics against those of the broker: what is missing, and making it. It never
//! removes a topic or changes one that is there.

use millrace::admin::{Admin, AdminError, Creation, TopicInfo, TopicSpec};
use millrace::contract::{Cleanup, Topic};
use millrace::control::own_topics;
use schemas::topics;
use serde::Serialize;

/// A topic as it is declared and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicState {
    /// Full name on the broker.
    pub topic: String,
    /// How the two compare.
    pub state: Comparison,
    /// Number of partitions on the broker.
    pub partitions: Option<usize>,
    /// Number of partitions that is declared.
    pub declared_partitions: Option<u32>,
    /// The only service that writes to it.
    pub owner: Option<&'static str>,
    /// The services that read it.
    pub readers: &'static [&'static str],
    /// What its key is.
    pub key: Option<&'static str>,
    /// What the broker removes and when, as declared.
    pub cleanup: Option<String>,
}

/// How a topic compares with its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// As declared.
    Ok,
    /// A partition has no leader at the moment.
    NoLeader,
    /// Declared, and not there.
    Missing,
    /// There with another number of partitions: its keys lie elsewhere.
    OtherPartitions,
    /// There under our prefix, and not declared.
    Undeclared,
}

impl Comparison {
    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoLeader => "no leader",
            Self::Missing => "missing",
            Self::OtherPartitions => "other partitions",
            Self::Undeclared => "undeclared",
        }
    }
}

/// Every declared topic and every other one under the prefix, by name.
///
/// # Errors
/// `Unreachable` and others of the broker.
pub async fn examine(admin: &Admin, prefix: &str) -> Result<Vec<TopicState>, AdminError> {
    Ok(compare(&admin.topics().await?, prefix))
}

/// Makes the declared topics that are not there, with this many copies of each partition.
///
/// # Errors
/// `OtherPartitions` when one is there with another number of partitions, and what the broker
/// refuses.
pub async fn create(
    admin: &Admin,
    prefix: &str,
    replication: u32,
) -> Result<Vec<(String, Creation)>, AdminError> {
    let declared = topics::ALL.iter().map(|topic| TopicSpec::from(*topic));
    let all = declared.chain(own_topics(topics::ALL));
    let specs: Vec<TopicSpec> =
        all.map(|spec| TopicSpec { replication, ..spec.prefixed(prefix) }).collect();
    admin.create_topics(&specs).await
}

fn compare(found: &[TopicInfo], prefix: &str) -> Vec<TopicState> {
    let declared = topics::ALL.iter().map(|topic| {
        let name = format!("{prefix}{}", topic.name);
        declared(topic, found.iter().find(|info| info.name == name), name)
    });
    let own = own_topics(topics::ALL);
    let derived = own.iter().map(|spec| {
        let name = format!("{prefix}{}", spec.name);
        derived(spec, found.iter().find(|info| info.name == name), name)
    });
    let known = |name: &str| {
        topics::ALL.iter().any(|topic| topic.name == name)
            || own.iter().any(|spec| spec.name == name)
    };
    let undeclared = found.iter().filter(|info| {
        let name = info.name.strip_prefix(prefix);
        name.is_some_and(|name| !known(name))
    });
    let mut states: Vec<TopicState> =
        declared.chain(derived).chain(undeclared.map(undeclared_state)).collect();
    states.sort_by(|a, b| a.topic.cmp(&b.topic));
    states
}

fn declared(topic: &'static Topic, found: Option<&TopicInfo>, name: String) -> TopicState {
    TopicState {
        topic: name,
        state: comparison(found, topic.partitions),
        partitions: found.map(|info| info.partitions),
        declared_partitions: Some(topic.partitions),
        owner: Some(topic.owner),
        readers: topic.readers,
        key: Some(topic.key),
        cleanup: Some(cleanup(topic.cleanup)),
    }
}

/// A topic that the platform needs beside the declared ones.
fn derived(spec: &TopicSpec, found: Option<&TopicInfo>, name: String) -> TopicState {
    TopicState {
        topic: name,
        state: comparison(found, spec.partitions),
        partitions: found.map(|info| info.partitions),
        declared_partitions: Some(spec.partitions),
        owner: None,
        readers: &[],
        key: None,
        cleanup: spec.config.get("cleanup.policy").cloned(),
    }
}

fn comparison(found: Option<&TopicInfo>, partitions: u32) -> Comparison {
    match found {
        None => Comparison::Missing,
        Some(info) if info.partitions != partitions as usize => Comparison::OtherPartitions,
        Some(info) if !info.ready => Comparison::NoLeader,
        Some(_) => Comparison::Ok,
    }
}

fn undeclared_state(info: &TopicInfo) -> TopicState {
    TopicState {
        topic: info.name.clone(),
        state: Comparison::Undeclared,
        partitions: Some(info.partitions),
        declared_partitions: None,
        owner: None,
        readers: &[],
        key: None,
        cleanup: None,
    }
}

fn cleanup(cleanup: Cleanup) -> String {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    match cleanup {
        Cleanup::Compact => "compact".to_owned(),
        Cleanup::Delete { retention_ms } => format!("delete after {} d", retention_ms / DAY_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, partitions: usize, ready: bool) -> TopicInfo {
        TopicInfo { name: name.to_owned(), partitions, ready }
    }

    fn state_of(states: &[TopicState], name: &str) -> Comparison {
        states.iter().find(|state| state.topic == name).unwrap().state
    }

    #[test]
    fn each_difference_from_the_declaration_has_a_name() {
        let found = [
            info("x.retail.order.events.v1", 6, true),
            info("x.retail.stock.events.v1", 6, false),
            info("x.retail.sale.events.v1", 3, true),
            info("x.other", 1, true),
            info("y.retail.order.events.v1", 1, true),
        ];
        let states = compare(&found, "x.");
        assert_eq!(state_of(&states, "x.retail.order.events.v1"), Comparison::Ok);
        assert_eq!(state_of(&states, "x.retail.stock.events.v1"), Comparison::NoLeader);
        assert_eq!(state_of(&states, "x.retail.sale.events.v1"), Comparison::OtherPartitions);
        assert_eq!(state_of(&states, "x.retail.payment.events.v1"), Comparison::Missing);
        assert_eq!(state_of(&states, "x.other"), Comparison::Undeclared);
        assert_eq!(state_of(&states, "x.retail.stock.dlq.v1"), Comparison::Missing);
        assert_eq!(states.len(), topics::ALL.len() + own_topics(topics::ALL).len() + 1);
    }
}
