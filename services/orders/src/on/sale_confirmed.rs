//! The sale of an order is recorded: it ends well.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderConfirmed, SaleConfirmed};

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<SaleConfirmed> for Desk {
    fn keys(fact: &Envelope<SaleConfirmed>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<SaleConfirmed>, emit: &mut Emit) -> Result<(), Poison> {
        let order_id = fact.event.order_id;
        self.agrees(order_id, fact.event.total).map_err(Poison::new)?;
        if let Some(order) = self.sold_as(order_id, emit.now()).map_err(Poison::new)? {
            emit.fact(OrderConfirmed {
                order_id,
                customer_id: order.customer.clone(),
                store_id: order.store.clone(),
                sale_id: fact.event.sale_id,
                total: order.total,
            });
        }
        Ok(())
    }
}
