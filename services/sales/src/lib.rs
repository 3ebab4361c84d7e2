//! The sales of all stores: one for each paid order, cancelled when the order is. It takes no
//! money and moves no goods, and never asks another service.

pub mod domain;
pub mod http;
mod on;
mod planted;
pub mod store;
#[cfg(test)]
mod tests;

use millrace::Service;
use schemas::{OrderCancelled, PaymentAccepted, SaleCancelled, SaleConfirmed};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it reads, decides, emits and serves.
pub fn service() -> Service {
    Service::named("sales")
        .about("Records the sale of every paid order and cancels it with the order.")
        .migrations(&MIGRATIONS)
        .http(http::routes)
        .rows::<domain::Sales>()
        .on::<PaymentAccepted>()
        .on::<OrderCancelled>()
        .emits::<SaleConfirmed>()
        .emits::<SaleCancelled>()
        .build()
}
