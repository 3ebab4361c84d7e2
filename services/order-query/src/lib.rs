//! The query side of orders: it keeps its own copy of their states and answers from it, in any
//! number of processes and while everything else is away. It takes no commands and decides nothing.

mod copy;
mod http;

use millrace::Service;

pub use copy::Orders;

/// The service: all it reads and serves.
pub fn service() -> Service {
    Service::named("order-query")
        .about(
            "Answers where orders stand, from a copy of its own; lists, searches and tells news.",
        )
        .replica::<Orders>()
        .http(http::routes)
        .build()
}
