//! The orders in hand, the facts that are folded into them, and what has been said of them.
//! Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::history::{Fact, Facts, What};
use schemas::{Event, OrderId, OrderState};
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The orders in hand.
#[derive(Debug, Default)]
pub struct Orders {
    orders: BTreeMap<OrderId, (u64, Option<Facts>)>,
    changed: BTreeSet<OrderId>,
    said: BTreeMap<OrderId, Said>,
    news: BTreeSet<OrderId>,
    without_reasons: bool,
}

/// What was last said of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A state.
    State {
        /// The facts it was folded from.
        facts: BTreeSet<Uuid>,
        /// Of the state itself: another fold of the same facts is news.
        digest: i64,
    },
    /// That the order is erased, which is the last word on it.
    Erased,
}

impl Orders {
    /// Takes the rows that were read, each with its revision, and what was said of them.
    pub fn new(
        orders: BTreeMap<OrderId, (u64, Option<Facts>)>,
        said: BTreeMap<OrderId, Said>,
    ) -> Self {
        Self { orders, said, ..Self::default() }
    }

    /// What customers say of a cancellation is not kept.
    pub fn without_reasons(self) -> Self {
        Self { without_reasons: true, ..self }
    }

    /// The facts of an order.
    pub fn facts(&self, order: OrderId) -> Option<&Facts> {
        self.orders.get(&order)?.1.as_ref()
    }

    /// Adds a fact; one that is there already changes nothing, and neither does one of an erased
    /// order.
    pub fn fold(&mut self, order: OrderId, mut fact: Fact) {
        if self.said.get(&order) == Some(&Said::Erased) {
            return;
        }
        let (_, facts) = self.orders.entry(order).or_default();
        let mut all = facts.take().map_or(vec![], Facts::into_vec);
        if all.iter().all(|known| known.id != fact.id) {
            if let What::OrderCancelled(cancelled) = &mut fact.what
                && self.without_reasons
            {
                cancelled.reason = None;
            }
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

    /// The states of the orders in hand that are news, and notes that they are said. While a view is
    /// folded again it knows less of an order than it has said: then there is nothing to say, so
    /// that what is read never goes back.
    pub fn news(&mut self) -> Vec<OrderState> {
        let mut news = vec![];
        for (order, (_, facts)) in &self.orders {
            let Some(facts) = facts else { continue };
            let (known, state) = (facts.iter().map(|fact| fact.id).collect(), facts.state(*order));
            let digest = digest(&state);
            let is_news = match self.said.get(order) {
                None => true,
                Some(Said::State { facts, digest: said }) => {
                    facts.is_subset(&known) && *said != digest
                }
                Some(Said::Erased) => false,
            };
            if is_news {
                self.said.insert(*order, Said::State { facts: known, digest });
                self.news.insert(*order);
                news.push(state);
            }
        }
        news
    }

    /// Forgets an order for good; `false` when it was erased before.
    pub fn erase(&mut self, order: OrderId) -> bool {
        if self.said.insert(order, Said::Erased) == Some(Said::Erased) {
            return false;
        }
        self.orders.entry(order).or_default().1 = None;
        self.changed.insert(order);
        self.news.insert(order);
        true
    }

    /// What was said of orders that is not yet written down.
    pub fn newly_said(&self) -> impl Iterator<Item = (OrderId, &Said)> {
        self.news.iter().filter_map(|order| Some((*order, self.said.get(order)?)))
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

/// A fingerprint of a state, the same in every build.
fn digest(state: &OrderState) -> i64 {
    let digest = Sha256::digest(state.to_datum());
    i64::from_be_bytes(std::array::from_fn(|at| digest[at]))
}
