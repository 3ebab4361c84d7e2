//! The contract of the command line, on the real binary: exit codes, and what goes where. Nothing
//! here needs a running system, but for the demo and the shop, which start their own.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod arguments;
mod config;
mod demo;
mod import;
mod load;
mod nobody;
mod operate;
mod run;
mod shop;
