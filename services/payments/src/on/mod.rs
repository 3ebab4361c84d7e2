//! The side door: what payments does when it learns of a fact.

mod charge_answered;
mod order_cancelled;
mod refund_answered;
mod stock_reserved;
