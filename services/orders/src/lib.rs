//! Carts and orders: what a customer wants, and in which of its five ends every order arrives. It
//! never reserves, charges or sells: it only learns that others did.

pub mod domain;
pub mod http;
mod on;
mod planted;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use millrace::Service;
use schemas::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefused, OrderRejected, PaymentAccepted,
    PaymentRefunded, PaymentRefused, ProductState, SaleCancelled, SaleConfirmed, StockReleased,
    StockReserved, StockUnavailable,
};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it reads, decides, emits and serves.
pub fn service() -> Service {
    Service::named("orders")
        .about("Keeps carts, places orders and closes each of them in exactly one way.")
        .migrations(&MIGRATIONS)
        .settings::<settings::Settings>()
        .http(http::routes)
        .rows::<domain::Desk>()
        .on::<ProductState>()
        .on::<StockReserved>()
        .on::<StockUnavailable>()
        .on::<StockReleased>()
        .on::<PaymentAccepted>()
        .on::<PaymentRefused>()
        .on::<PaymentRefunded>()
        .on::<SaleConfirmed>()
        .on::<SaleCancelled>()
        .sweeps(Duration::from_millis(500))
        .emits::<OrderPlaced>()
        .emits::<OrderConfirmed>()
        .emits::<OrderRejected>()
        .emits::<OrderRefused>()
        .emits::<OrderCancelled>()
        .build()
}
