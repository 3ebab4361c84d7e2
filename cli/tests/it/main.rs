//! The contract of the command line, on the real binary: exit codes, and what goes where. Nothing
//! here needs a running system.

mod arguments;
mod config;
mod import;
mod nobody;
mod run;
