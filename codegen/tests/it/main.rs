//! What the generator refuses, and that it says where and why; what it writes, compiled and run.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(unreachable_pub, reason = "generated code is written for the root of a library")]

#[rustfmt::skip]
#[path = "../shop/src/generated.rs"]
mod generated;
mod ids;
mod output;
mod refusals;
mod shop;

/// What generated code lists of each event.
pub struct EventInfo {
    name: &'static str,
}

impl EventInfo {
    const fn of<E: millrace_contract::Event>() -> Self {
        Self { name: E::NAME }
    }
}
