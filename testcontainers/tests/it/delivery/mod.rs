//! The delivery contract: every rule of the commit protocol as a property of running services.

mod away;
mod batch;
mod bench;
mod crash;
mod door;
mod once;
mod order;
mod poison;
mod start;
mod trace;
mod view;

use bench::{Bench, SOON};
