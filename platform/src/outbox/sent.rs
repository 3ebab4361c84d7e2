//! What of the outbox is sent: everything below a place for each shard, and ranges of ids above it. No row
//! is ever marked, so that sending costs the database nothing, and a snapshot that somebody holds keeps no
//! dead version of any row alive.

use std::collections::BTreeMap;

use crate::kafka::SHARDS;

/// So many gaps between what is sent are looked into one by one; what comes behind them is one more.
const GAPS_MAX: usize = 64;
/// So many ranges are written down; what is sent above them is sent again after a crash.
const RANGES_MAX: usize = 4_096;

/// Ids that are sent. Ids of all shards are drawn from one sequence.
#[derive(Debug, Default)]
pub(super) struct Sent {
    below: [i64; SHARDS as usize],
    /// First id of each range, and the one behind its last.
    ranges: BTreeMap<i64, i64>,
}

impl Sent {
    /// What an earlier owner of a shard has said of it.
    pub(super) fn learn(&mut self, shard: i16, below: i64, ranges: &[(i64, i64)]) {
        let known = &mut self.below[shard as usize];
        *known = below.max(*known);
        ranges.iter().for_each(|(first, behind)| self.add(*first, *behind));
    }

    /// These ids are sent: from the first to the one before the last.
    pub(super) fn add(&mut self, first: i64, behind: i64) {
        let (mut first, mut behind) = (first, behind);
        while let Some((&from, &to)) = self.ranges.range(..=behind).next_back() {
            if to < first {
                break;
            }
            self.ranges.remove(&from);
            (first, behind) = (first.min(from), behind.max(to));
        }
        self.ranges.insert(first, behind);
    }

    pub(super) fn contains(&self, shard: i16, id: i64) -> bool {
        let range = self.ranges.range(..=id).next_back();
        id < self.below[shard as usize] || range.is_some_and(|(_, behind)| id < *behind)
    }

    /// Nothing below this id is unsent any more, of these shards.
    pub(super) fn settle(&mut self, shards: &[i16], below: i64) {
        shards.iter().for_each(|shard| self.learn(*shard, below, &[]));
        let oldest = self.from(shards);
        self.ranges.retain(|_, behind| *behind > oldest);
    }

    /// Below which id each shard is sent.
    pub(super) fn below(&self) -> &[i64] {
        &self.below
    }

    /// Below which id all of these shards are sent.
    pub(super) fn from(&self, shards: &[i16]) -> i64 {
        shards.iter().map(|shard| self.below[*shard as usize]).min().unwrap_or_default()
    }

    /// Where something unsent of these shards can be: first ids, and those behind the last ones.
    pub(super) fn gaps(&self, shards: &[i16]) -> (Vec<i64>, Vec<i64>) {
        let (mut firsts, mut behinds) = (vec![self.from(shards)], vec![]);
        for (first, behind) in self.ranges.iter().take(GAPS_MAX) {
            behinds.push(*first);
            firsts.push(*behind);
        }
        behinds.push(i64::MAX);
        (firsts, behinds)
    }

    /// Ranges of ids to be written down, as first ids and those behind the last ones.
    pub(super) fn ranges(&self) -> (Vec<i64>, Vec<i64>) {
        self.ranges.iter().take(RANGES_MAX).map(|(first, behind)| (*first, *behind)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ALL: [i16; SHARDS as usize] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn of(ids: impl IntoIterator<Item = i64>) -> Sent {
        let mut sent = Sent::default();
        ids.into_iter().for_each(|id| sent.add(id, id + 1));
        sent
    }

    proptest! {
        #[test]
        fn what_is_sent_is_known_and_nothing_else_in_whatever_order(
            ids in proptest::collection::vec(0_i64..60, 0..40),
            below in 0_i64..30,
        ) {
            let mut sent = of(ids.clone());
            sent.settle(&ALL, below);
            let known: BTreeSet<i64> = ids.into_iter().chain(0..below).collect();
            for id in 0..70 {
                prop_assert_eq!(sent.contains(3, id), known.contains(&id), "{}", id);
            }
            let (firsts, behinds) = sent.gaps(&ALL);
            let open = |id: i64| firsts.iter().zip(&behinds).any(|(a, b)| (*a..*b).contains(&id));
            for id in 0..70 {
                prop_assert_eq!(open(id), !known.contains(&id), "{}", id);
            }
            let (firsts, behinds) = sent.ranges();
            let apart = behinds.iter().zip(firsts.iter().skip(1)).all(|(behind, next)| behind < next);
            prop_assert!(apart, "ranges that touch are one");
        }
    }

    #[test]
    fn ids_one_after_the_other_are_one_range_and_leave_with_their_place() {
        let mut sent = of((1..=1_000).rev());
        assert_eq!(sent.ranges(), (vec![1], vec![1_001]));
        sent.settle(&ALL, 1_001);
        assert_eq!(sent.ranges(), (vec![], vec![]));
        assert_eq!(sent.gaps(&ALL), (vec![1_001], vec![i64::MAX]));
    }

    #[test]
    fn a_shard_that_is_behind_keeps_what_is_known_of_it() {
        let mut sent = of([5, 9]);
        sent.settle(&[0], 4);
        sent.learn(1, 3, &[(7, 9)]);
        assert!(sent.contains(0, 3) && !sent.contains(1, 3));
        assert!(sent.contains(1, 5) && !sent.contains(1, 6) && sent.contains(1, 8));
        assert_eq!((sent.from(&[0]), sent.from(&[0, 1])), (4, 3));
        sent.learn(1, 2, &[]);
        assert_eq!(sent.from(&[0, 1]), 3, "what is sent stays so");
    }

    #[test]
    fn more_gaps_than_are_looked_into_one_by_one_are_one_gap() {
        let sent = of((0..1_000).map(|number| number * 2));
        let (firsts, behinds) = sent.gaps(&ALL);
        assert_eq!(firsts.len(), GAPS_MAX + 1);
        assert_eq!((firsts[GAPS_MAX], behinds[GAPS_MAX]), (2 * GAPS_MAX as i64 - 1, i64::MAX));
    }
}
