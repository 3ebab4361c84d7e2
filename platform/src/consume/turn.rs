//! One batch in one transaction: what became of each record. A record that fails costs itself and
//! lets what follows for its key wait; everything else goes on in the same transaction.

use std::collections::HashMap;

use super::arrive::{Content, Incoming};
use super::planted;
use crate::Poison;
use crate::store::Versions;

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It acted, or there was nothing to do.
    Done,
    /// It had acted before.
    Repeat,
    /// It cannot be handled now.
    Failed(Poison),
    /// Its key waits, and it waits behind.
    Behind,
    /// A fact of its key is missing before it.
    Gap { missing: u64 },
}

/// Why a key waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Behind a record that failed.
    Failed,
    /// For a fact that is missing.
    Gap,
}

/// Faults found in an earlier attempt at the same records, by their index.
pub(crate) type Condemned = HashMap<usize, Poison>;

/// A batch in the hands of a transaction.
pub(crate) struct Turn<'a> {
    pub(crate) batch: &'a [Incoming<'a>],
    pub(crate) fates: Vec<Option<Fate>>,
    pub(crate) waiting: HashMap<String, Waits>,
    /// Versions applied, after this transaction.
    pub(crate) applied: Versions,
    /// A version that was not expected is a gap.
    pub(crate) gaps_count: bool,
    /// The versions applied are remembered by key.
    pub(crate) versioned: bool,
    /// What the rows amount to is said to nobody.
    pub(crate) silent: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(batch: &'a [Incoming<'a>], waiting: HashMap<String, Waits>) -> Self {
        let fates = batch.iter().map(|_| None).collect();
        Self {
            batch,
            fates,
            waiting,
            applied: Versions::with_capacity(batch.len()),
            gaps_count: true,
            versioned: false,
            silent: false,
        }
    }

    /// Records nothing is known of yet, in their order.
    pub(crate) fn open(&self) -> Vec<usize> {
        (0..self.batch.len()).filter(|index| self.fates[*index].is_none()).collect()
    }

    /// Whether the record's turn has come: nothing before it of its key waits, it can be read, and
    /// it follows the last version of its key. What is not so has its fate from here on.
    pub(crate) fn admits(&mut self, index: usize, last: &Versions, condemned: &Condemned) -> bool {
        let incoming = &self.batch[index];
        let key = incoming.key.as_ref().filter(|_| planted::follower_waits());
        if let Some(waits) = key.and_then(|key| self.waiting.get(key)).copied() {
            let fills = waits == Waits::Gap && self.step(incoming, last) == Some(Step::Next);
            if !fills {
                self.fates[index] = Some(Fate::Behind);
                return false;
            }
        }
        if let Some(poison) = condemned.get(&index) {
            self.fail(index, poison.clone());
            return false;
        }
        match self.step(incoming, last) {
            Some(Step::Repeat) => self.fates[index] = Some(Fate::Repeat),
            Some(Step::Gap(missing)) if self.gaps_count && incoming.gapless => {
                self.fates[index] = Some(Fate::Gap { missing });
                self.wait(index, Waits::Gap);
            }
            _ => {
                if matches!(incoming.content, Content::Passed(_)) {
                    self.done(index);
                }
                return matches!(incoming.content, Content::Fact(_));
            }
        }
        false
    }

    /// The record acted; its version is the last one of its key.
    pub(crate) fn done(&mut self, index: usize) {
        self.fates[index] = Some(Fate::Done);
        let incoming = &self.batch[index];
        if let (Some(key), Some(version)) = (&incoming.key, incoming.version()) {
            let applied = self.applied.entry((incoming.record.position.topic, key.clone()));
            let last = applied.or_insert(version);
            *last = (*last).max(version);
        }
    }

    /// The record cannot be handled: what follows of its key waits.
    pub(crate) fn fail(&mut self, index: usize, poison: Poison) {
        self.fates[index] = Some(Fate::Failed(poison));
        self.wait(index, Waits::Failed);
    }

    fn wait(&mut self, index: usize, why: Waits) {
        if let Some(key) = &self.batch[index].key {
            self.waiting.insert(key.clone(), why);
        }
    }

    /// Takes out the versions that are to be remembered: none, where they are not.
    pub(crate) fn take_remembered(&mut self) -> Versions {
        match self.versioned {
            true => std::mem::take(&mut self.applied),
            false => Versions::new(),
        }
    }

    /// Indices of the records that acted.
    pub(crate) fn acted(&self) -> impl Iterator<Item = usize> + '_ {
        let done = |index: &usize| matches!(self.fates[*index], Some(Fate::Done));
        (0..self.batch.len()).filter(done)
    }

    fn step(&self, incoming: &Incoming<'_>, last: &Versions) -> Option<Step> {
        let (key, version) = (incoming.key.clone()?, incoming.version()?);
        let at = (incoming.record.position.topic, key);
        let last = self.applied.get(&at).or_else(|| last.get(&at)).copied()?;
        Some(match version {
            version if version <= last => Step::Repeat,
            version if version == last + 1 => Step::Next,
            _ => Step::Gap(last + 1),
        })
    }
}

/// How a version follows the last one applied of its key.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Repeat,
    Next,
    Gap(u64),
}

impl Incoming<'_> {
    /// Whether it cannot be read.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.content, Content::Broken)
    }

    pub(crate) fn version(&self) -> Option<u64> {
        match &self.content {
            Content::Fact(arrived) => Some(arrived.version),
            Content::Passed(version) => *version,
            Content::Broken => None,
        }
    }
}
