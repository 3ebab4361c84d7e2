//! Stock levels of every store, and their reservation for orders: all lines or none. It knows
//! nothing of prices or customers, and never asks another service.
//!
//! What a confirmed order holds stays reserved until it is shipped.

pub mod domain;
pub mod http;
mod on;
mod planted;
pub mod store;
#[cfg(test)]
mod tests;

use millrace::Service;
use schemas::{
    OrderCancelled, OrderPlaced, PaymentRefused, StockReleased, StockReserved, StockUnavailable,
};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it reads, decides, emits and serves.
pub fn service() -> Service {
    Service::named("stock")
        .about("Keeps the stock levels of every store and reserves them for orders.")
        .migrations(&MIGRATIONS)
        .http(http::routes)
        .rows::<domain::Shelf>()
        .on::<OrderPlaced>()
        .on::<OrderCancelled>()
        .on::<PaymentRefused>()
        .emits::<StockReserved>()
        .emits::<StockUnavailable>()
        .emits::<StockReleased>()
        .build()
}
