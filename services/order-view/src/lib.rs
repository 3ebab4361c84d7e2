//! The read side of an order: everything that was said about it, and where it stands. It decides
//! nothing and announces nothing, so it can be folded again from the topics at any time.

pub mod domain;
pub mod http;
mod on;
pub mod store;

use millrace::Service;
use schemas::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefused, OrderRejected, PaymentAccepted,
    PaymentRefunded, PaymentRefused, SaleCancelled, SaleConfirmed, StockReleased, StockReserved,
    StockUnavailable,
};
use sqlx::migrate::Migrator;

pub use store::digest;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it reads and serves.
pub fn service() -> Service {
    Service::named("order-view")
        .about("Shows where every order stands and everything that was said about it.")
        .migrations(&MIGRATIONS)
        .http(http::routes)
        .rows::<domain::Orders>()
        .folds::<OrderPlaced>()
        .folds::<OrderConfirmed>()
        .folds::<OrderRejected>()
        .folds::<OrderRefused>()
        .folds::<OrderCancelled>()
        .folds::<StockReserved>()
        .folds::<StockUnavailable>()
        .folds::<StockReleased>()
        .folds::<PaymentAccepted>()
        .folds::<PaymentRefused>()
        .folds::<PaymentRefunded>()
        .folds::<SaleConfirmed>()
        .folds::<SaleCancelled>()
        .build_view()
}
