//! The journals in hand: where each chain ends, whether it is frozen, and what its door refuses.
//! Synchronous and total.

pub mod chain;
pub mod replay;
pub mod state;

mod sentence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemas::{OrderId, Timestamp};

use chain::Link;

/// Producers outside are refused when a journal has so many entries: what is left is for the facts of
/// the order itself.
pub const OUTSIDE_ENTRIES_MAX: u64 = 900;

/// What is known of an order's journal beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The end of the chain.
    pub link: Link,
    /// Who froze it and why, if anybody did.
    pub frozen: Option<Frozen>,
}

/// Who froze a journal, why and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Why the door does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was said about this order.
    #[error("The journal has nothing of this order.")]
    Unknown,
    /// It was frozen before, or by somebody else.
    #[error("The journal of this order was frozen by {by} at {at}: {reason}")]
    Frozen {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// It has as many entries as producers outside may bring it to.
    #[error("The journal of this order has {0} entries and takes nothing from outside any more.")]
    Full(u64),
}

/// The journals in hand.
#[derive(Debug, Default)]
pub struct Heads {
    heads: BTreeMap<OrderId, Head>,
    changed: BTreeSet<OrderId>,
}

impl Heads {
    /// Takes the rows that were read.
    pub fn new(heads: BTreeMap<OrderId, Head>) -> Self {
        Self { heads, changed: BTreeSet::new() }
    }

    /// Whether somebody outside may have something noted about an order.
    pub fn note(&self, order: OrderId) -> Result<(), Refusal> {
        let head = self.heads.get(&order).ok_or(Refusal::Unknown)?;
        match &head.frozen {
            Some(Frozen { by, reason, at }) => {
                Err(Refusal::Frozen { by: by.clone(), reason: reason.clone(), at: *at })
            }
            None if head.link.length >= OUTSIDE_ENTRIES_MAX => Err(Refusal::Full(head.link.length)),
            None => Ok(()),
        }
    }

    /// Freezes a journal. Says whether it was not frozen before; doing the same again changes
    /// nothing, and nobody freezes over another's reason.
    pub fn freeze(&mut self, order: OrderId, frozen: Frozen) -> Result<bool, Refusal> {
        let head = self.heads.get_mut(&order).ok_or(Refusal::Unknown)?;
        match &head.frozen {
            None => {
                head.frozen = Some(frozen);
                self.changed.insert(order);
                Ok(true)
            }
            Some(known) if known.by == frozen.by && known.reason == frozen.reason => Ok(false),
            Some(Frozen { by, reason, at }) => {
                Err(Refusal::Frozen { by: by.clone(), reason: reason.clone(), at: *at })
            }
        }
    }

    /// What is known of an order's journal.
    pub fn head(&self, order: OrderId) -> Option<&Head> {
        self.heads.get(&order)
    }

    /// Journals that were frozen just now.
    pub fn changed(&self) -> impl Iterator<Item = (OrderId, &Frozen)> {
        let frozen = |order: &OrderId| Some((*order, self.heads.get(order)?.frozen.as_ref()?));
        self.changed.iter().filter_map(frozen)
    }
}
