//! The read side of an order: everything that was said about it, and where it stands. It decides
//! nothing, so it can be folded again from the topics at any time; what the facts amount to it says
//! to a compacted topic, and never less than it has said.

pub mod domain;
pub mod http;
mod on;
pub mod settings;
pub mod store;

use millrace::{Caller, Door, Problem, Service};
use schemas::{
    OrderCancelled, OrderConfirmed, OrderId, OrderPlaced, OrderRefused, OrderRejected, OrderState,
    PaymentAccepted, PaymentRefunded, PaymentRefused, SaleCancelled, SaleConfirmed, StockReleased,
    StockReserved, StockUnavailable,
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
        .settings::<settings::Settings>()
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
        .emits::<OrderState>()
        .announces()
        .fold_code(env!("FOLD_CODE"))
        .build_view()
}

/// Erases an order from the view and from every copy of its state, for good. It has no route: the
/// front door does not know who may ask for this. `false` when it was erased before.
pub async fn erase(door: &Door, order: OrderId) -> Result<bool, Problem> {
    let keys = store::Keys { orders: [order].into() };
    let erase = |orders: &mut domain::Orders, emit: &mut _| Ok(on::erase(orders, order, emit));
    door.command::<domain::Orders, _>(&Caller::inside(), keys, erase).await
}
