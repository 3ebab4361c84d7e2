//! The provider has answered a charge: tell what became of the payment. An order that was cancelled
//! meanwhile gets back what was taken.

use millrace::{Emit, Poison, Settle};
use schemas::{PaymentAccepted, PaymentRefused};

use crate::domain::{Answered, Till};
use crate::provider::{ChargeAnswer, ChargeAsk, RefundAsk};
use crate::store::Keys;

impl Settle<ChargeAsk> for Till {
    fn keys(ask: &ChargeAsk, keys: &mut Keys) {
        keys.orders.insert(ask.order_id);
    }

    fn settle(
        &mut self,
        ask: &ChargeAsk,
        answer: &ChargeAnswer,
        emit: &mut Emit,
    ) -> Result<(), Poison> {
        let ChargeAsk { cause, order_id, customer_id, store_id, lines, amount } = ask.clone();
        let taken = match answer {
            ChargeAnswer::Accepted(taken) => Some(*taken),
            ChargeAnswer::Refused(_) => None,
        };
        let answered = self.answered(cause, order_id, taken).map_err(Poison::new)?;
        match (answered, answer) {
            (Answered::Before, _) => {}
            (Answered::Refused, ChargeAnswer::Refused(reason)) => {
                let reason = *reason;
                emit.fact(PaymentRefused { order_id, customer_id, store_id, amount, reason });
            }
            (outcome, _) => {
                if outcome == Answered::TooLate {
                    let (customer_id, store_id) = (customer_id.clone(), store_id.clone());
                    emit.ask(RefundAsk { cause, order_id, customer_id, store_id, amount });
                }
                emit.fact(PaymentAccepted { order_id, customer_id, store_id, lines, amount });
            }
        }
        Ok(())
    }
}
