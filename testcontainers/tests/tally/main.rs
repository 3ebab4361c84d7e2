//! The services of the delivery contract as a process, for tests that kill it: the service is
//! named by the only argument.

use std::process::ExitCode;

use millrace::Config;

#[path = "mod.rs"]
mod services;

fn main() -> ExitCode {
    let service = match std::env::args().nth(1).as_deref() {
        Some("writer") => services::writer,
        Some("tally") => services::tally,
        Some("ledger") => services::ledger,
        Some("clerk") => services::clerk,
        other => {
            eprintln!("error: {other:?} is none of writer, tally, ledger, clerk");
            return ExitCode::from(2);
        }
    };
    millrace::main_with(service, Config::load(&[]))
}
