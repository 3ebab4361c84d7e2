//! What the consumer and the operators' side of a service tell each other.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Poison;
use crate::consume::Partition;

/// Records to be skipped that have not come yet.
const SKIPS_MAX: usize = 10_000;

/// Records an operator wants out of the way: they become dead letters when they come.
#[derive(Default)]
pub(crate) struct Skips(Mutex<HashSet<(String, i32, i64)>>);

/// How far each partition is handled.
#[derive(Default)]
pub(crate) struct Progress(Mutex<BTreeMap<Partition, (i64, Option<f64>)>>);

/// What operators hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// The whole group.
    pub(crate) group: bool,
    /// Topics, and partitions of topics.
    pub(crate) parts: Vec<(&'static str, Option<i32>)>,
}

impl Skips {
    pub(crate) fn add(&self, topic: &str, partition: i32, offset: i64) {
        let mut skips = lock(&self.0);
        if skips.len() < SKIPS_MAX {
            skips.insert((topic.to_owned(), partition, offset));
        }
    }

    /// The fault of a record that is to be skipped.
    pub(crate) fn fault(&self, ((topic, partition), offset): (Partition, i64)) -> Option<Poison> {
        let skips = lock(&self.0);
        let skipped = !skips.is_empty() && skips.contains(&(topic.to_owned(), partition, offset));
        skipped.then(|| Poison::coded("skipped", "an operator put this record out of the way"))
    }
}

impl Progress {
    pub(crate) fn note(&self, partition: Partition, next: i64, lag_seconds: Option<f64>) {
        lock(&self.0).insert(partition, (next, lag_seconds));
    }

    /// Partitions that went to another member are no longer ours to tell of.
    pub(crate) fn keep(&self, ours: impl Fn(Partition) -> bool) {
        lock(&self.0).retain(|partition, _| ours(*partition));
    }

    pub(crate) fn all(&self) -> BTreeMap<Partition, (i64, Option<f64>)> {
        lock(&self.0).clone()
    }
}

/// Waits until nothing is held any more.
pub(crate) async fn free(held: &mut watch::Receiver<bool>, pauses: &mut watch::Receiver<Pauses>) {
    loop {
        let gone = held.wait_for(|held| !held).await.is_err();
        let gone = pauses.wait_for(|pauses| !pauses.group).await.is_err() || gone;
        if gone || (!*held.borrow() && !pauses.borrow().group) {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
