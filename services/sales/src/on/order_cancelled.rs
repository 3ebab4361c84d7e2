//! An order was cancelled: take its sale back, and never record one for it again.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderCancelled, SaleCancelled, SaleId};

use crate::domain::Sales;
use crate::store::Keys;

impl Decide<OrderCancelled> for Sales {
    fn keys(fact: &Envelope<OrderCancelled>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<OrderCancelled>, emit: &mut Emit) -> Result<(), Poison> {
        let OrderCancelled { order_id, store_id, .. } = fact.event.clone();
        if let Some(total) = self.cancel(&fact.event, emit.now()) {
            emit.fact(SaleCancelled { order_id, sale_id: SaleId::of(order_id), store_id, total });
        }
        Ok(())
    }
}
