//! An order was placed: hold all its lines, or say which are short.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderPlaced, StockReserved, StockUnavailable};

use crate::domain::{Reserved, Shelf};
use crate::store::Keys;

impl Decide<OrderPlaced> for Shelf {
    fn keys(fact: &Envelope<OrderPlaced>, keys: &mut Keys) {
        let placed = &fact.event;
        keys.orders.insert(placed.order_id);
        keys.places
            .extend(placed.lines.iter().map(|line| (placed.store_id.clone(), line.sku.clone())));
    }

    fn decide(&mut self, fact: &Envelope<OrderPlaced>, emit: &mut Emit) -> Result<(), Poison> {
        let placed = &fact.event;
        match self.reserve(fact.id.uuid(), placed).map_err(Poison::new)? {
            Reserved::All => emit.fact(StockReserved {
                order_id: placed.order_id,
                customer_id: placed.customer_id.clone(),
                store_id: placed.store_id.clone(),
                lines: placed.lines.clone(),
                total: placed.total,
            }),
            Reserved::Short(missing) => emit.fact(StockUnavailable {
                order_id: placed.order_id,
                store_id: placed.store_id.clone(),
                missing,
            }),
            Reserved::Before => {}
        }
        Ok(())
    }
}
