//! The harness stands on itself here, and the platform's delivery contract on the harness.

mod ground;
mod otlp;
mod process;

mod delivery;
mod retail;
#[path = "../tally/mod.rs"]
mod tally;
