//! An order was cancelled: give back what it paid, and never take anything for it again.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{OrderCancelled, PaymentRefunded};

use crate::domain::{Till, Undone};
use crate::provider::{ChargeAsk, RefundAsk, charge_key};
use crate::store::Keys;

impl Decide<OrderCancelled> for Till {
    fn keys(fact: &Envelope<OrderCancelled>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
    }

    fn decide(&mut self, fact: &Envelope<OrderCancelled>, emit: &mut Emit) -> Result<(), Poison> {
        let cancelled = &fact.event;
        let order_id = cancelled.order_id;
        let store_id = cancelled.store_id.clone();
        let cause = fact.id.uuid();
        let undone = self.refund(cause, order_id, &cancelled.customer_id);
        match undone.map_err(Poison::new)? {
            Undone::Nothing => {}
            Undone::Withdrawn => emit.withdraw::<ChargeAsk>(charge_key(order_id)),
            Undone::Refunded(customer_id, amount) => {
                emit.fact(PaymentRefunded { order_id, customer_id, store_id, amount });
            }
            Undone::Asked(customer_id, amount) => {
                emit.ask(RefundAsk { cause, order_id, customer_id, store_id, amount });
            }
        }
        Ok(())
    }
}
