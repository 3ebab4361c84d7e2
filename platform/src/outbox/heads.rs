//! The version of each key that was sent last, as far as it is remembered. A fact that follows it may be sent
//! from memory; before any other, another process may have written one that only the table has.

use std::borrow::Cow;
use std::collections::HashMap;

use super::publish::Outgoing;

/// Keys of one of two generations: a key that is not met while so many others are is forgotten.
const KEYS_MAX: usize = 16_384;

type Key = (Cow<'static, str>, String);

#[derive(Debug, Default)]
pub(super) struct Heads {
    young: HashMap<Key, i64>,
    old: HashMap<Key, i64>,
}

impl Heads {
    /// Whether nothing can be missing before any of these rows, sent in this order.
    pub(super) fn lead_to(&self, rows: &[Outgoing]) -> bool {
        let mut among: HashMap<(&str, &str), i64> = HashMap::new();
        rows.iter().all(|row| {
            let before = among.insert((&row.topic, &row.key), row.version);
            // A first version, or a record without one, has nobody before it.
            row.version <= 1 || before.or_else(|| self.of(row)) == Some(row.version - 1)
        })
    }

    /// The row was sent.
    pub(super) fn sent(&mut self, row: &Outgoing) {
        if self.young.len() >= KEYS_MAX {
            // Neither grows again, key after key.
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
        self.young.insert((row.topic.clone(), row.key.clone()), row.version);
    }

    fn of(&self, row: &Outgoing) -> Option<i64> {
        let key = (row.topic.clone(), row.key.clone());
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, version: i64) -> Outgoing {
        Outgoing { topic: "t".into(), key: key.to_owned(), version, ..Outgoing::default() }
    }

    #[test]
    fn a_fact_follows_the_one_before_it_or_is_the_first() {
        let mut heads = Heads::default();
        assert!(heads.lead_to(&[row("a", 1), row("b", 1), row("a", 2)]));
        assert!(!heads.lead_to(&[row("a", 2)]), "nobody knows who sent the first");
        heads.sent(&row("a", 1));
        assert!(heads.lead_to(&[row("a", 2), row("a", 3)]));
        assert!(!heads.lead_to(&[row("a", 3)]));
        assert!(heads.lead_to(&[row("letter", 0)]), "letters have no versions");
    }

    #[test]
    fn keys_that_are_not_met_are_forgotten() {
        let mut heads = Heads::default();
        heads.sent(&row("kept", 1));
        for number in 0..3 * KEYS_MAX {
            heads.sent(&row(&number.to_string(), 1));
            if number % KEYS_MAX == 0 {
                heads.sent(&row("kept", 1));
            }
        }
        assert!(heads.lead_to(&[row("kept", 2)]));
        assert!(!heads.lead_to(&[row("0", 2)]));
        assert!(heads.young.len() + heads.old.len() <= 2 * KEYS_MAX);
    }
}
