//! The payment of an order is refused: it ends.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderRefused, PaymentRefused};

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<PaymentRefused> for Desk {
    fn keys(fact: &Envelope<PaymentRefused>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<PaymentRefused>, emit: &mut Emit) -> Result<(), Poison> {
        let order_id = fact.event.order_id;
        self.agrees(order_id, fact.event.amount).map_err(Poison::new)?;
        if let Some(order) = self.refused(order_id, emit.now()).map_err(Poison::new)? {
            emit.fact(OrderRefused {
                order_id,
                customer_id: order.customer.clone(),
                store_id: order.store.clone(),
                reason: fact.event.reason,
            });
        }
        Ok(())
    }
}
