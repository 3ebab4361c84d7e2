//! The services of the delivery contract as a process, for tests that kill it: the service is
//! named by the first argument.

use std::process::ExitCode;

#[path = "mod.rs"]
mod services;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("writer") => millrace::main(services::writer),
        Some("tally") => millrace::main(services::tally),
        Some("ledger") => millrace::main(services::ledger),
        other => {
            eprintln!("error: {other:?} is none of writer, tally, ledger");
            ExitCode::from(2)
        }
    }
}
