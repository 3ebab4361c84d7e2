//! The side door: what stock does when it learns of a fact.

mod order_cancelled;
mod order_placed;
mod payment_refused;
