//! A step of an order took too long by the database's clock: it ends.

use millrace::{Emit, Fault, Poison, Sweep, Tx};

use crate::domain::Desk;
use crate::store::{self, Keys};

impl Sweep for Desk {
    async fn due(tx: &mut Tx, limit: i64) -> Result<(Keys, usize), Fault> {
        let orders = store::due(tx, limit).await?;
        let found = orders.len();
        Ok((Keys { orders, ..Keys::default() }, found))
    }

    fn sweep(&mut self, emit: &mut Emit) -> Result<(), Poison> {
        for order in self.due(emit.now()) {
            if let Some(cancelled) = self.expire(order, emit.now()) {
                emit.fact(cancelled);
            }
        }
        Ok(())
    }
}
