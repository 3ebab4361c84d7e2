//! The topics that the platform needs beside those of the contract: derived from them, so that
//! nobody has to declare them.

use std::collections::BTreeMap;

use millrace_contract::Topic;

use crate::admin::TopicSpec;
use crate::kafka;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Dead letters are evidence.
const DEAD_LETTERS_DAYS: u64 = 30;
const AUDIT_DAYS: u64 = 400;

/// The topics between operators and services. `domain` is the first word of the topics' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsTopics {
    /// Commands to groups; the record key is the group. Kept for a day.
    pub commands: String,
    /// What operators hold; the key is `group`, `group|topic` or `group|topic|partition`. Compacted.
    pub desired: String,
    /// How each instance is, every second; the key is `group/instance`. Kept for a day.
    pub status: String,
    /// Who asked for what and what came of it; the key is the group. Kept for 400 days.
    pub audit: String,
}

impl OpsTopics {
    /// The names for a domain.
    pub fn of(domain: &str) -> Self {
        let name = |what: &str| format!("{domain}.ops.{what}.v1");
        Self {
            commands: name("commands"),
            desired: name("desired"),
            status: name("status"),
            audit: name("audit"),
        }
    }

    /// How they are made, one partition each.
    pub fn specs(&self) -> Vec<TopicSpec> {
        vec![
            deleted(&self.commands, 1),
            TopicSpec::new(self.desired.as_str(), 1).set("cleanup.policy", "compact"),
            deleted(&self.status, 1),
            deleted(&self.audit, AUDIT_DAYS),
        ]
    }
}

/// The topic of a service's dead letters, without the deployment's prefix.
pub fn dead_letters(domain: &str, service: &str) -> String {
    format!("{domain}.{service}.dlq.v1")
}

/// What the readers of these topics need: a topic of dead letters for each, with as many
/// partitions as the largest topic it reads, and the topics between operators and services.
pub fn own_topics(topics: &[&Topic]) -> Vec<TopicSpec> {
    let mut partitions: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let domain = |topic: &Topic| topic.name.split('.').next().unwrap_or_default();
    for topic in topics {
        for reader in topic.readers {
            let most = partitions.entry((domain(topic), reader)).or_default();
            *most = topic.partitions.max(*most);
        }
    }
    let mut domains: Vec<&str> = topics.iter().map(|topic| domain(topic)).collect();
    domains.sort_unstable();
    domains.dedup();
    let letters = partitions.into_iter().map(|((domain, service), partitions)| {
        let spec = deleted(&dead_letters(domain, service), DEAD_LETTERS_DAYS);
        // A record of the largest size, and the note on why it failed.
        TopicSpec { partitions, ..spec.set("max.message.bytes", kafka::LETTER_BYTES_MAX) }
    });
    let ops = domains.iter().flat_map(|domain| OpsTopics::of(domain).specs());
    letters.chain(ops).collect()
}

fn deleted(name: &str, days: u64) -> TopicSpec {
    let spec = TopicSpec::new(name, 1).set("retention.ms", days * DAY_MS);
    spec.set("cleanup.policy", "delete")
}
