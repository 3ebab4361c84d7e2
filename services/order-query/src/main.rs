//! The order-query service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace::main(order_query::service)
}
