//! The goods of an order are held: take what it costs, or say why not.

use millrace::{Decide, Emit, Envelope, Poison};
use schemas::{PaymentAccepted, PaymentRefused, StockReserved};

use crate::domain::{Charged, Till};
use crate::provider::ChargeAsk;
use crate::store::Keys;

impl Decide<StockReserved> for Till {
    fn keys(fact: &Envelope<StockReserved>, keys: &mut Keys) {
        keys.orders.insert(fact.event.order_id);
        keys.customers.insert(fact.event.customer_id.clone());
    }

    fn decide(&mut self, fact: &Envelope<StockReserved>, emit: &mut Emit) -> Result<(), Poison> {
        let StockReserved { order_id, customer_id, store_id, lines, total: amount } =
            fact.event.clone();
        let cause = fact.id.uuid();
        let charged = self.charge(cause, order_id, &customer_id, amount);
        match charged.map_err(Poison::new)? {
            Charged::Accepted => {
                emit.fact(PaymentAccepted { order_id, customer_id, store_id, lines, amount });
            }
            Charged::Asked => {
                emit.ask(ChargeAsk { cause, order_id, customer_id, store_id, lines, amount });
            }
            Charged::Refused(reason) => {
                emit.fact(PaymentRefused { order_id, customer_id, store_id, amount, reason });
            }
            Charged::Before => {}
        }
        Ok(())
    }
}
