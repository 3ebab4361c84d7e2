//! The delivery contract: every rule of the commit protocol as a property of running services.

mod ask;
mod away;
mod batch;
mod bench;
mod database;
mod door;
mod hostile;
mod native;
mod once;
mod order;
mod parking;
mod poison;
mod start;
mod trace;

use bench::{Bench, SOON, until_unready};
pub(crate) use order::gapless;
