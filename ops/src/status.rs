//! How the services are, by what they say themselves each second. A service that says nothing is
//! away, or cannot reach the broker; which of the two is not known here.

use std::collections::{BTreeMap, BTreeSet};

use millrace::Timestamp;
use millrace::admin::{Admin, AdminError};
use millrace::control::{PartitionStatus, Status};
use serde::Serialize;

use crate::command::{group, service_of, topics};
use crate::{Endpoints, SERVICES};

/// Who said nothing for this long is away.
pub const SILENT_MICROS: i64 = 5_000_000;
/// So many of the newest records are read: the last seconds of every instance there may be.
const RECORDS: i64 = 1_000;

/// A consumer group: what its instances say together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Its service.
    pub service: String,
    /// How many instances gave a sign just now.
    pub instances: usize,
    /// Whether all of them are ready; false when there are none.
    pub ready: bool,
    /// What does not hold, each with its reason.
    pub faults: BTreeMap<String, String>,
    /// What an operator paused.
    pub paused: BTreeSet<String>,
    /// The largest time lag of its partitions, in seconds.
    pub time_lag_seconds: f64,
    /// How many keys wait.
    pub parked_keys: i64,
    /// How many records wait.
    pub parked_records: i64,
    /// How many of them are dead letters.
    pub dead_letters: i64,
    /// How many facts are not published yet.
    pub outbox_pending: i64,
    /// For how long the oldest of them waits, in seconds.
    pub outbox_oldest_seconds: f64,
    /// Circuit breakers that are not closed.
    pub breakers: BTreeMap<String, String>,
    /// Its partitions by topic and number.
    pub partitions: Vec<PartitionStatus>,
    /// When it gave its last sign.
    pub last_sign: Option<Timestamp>,
}

/// The newest record of each instance that is still in the topic.
///
/// # Errors
/// `NoTopic`, `TooSlow` or `Unreachable`.
pub async fn statuses(admin: &Admin, prefix: &str) -> Result<Vec<Status>, AdminError> {
    let records = admin.read_last(&format!("{prefix}{}", topics().status), RECORDS).await?;
    let mut newest: BTreeMap<(String, String), Status> = BTreeMap::new();
    for record in records {
        let payload = record.payload.as_deref().unwrap_or_default();
        // What is no status is not ours to judge; the next one comes in a second.
        let Ok(status) = serde_json::from_slice::<Status>(payload) else { continue };
        let at = (status.group.clone(), status.instance.clone());
        match newest.get(&at) {
            Some(known) if said_at(known) > said_at(&status) => {}
            _ => drop(newest.insert(at, status)),
        }
    }
    Ok(newest.into_values().collect())
}

/// Those of them that were said just now.
pub fn recent(statuses: &[Status], now: Timestamp) -> impl Iterator<Item = &Status> {
    let recent = move |status: &&Status| now.micros() - said_at(status).micros() < SILENT_MICROS;
    statuses.iter().filter(recent)
}

/// The groups of every service, those that say nothing among them.
pub fn groups(endpoints: &Endpoints, statuses: &[Status], now: Timestamp) -> Vec<Group> {
    let known = SERVICES.iter().map(|service| group(&endpoints.topic_prefix, service));
    let mut names: Vec<String> = known.collect();
    let others: BTreeSet<&String> = statuses.iter().map(|status| &status.group).collect();
    let others = others.into_iter().filter(|name| !names.contains(name)).cloned();
    let others: Vec<String> = others.collect();
    names.extend(others);
    let group = |name: String| {
        let service = service_of(&endpoints.topic_prefix, &name).to_owned();
        let of_group = statuses.iter().filter(|status| status.group == name);
        let mut group = Group { group: name.clone(), service, ..Group::default() };
        of_group.for_each(|status| group.learn(status, now));
        group
    };
    names.into_iter().map(group).collect()
}

/// When it was said; long ago, if it cannot be read.
fn said_at(status: &Status) -> Timestamp {
    status.at.parse().unwrap_or_default()
}

impl Group {
    /// What is old tells only that somebody was there.
    fn learn(&mut self, status: &Status, now: Timestamp) {
        let at = said_at(status);
        self.last_sign = self.last_sign.max(Some(at));
        if now.micros() - at.micros() < SILENT_MICROS {
            self.add(status);
        }
        let place = |it: &PartitionStatus| (it.topic.clone(), it.partition);
        self.partitions.sort_by_key(place);
    }

    fn add(&mut self, status: &Status) {
        self.ready = status.ready && (self.ready || self.instances == 0);
        self.instances += 1;
        let faults = status.conditions.iter();
        self.faults.extend(faults.filter_map(|(name, why)| Some((name.clone(), why.clone()?))));
        self.paused.extend(status.paused.iter().cloned());
        let lags = status.partitions.iter().filter_map(|partition| partition.time_lag_seconds);
        self.time_lag_seconds = lags.fold(self.time_lag_seconds, f64::max);
        // Every instance counts the same database.
        let larger = |known: &mut i64, told: Option<i64>| *known = (*known).max(told.unwrap_or(0));
        larger(&mut self.parked_keys, status.parked_keys);
        larger(&mut self.parked_records, status.parked_records);
        larger(&mut self.dead_letters, status.dead_letters);
        larger(&mut self.outbox_pending, status.outbox_pending);
        let oldest = status.outbox_oldest_seconds.unwrap_or(0.0);
        self.outbox_oldest_seconds = self.outbox_oldest_seconds.max(oldest);
        let breakers = status.breakers.iter().filter(|(_, state)| *state != "closed");
        self.breakers.extend(breakers.map(|(name, state)| (name.clone(), state.clone())));
        self.partitions.extend(status.partitions.iter().cloned());
    }

    /// In one word: away, paused, unready or ready.
    pub fn state(&self) -> &'static str {
        match self {
            Self { instances: 0, .. } => "away",
            _ if !self.paused.is_empty() => "paused",
            Self { ready: false, .. } => "unready",
            _ => "ready",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn status(instance: &str, ready: bool, seconds_ago: i64) -> Status {
        Status {
            service: "stock".to_owned(),
            group: "w.retail.stock".to_owned(),
            instance: instance.to_owned(),
            version: "0".to_owned(),
            at: Timestamp::from_micros(NOW - seconds_ago * 1_000_000).unwrap().to_string(),
            ready,
            conditions: BTreeMap::new(),
            fold: None,
            paused: vec![],
            partitions: vec![],
            parked_keys: Some(3),
            parked_records: None,
            dead_letters: None,
            outbox_pending: None,
            outbox_oldest_seconds: None,
            breakers: BTreeMap::new(),
            operations: vec![],
        }
    }

    fn stock(statuses: &[Status]) -> Group {
        let endpoints = Endpoints { topic_prefix: "w.".to_owned(), ..Endpoints::default() };
        let groups = groups(&endpoints, statuses, Timestamp::from_micros(NOW).unwrap());
        assert_eq!(groups.len(), SERVICES.len());
        groups.into_iter().find(|group| group.service == "stock").unwrap()
    }

    #[test]
    fn a_group_is_what_its_living_instances_say() {
        let mut open = status("b", true, 0);
        open.breakers = [("bank", "open"), ("mail", "closed")]
            .map(|(name, state)| (name.to_owned(), state.to_owned()))
            .into();
        let found = stock(&[status("a", true, 1), open, status("c", false, 60)]);
        assert_eq!((found.instances, found.ready, found.parked_keys), (2, true, 3));
        assert_eq!(found.breakers.keys().collect::<Vec<_>>(), ["bank"]);
        assert_eq!(found.state(), "ready");
        let mut unready = status("a", false, 1);
        unready.conditions = [("partitions".to_owned(), Some("stopped".to_owned()))].into();
        for both in [[unready.clone(), status("b", true, 1)], [status("b", true, 1), unready]] {
            let found = stock(&both);
            assert_eq!(
                (found.state(), found.faults["partitions"].as_str()),
                ("unready", "stopped")
            );
        }
    }

    #[test]
    fn who_says_nothing_for_five_seconds_is_away() {
        let found = stock(&[status("a", true, 6)]);
        assert_eq!((found.state(), found.instances), ("away", 0));
        assert!(found.last_sign.is_some());
        assert_eq!(stock(&[]).last_sign, None);
    }
}
