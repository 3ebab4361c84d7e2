//! An order is paid: it waits for its sale.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::PaymentAccepted;

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<PaymentAccepted> for Desk {
    fn keys(fact: &Envelope<PaymentAccepted>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<PaymentAccepted>, emit: &mut Emit) -> Result<(), Poison> {
        self.agrees(fact.event.order_id, fact.event.amount).map_err(Poison::new)?;
        self.paid(fact.event.order_id, emit.now()).map_err(Poison::new)
    }
}
