//! Customers' accounts, and what orders take from them or from a payment provider and give back. It
//! knows nothing of stock levels or prices, and never asks another service.

pub mod domain;
pub mod http;
mod on;
mod planted;
pub mod provider;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use millrace::Service;
use schemas::{OrderCancelled, PaymentAccepted, PaymentRefunded, PaymentRefused, StockReserved};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it reads, decides, emits and serves.
pub fn service() -> Service {
    Service::named("payments")
        .about("Keeps customers' accounts, charges them or a payment provider for orders, and refunds them.")
        .migrations(&MIGRATIONS)
        .settings::<settings::Settings>()
        .http(http::routes)
        .rows::<domain::Till>()
        .on::<StockReserved>()
        .on::<OrderCancelled>()
        .asks::<provider::ChargeAsk, provider::HttpProvider>()
        .asks::<provider::RefundAsk, provider::HttpProvider>()
        .emits::<PaymentAccepted>()
        .emits::<PaymentRefused>()
        .emits::<PaymentRefunded>()
        .build()
}
