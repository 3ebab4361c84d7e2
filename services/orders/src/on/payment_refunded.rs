//! Payments has given back what an order paid.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::PaymentRefunded;

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<PaymentRefunded> for Desk {
    fn keys(fact: &Envelope<PaymentRefunded>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<PaymentRefunded>, _emit: &mut Emit) -> Result<(), Poison> {
        self.agrees(fact.event.order_id, fact.event.amount).map_err(Poison::new)?;
        self.undone(fact.event.order_id, |order| &mut order.payment).map_err(Poison::new)
    }
}
