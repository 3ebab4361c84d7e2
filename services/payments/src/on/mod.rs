//! The side door: what payments does when it learns of a fact.

mod order_cancelled;
mod stock_reserved;
