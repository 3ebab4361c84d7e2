//! The orders in hand and the facts that are folded into them. Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::OrderId;
use schemas::history::{Fact, Facts};

#[cfg(test)]
mod tests;

/// The orders in hand.
#[derive(Debug, Default)]
pub struct Orders {
    orders: BTreeMap<OrderId, (u64, Option<Facts>)>,
    changed: BTreeSet<OrderId>,
}

impl Orders {
    /// Takes the rows that were read, each with its revision.
    pub fn new(orders: BTreeMap<OrderId, (u64, Option<Facts>)>) -> Self {
        Self { orders, ..Self::default() }
    }

    /// The facts of an order.
    pub fn facts(&self, order: OrderId) -> Option<&Facts> {
        self.orders.get(&order)?.1.as_ref()
    }

    /// Adds a fact; one that is there already changes nothing.
    pub fn fold(&mut self, order: OrderId, fact: Fact) {
        let (_, facts) = self.orders.entry(order).or_default();
        let mut all = facts.take().map_or(vec![], Facts::into_vec);
        if all.iter().all(|known| known.id != fact.id) {
            all.push(fact);
            self.changed.insert(order);
        }
        *facts = Facts::new(all);
    }

    /// Takes away what one topic partition has told.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        let told = |fact: &Fact| fact.topic == topic && fact.partition == partition;
        for (order, (_, facts)) in &mut self.orders {
            if facts.as_ref().is_some_and(|facts| facts.iter().any(told)) {
                let all = facts.take().map_or(vec![], Facts::into_vec);
                *facts = Facts::new(all.into_iter().filter(|fact| !told(fact)).collect());
                self.changed.insert(*order);
            }
        }
    }

    /// Orders that changed, with the revision that was read; `None` when nothing is known of an
    /// order any more.
    pub fn changed(&self) -> impl Iterator<Item = (OrderId, u64, Option<&Facts>)> {
        let row = |order: &OrderId| self.orders.get(order).map(|row| (*order, row));
        self.changed
            .iter()
            .filter_map(row)
            .map(|(order, (revision, facts))| (order, *revision, facts.as_ref()))
    }
}
