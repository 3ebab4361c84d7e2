//! Which partitions are ours, under which generation, and whether a batch is in hand. Shared by
//! the polling thread, whose rebalance callbacks may not take long, and the batch loop.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A partition by the contract's name of its topic.
pub(crate) type Partition = (&'static str, i32);

/// The partitions of this member.
#[derive(Default)]
pub(crate) struct Assignment {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    generation: u64,
    owned: HashMap<Partition, u64>,
    stopped: HashSet<Partition>,
    /// Topics and partitions an operator holds.
    held: Vec<(&'static str, Option<i32>)>,
    busy: bool,
}

impl State {
    fn rests(&self, partition: &Partition) -> bool {
        let held = |(topic, number): &(&'static str, Option<i32>)| {
            *topic == partition.0 && number.is_none_or(|number| number == partition.1)
        };
        self.stopped.contains(partition) || self.held.iter().any(held)
    }
}

/// Held while a batch is in hand.
pub(crate) struct Busy<'a>(&'a Assignment);

impl Assignment {
    /// These partitions are ours from now on.
    pub(crate) fn assign(&self, partitions: &[Partition]) {
        let mut state = self.state();
        state.generation += 1;
        let generation = state.generation;
        for partition in partitions {
            state.owned.insert(*partition, generation);
        }
    }

    /// These partitions are no longer ours. Waits for the batch in hand, so that its offsets are
    /// stored before the partitions go, but never longer than `deadline`.
    pub(crate) fn revoke(&self, partitions: &[Partition], deadline: Duration) {
        let mut state = self.state();
        for partition in partitions {
            state.owned.remove(partition);
            state.stopped.remove(partition);
        }
        let waited = self.idle.wait_timeout_while(state, deadline, |state| state.busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The generation under which a partition is ours.
    pub(crate) fn generation(&self, partition: Partition) -> Option<u64> {
        self.state().owned.get(&partition).copied()
    }

    /// The generation of the latest change.
    pub(crate) fn latest(&self) -> u64 {
        self.state().generation
    }

    /// Remembers that a partition is stopped until it is assigned anew.
    pub(crate) fn stop(&self, partition: Partition) {
        self.state().stopped.insert(partition);
    }

    /// Takes a stop back. What was fetched before is of an older generation from now on.
    pub(crate) fn renew(&self, partition: Partition) {
        let mut state = self.state();
        state.stopped.remove(&partition);
        state.generation += 1;
        let generation = state.generation;
        if let Some(owned) = state.owned.get_mut(&partition) {
            *owned = generation;
        }
    }

    /// Whether an operator holds a partition, or it is stopped.
    pub(crate) fn rests(&self, partition: Partition) -> bool {
        self.state().rests(&partition)
    }

    /// Sets which partitions an operator holds, and says which of ours begin to be held and which
    /// are free again.
    pub(crate) fn hold(
        &self,
        held: &[(&'static str, Option<i32>)],
    ) -> (Vec<Partition>, Vec<Partition>) {
        let mut state = self.state();
        let rested: HashSet<Partition> =
            state.owned.keys().filter(|partition| state.rests(partition)).copied().collect();
        state.held = held.to_vec();
        let (rests, flows): (Vec<Partition>, Vec<Partition>) =
            state.owned.keys().partition(|partition| state.rests(partition));
        let begin = rests.into_iter().filter(|partition| !rested.contains(partition)).collect();
        let end = flows.into_iter().filter(|partition| rested.contains(partition)).collect();
        (begin, end)
    }

    /// Every partition of ours.
    pub(crate) fn owned(&self) -> Vec<Partition> {
        self.state().owned.keys().copied().collect()
    }

    /// Partitions of ours that must not be fetched.
    pub(crate) fn resting(&self) -> Vec<Partition> {
        let state = self.state();
        state.owned.keys().filter(|partition| state.rests(partition)).copied().collect()
    }

    /// Partitions that are ours and not stopped.
    pub(crate) fn flowing(&self) -> Vec<Partition> {
        let state = self.state();
        let flowing = |partition: &&Partition| !state.rests(partition);
        state.owned.keys().filter(flowing).copied().collect()
    }

    /// Marks a batch as in hand.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.state().busy = true;
        Busy(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state().busy = false;
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_revoked_partition_comes_back_under_another_generation() {
        let assignment = Assignment::default();
        assignment.assign(&[("t", 0), ("t", 1)]);
        let first = assignment.generation(("t", 0));
        assignment.stop(("t", 0));
        assert_eq!(assignment.flowing(), [("t", 1)]);
        assignment.revoke(&[("t", 0)], Duration::ZERO);
        assert_eq!(assignment.generation(("t", 0)), None);
        assignment.assign(&[("t", 0)]);
        assert_ne!(assignment.generation(("t", 0)), first);
        assert_eq!(assignment.flowing().len(), 2, "a new assignment starts unstopped");
    }

    #[test]
    fn a_revoke_waits_for_the_batch_in_hand_but_not_for_ever() {
        let assignment = Assignment::default();
        assignment.assign(&[("t", 0)]);
        let busy = assignment.busy();
        let began = Instant::now();
        assignment.revoke(&[("t", 0)], Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
        drop(busy);
        assignment.revoke(&[], Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
