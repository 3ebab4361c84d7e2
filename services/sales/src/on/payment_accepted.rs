//! An order is paid: record its sale.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{PaymentAccepted, SaleConfirmed};

use crate::domain::Sales;
use crate::store::Keys;

impl Decide<PaymentAccepted> for Sales {
    fn keys(fact: &Envelope<PaymentAccepted>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<PaymentAccepted>, emit: &mut Emit) -> Result<(), Poison> {
        let paid = &fact.event;
        if let Some(sale_id) = self.confirm(paid, emit.now()).map_err(Poison::new)? {
            emit.fact(SaleConfirmed {
                order_id: paid.order_id,
                sale_id,
                customer_id: paid.customer_id.clone(),
                store_id: paid.store_id.clone(),
                total: paid.amount,
            });
        }
        Ok(())
    }
}
