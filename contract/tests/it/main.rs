//! What a fact is made of, tested from outside.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod codec;
mod identity;
mod money;
mod schema;
mod time;
mod view;
