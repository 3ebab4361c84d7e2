//! The harness stands on itself here, and the platform's delivery contract on the harness.

mod ground;
mod otlp;
mod process;

mod check;
mod delivery;
mod fault;
#[path = "../law/mod.rs"]
mod law;
mod retail;
#[path = "../tally/mod.rs"]
mod tally;
