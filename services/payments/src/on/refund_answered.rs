//! The provider has given back what an order had paid.

use millrace::{Emit, Poison, Settle};
use schemas::PaymentRefunded;

use crate::domain::Till;
use crate::provider::{RefundAnswer, RefundAsk};
use crate::store::Keys;

impl Settle<RefundAsk> for Till {
    fn keys(ask: &RefundAsk, keys: &mut Keys) {
        keys.orders.insert(ask.order_id);
    }

    fn settle(
        &mut self,
        ask: &RefundAsk,
        answer: &RefundAnswer,
        emit: &mut Emit,
    ) -> Result<(), Poison> {
        let given = self.given_back(ask.cause, ask.order_id, answer.0).map_err(Poison::new)?;
        if given {
            let RefundAsk { order_id, customer_id, store_id, amount, .. } = ask.clone();
            emit.fact(PaymentRefunded { order_id, customer_id, store_id, amount });
        }
        Ok(())
    }
}
