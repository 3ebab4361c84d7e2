//! Sales has taken back the sale of an order.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::SaleCancelled;

use crate::domain::Desk;
use crate::store::Keys;

impl Decide<SaleCancelled> for Desk {
    fn keys(fact: &Envelope<SaleCancelled>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<SaleCancelled>, _emit: &mut Emit) -> Result<(), Poison> {
        self.agrees(fact.event.order_id, fact.event.total).map_err(Poison::new)?;
        self.undone(fact.event.order_id, |order| &mut order.sale).map_err(Poison::new)
    }
}
