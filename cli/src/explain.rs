//! `millrace explain`: what is promised for each topic and each of its readers, how long the records
//! and what is remembered of them are kept, and which settings make it so.

use std::time::Duration;

use millrace::contract::{Cleanup, Topic};
use millrace::{Config, Service};
use serde::Serialize;

use crate::failure::Failure;
use crate::house;
use crate::output::{Output, Row};
use crate::place::Place;

/// What is promised to one reader of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Promise {
    /// The topic.
    topic: String,
    /// Who reads it: a consumer group, or the name of a replica.
    reader: String,
    /// What holds.
    guarantee: &'static str,
    /// How long the topic keeps its records; `None`: the latest of each key for ever.
    topic_keeps_seconds: Option<u64>,
    /// How long the reader recognises a record that comes again; `None`: for ever.
    recognises_seconds: Option<u64>,
    /// What makes it so, settings first.
    because: Vec<String>,
}

pub(crate) fn run(place: &Place, output: Output) -> anyhow::Result<()> {
    let mut all = vec![];
    for name in house::all_names() {
        let Some(make) = house::service(name) else { continue };
        all.extend(promises(&make(), place)?);
    }
    all.sort_by(|a, b| (&a.topic, &a.reader).cmp(&(&b.topic, &b.reader)));
    output.list(&all)?;
    if output.for_people() {
        output.text(
            "\nEvery one holds through crashes, rebalances, redrives and resets; the tests that show \
             it are named in docs/operations/faults.md.",
        )?;
    }
    Ok(())
}

fn promises(service: &Service, place: &Place) -> Result<Vec<Promise>, Failure> {
    let config = &place.config;
    let horizon = service.horizon(config).map_err(Failure::Refused)?;
    let mut topics: Vec<&'static Topic> =
        service.reads().into_iter().map(|(_, topic)| topic).collect();
    topics.sort_by_key(|topic| topic.name);
    topics.dedup();
    let group = ops::command::group(&place.endpoints.topic_prefix, service.name());
    let one = |topic: &'static Topic| {
        let (guarantee, mut because) = kind(service, topic);
        because.extend(kept(service, topic, config, horizon.inbox));
        let forever = service.is_view() || service.is_replica();
        Promise {
            topic: topic.name.to_owned(),
            reader: if service.is_replica() { service.name().to_owned() } else { group.clone() },
            guarantee,
            topic_keeps_seconds: retention(topic).map(|it| it.as_secs()),
            recognises_seconds: horizon.inbox.filter(|_| !forever).map(|it| it.as_secs()),
            because,
        }
    };
    Ok(topics.into_iter().map(one).collect())
}

/// What holds for a reader of this kind, and which parts of it make it so.
fn kind(service: &Service, topic: &Topic) -> (&'static str, Vec<String>) {
    if service.is_replica() {
        let because = "the offsets lie in the commit of the rows, in a file of its own";
        return ("the latest state of each key, at least once", vec![because.to_owned()]);
    }
    if service.is_view() {
        let because = "positions lie beside the rows: what is folded is passed over, a reset to the \
                       beginning folds anew";
        return ("every fact is in the rows once", vec![because.to_owned()]);
    }
    let mut because = vec![
        "the inbox row is the first write of the transaction that acts".to_owned(),
        "offsets are stored after the commit (enable.auto.offset.store=false)".to_owned(),
    ];
    for (ask, partner) in service.asks() {
        because
            .push(format!("{ask} is asked of {partner} under one idempotency key for each fact"));
    }
    match topic.cleanup {
        Cleanup::Compact => ("each state that is read acts once, the latest of each key", because),
        Cleanup::Delete { .. } => {
            because
                .push("versions of a key have no hole: what is missing is waited for".to_owned());
            ("delivered at least once, acts once, in the order of each key", because)
        }
    }
}

/// How long things are remembered, and why.
fn kept(service: &Service, topic: &Topic, config: &Config, inbox: Option<Duration>) -> Vec<String> {
    let mut because = vec![match retention(topic) {
        Some(kept) => format!("the topic keeps {} (retention_days in topics.toml)", days(kept)),
        None => "the topic is compacted: it keeps the latest record of each key".to_owned(),
    }];
    if service.is_view() || service.is_replica() {
        return because;
    }
    let window = config.consume.replay_window;
    because.push(match (inbox, window.is_zero()) {
        (None, _) => {
            "the inbox is kept for ever: a compacted topic may be read again from its first \
                      record"
                .to_owned()
        }
        (Some(kept), true) => {
            format!("the inbox keeps {}: the longest retention and 2 days", days(kept))
        }
        (Some(kept), false) => {
            format!("the inbox keeps {}: consume.replay_window and 2 days", days(kept))
        }
    });
    because
}

fn retention(topic: &Topic) -> Option<Duration> {
    match topic.cleanup {
        Cleanup::Delete { retention_ms } => Some(Duration::from_millis(retention_ms)),
        Cleanup::Compact => None,
    }
}

fn days(kept: Duration) -> String {
    let hours = kept.as_secs() / 3600;
    match hours % 24 {
        0 => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    }
}

impl Row for Promise {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "READER", "GUARANTEE"];
    const WIDE: &'static [&'static str] = &["BECAUSE"];

    fn id(&self) -> String {
        format!("{} {}", self.topic, self.reader)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.topic.clone(), self.reader.clone(), self.guarantee.to_owned()]
    }

    fn wide(&self) -> Vec<String> {
        vec![self.because.join("\n")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(window: Duration) -> Place {
        let mut config = Config::default();
        config.consume.replay_window = window;
        Place { endpoints: ops::Endpoints::default(), said_by: String::new(), config }
    }

    #[test]
    fn every_reader_of_every_topic_is_promised_something() {
        let place = place(Duration::ZERO);
        for topic in schemas::topics::ALL {
            for reader in topic.readers {
                let service = house::service(reader).unwrap();
                let promises = promises(&service(), &place).unwrap();
                let here = promises.iter().find(|it| it.topic == topic.name).unwrap();
                assert!(here.because.len() >= 2, "{here:?}");
            }
        }
    }

    #[test]
    fn what_is_remembered_follows_the_declared_window_or_contradicts_it() {
        let stock = house::service("stock").unwrap();
        let day = Duration::from_secs(24 * 3600);
        let kept = |window| promises(&stock(), &place(window)).map(|all| all[0].recognises_seconds);
        assert_eq!(kept(Duration::ZERO).unwrap(), Some(9 * 24 * 3600));
        assert_eq!(kept(day).unwrap(), Some(3 * 24 * 3600));
        assert!(matches!(kept(8 * day), Err(Failure::Refused(_))));
    }
}
