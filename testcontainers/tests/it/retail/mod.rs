//! The retailer's stories end to end (S1-54 to S1-58), and what its front doors refuse.

mod checked;
mod door;
mod journal;
mod load;
mod partner;
mod plans;
mod query;
mod repair;
mod shop;
mod stale;
mod stories;

use shop::Shop;
