//! The side door: what sales does when it learns of a fact.

mod order_cancelled;
mod payment_accepted;
