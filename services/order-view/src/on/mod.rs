//! The side door: every fact about an order is folded in the same way, by its identity.

use millrace::{Envelope, Event, Fold};
use schemas::OrderId;
use schemas::history::{Fact, What};

use crate::domain::Orders;
use crate::store::Keys;

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
