//! A payment was refused: give back what the order holds.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{PaymentRefused, StockReleased};

use crate::domain::Shelf;
use crate::store::Keys;

impl Decide<PaymentRefused> for Shelf {
    fn keys(fact: &Envelope<PaymentRefused>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<PaymentRefused>, emit: &mut Emit) -> Result<(), Poison> {
        let order_id = fact.event.order_id;
        let released = self.release(fact.id.uuid(), order_id, &fact.event.store_id);
        if let Some((store_id, lines)) = released {
            emit.fact(StockReleased { order_id, store_id, lines });
        }
        Ok(())
    }
}
