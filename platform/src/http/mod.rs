//! The front door: handlers' arguments, problem+json for every error, limits on everything that
//! comes from outside. It knows no service and stores nothing.

mod extract;
mod middleware;
mod openapi;
mod problem;
mod routes;
mod serve;

pub use extract::{Caller, IdempotencyKey, Json, Path, Query};
pub(crate) use openapi::openapi;
pub use problem::Problem;
pub(crate) use routes::router;
pub(crate) use serve::serve;
