//! The goods of an order are held: it waits for its payment.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::StockReserved;

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<StockReserved> for Desk {
    fn keys(fact: &Envelope<StockReserved>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<StockReserved>, emit: &mut Emit) -> Result<(), Poison> {
        self.agrees(fact.event.order_id, fact.event.total).map_err(Poison::new)?;
        self.reserved(fact.event.order_id, emit.now()).map_err(Poison::new)
    }
}
