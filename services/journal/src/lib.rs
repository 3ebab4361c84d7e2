//! The memory of every order: all that was said about it, byte for byte, in a chain that shows when
//! a link was changed. It decides nothing about an order, forgets nothing and corrects nothing; what
//! producers outside have to say comes in through its door.

pub mod decode;
pub mod domain;
pub mod histories;
pub mod http;
mod on;
pub mod store;
pub mod verify;

use millrace::contract::Cleanup;
use millrace::{Service, Topic};
use schemas::{EVENTS, OutsideNoted};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it keeps, emits and serves.
pub fn service() -> Service {
    Service::named("journal")
        .about(
            "Keeps every fact of every order for ever, and shows an order as it was at any time.",
        )
        .migrations(&MIGRATIONS)
        .http(http::routes)
        .keeps::<on::Pages>(facts())
        .emits::<OutsideNoted>()
        .build()
}

/// Every fact of an order that this build knows. What an order amounts to is no fact.
fn facts() -> impl Iterator<Item = (&'static str, &'static Topic)> {
    let is_said = |topic: &Topic| topic.key == "orderId" && topic.cleanup != Cleanup::Compact;
    let of_orders = EVENTS.iter().filter(move |event| is_said(event.topic));
    of_orders.map(|event| (event.name, event.topic))
}
