//! The side door: what orders does when it learns of a fact, or when a deadline passes.

mod deadline;
mod payment_accepted;
mod payment_refunded;
mod payment_refused;
mod product_state;
mod sale_cancelled;
mod sale_confirmed;
mod stock_released;
mod stock_reserved;
mod stock_unavailable;
