//! Decisions on sales: a paid order is sold once, a cancelled one is not sold, and a cancellation
//! that comes first leaves a tombstone. Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    CustomerId, Money, OrderCancelled, OrderId, OrderLine, PaymentAccepted, SaleId, StoreId,
    Timestamp,
};

#[cfg(test)]
mod tests;

/// What was decided for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// Who bought.
    pub customer: CustomerId,
    /// Where.
    pub store: StoreId,
    /// Where it stands.
    pub state: State,
}

/// Where a sale stands. The only way from one to another is from confirmed to cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was sold.
    Confirmed(Sold),
    /// It was sold, and the sale was taken back at that time.
    Cancelled(Sold, Timestamp),
    /// The cancellation came first; nothing may be sold any more.
    Tombstone,
}

/// What was sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// The articles, at the prices of the order.
    pub lines: Vec<OrderLine>,
    /// What was paid for them.
    pub total: Money,
    /// When.
    pub at: Timestamp,
}

/// A payment for what no order can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lines of order {0} are none, or not sound, or do not come to what was paid")]
pub struct Invalid(pub OrderId);

/// The sales in hand.
#[derive(Debug, Default)]
pub struct Sales {
    sales: BTreeMap<OrderId, Sale>,
    decided: BTreeSet<OrderId>,
}

impl State {
    /// Its name in the database and in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Confirmed(_) => "confirmed",
            Self::Cancelled(..) => "cancelled",
            Self::Tombstone => "tombstone",
        }
    }

    /// What was sold, whether it was taken back or not.
    pub fn sold(&self) -> Option<&Sold> {
        match self {
            Self::Confirmed(sold) | Self::Cancelled(sold, _) => Some(sold),
            Self::Tombstone => None,
        }
    }

    /// When it was taken back.
    pub fn cancelled_at(&self) -> Option<Timestamp> {
        match self {
            Self::Cancelled(_, at) => Some(*at),
            Self::Confirmed(_) | Self::Tombstone => None,
        }
    }
}

impl Sales {
    /// Takes the rows that were read.
    pub fn new(sales: BTreeMap<OrderId, Sale>) -> Self {
        Self { sales, ..Self::default() }
    }

    /// What was decided for an order.
    pub fn of(&self, order: OrderId) -> Option<&Sale> {
        self.sales.get(&order)
    }

    /// Records the sale of a paid order; `None` when it was decided before.
    pub fn confirm(
        &mut self,
        paid: &PaymentAccepted,
        at: Timestamp,
    ) -> Result<Option<SaleId>, Invalid> {
        if self.sales.contains_key(&paid.order_id) {
            return Ok(None);
        }
        if !OrderLine::make_up(&paid.lines, paid.amount) {
            return Err(Invalid(paid.order_id));
        }
        let state = State::Confirmed(Sold { lines: paid.lines.clone(), total: paid.amount, at });
        self.decide(paid.order_id, paid.customer_id.clone(), paid.store_id.clone(), state);
        Ok(Some(SaleId::of(paid.order_id)))
    }

    /// Takes the sale of a cancelled order back and says what it amounted to; `None` when nothing
    /// was sold. An order that is not known yet will not be sold later either.
    pub fn cancel(&mut self, order: &OrderCancelled, at: Timestamp) -> Option<Money> {
        let id = order.order_id;
        let Some(Sale { customer, store, state }) = self.sales.get(&id).cloned() else {
            let (customer, store) = (order.customer_id.clone(), order.store_id.clone());
            self.decide(id, customer, store, State::Tombstone);
            return None;
        };
        let State::Confirmed(sold) = state else { return None };
        let total = sold.total;
        self.decide(id, customer, store, State::Cancelled(sold, at));
        Some(total)
    }

    /// Sales that changed.
    pub fn changed(&self) -> impl Iterator<Item = (OrderId, &Sale)> {
        self.decided.iter().filter_map(|order| Some((*order, self.sales.get(order)?)))
    }

    fn decide(&mut self, order: OrderId, customer: CustomerId, store: StoreId, state: State) {
        self.sales.insert(order, Sale { customer, store, state });
        self.decided.insert(order);
    }
}
