//! The store has too little for an order: it ends.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderRejected, StockUnavailable};

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<StockUnavailable> for Desk {
    fn keys(fact: &Envelope<StockUnavailable>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<StockUnavailable>, emit: &mut Emit) -> Result<(), Poison> {
        let order_id = fact.event.order_id;
        if let Some(order) = self.unavailable(order_id, emit.now()).map_err(Poison::new)? {
            emit.fact(OrderRejected {
                order_id,
                customer_id: order.customer.clone(),
                store_id: order.store.clone(),
                missing: fact.event.missing.clone(),
            });
        }
        Ok(())
    }
}
