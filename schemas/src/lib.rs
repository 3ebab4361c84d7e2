//! What the retailer says: its facts, the topics that carry them, its typed identifiers, and the
//! flow of an order as data. Never decides anything: limits and rules belong to the services.
#![warn(missing_docs)]

pub mod flow;
#[rustfmt::skip]
mod generated;
pub mod history;
mod ids;
mod lines;

use millrace_contract::Topic;

pub use generated::*;
pub use ids::{CustomerId, ID_CHARS_MAX, OrderId, SaleId, Sku, StoreId};
pub use millrace_contract::{Currency, Event, IdError, Money, MoneyError, Timestamp};

/// One kind of fact as the registry and the operator's tools see it.
#[derive(Debug, Clone, Copy)]
pub struct EventInfo {
    /// Avro full name: `retail.order.OrderPlaced`.
    pub name: &'static str,
    /// The topic that carries it; its owner is the only emitter.
    pub topic: &'static Topic,
    /// The Avro schema as JSON text that needs no other schema.
    pub schema: &'static str,
}

impl EventInfo {
    const fn of<E: Event>() -> Self {
        Self { name: E::NAME, topic: E::TOPIC, schema: E::SCHEMA }
    }

    /// Registry subject: `<topic>-<name>`.
    pub fn subject(&self) -> String {
        format!("{}-{}", self.topic.name, self.name)
    }
}
