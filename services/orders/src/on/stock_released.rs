//! Stock has given back what an order held.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::StockReleased;

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<StockReleased> for Desk {
    fn keys(fact: &Envelope<StockReleased>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<StockReleased>, _emit: &mut Emit) -> Result<(), Poison> {
        self.undone(fact.event.order_id, |order| &mut order.stock).map_err(Poison::new)
    }
}
