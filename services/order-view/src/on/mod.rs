//! The side door: every fact about an order is folded in the same way, by its identity, and what
//! the facts amount to is said to whoever reads the state of orders.

use millrace::{Announce, Emit, Envelope, Event, Fault, Fold, Tx};
use schemas::history::{Fact, What};
use schemas::{OrderId, OrderState};

use crate::domain::Orders;
use crate::store::{self, Keys};

impl<E> Fold<E> for Orders
where
    E: Event<Key = OrderId>,
    What: From<E>,
{
    fn keys(fact: &Envelope<E>, keys: &mut Keys) {
        keys.orders.insert(fact.key);
    }

    fn fold(&mut self, fact: &Envelope<E>) {
        let what = What::from(fact.event.clone());
        let fact_as_kept = Fact {
            id: fact.id.uuid(),
            topic: fact.position.topic.to_owned(),
            partition: fact.position.partition,
            offset: fact.position.offset,
            producer: fact.producer.clone(),
            version: fact.version,
            occurred_at: fact.occurred_at,
            what,
        };
        self.fold(fact.key, fact_as_kept);
    }
}

impl Announce for Orders {
    fn announce(&mut self, emit: &mut Emit) {
        self.news().into_iter().for_each(|state| emit.fact(state));
    }

    async fn behind(tx: &mut Tx, after: &str, limit: i64) -> Result<Option<(Keys, String)>, Fault> {
        store::behind(tx, after, limit).await
    }
}

/// Forgets an order for good: its row goes, facts of it that are read again are not folded, and its
/// state is taken back. `false` when it was erased before.
pub(crate) fn erase(orders: &mut Orders, order: OrderId, emit: &mut Emit) -> bool {
    let erased = orders.erase(order);
    if erased {
        emit.erase::<OrderState>(&order);
    }
    erased
}
