//! The articles a retailer sells, and for how much. It knows nothing of stock or orders, and
//! reacts to nobody.

pub mod domain;
pub mod http;
pub mod store;

use millrace::Service;
use schemas::{ProductListed, ProductRepriced, ProductState, ProductWithdrawn};
use sqlx::migrate::Migrator;

/// The tables of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service: all it emits and serves.
pub fn service() -> Service {
    Service::named("catalogue")
        .about("Keeps the articles that are sold and says what they cost.")
        .migrations(&MIGRATIONS)
        .http(http::routes)
        .emits::<ProductListed>()
        .emits::<ProductRepriced>()
        .emits::<ProductWithdrawn>()
        .emits::<ProductState>()
        .build()
}
