//! The journal service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace::main(journal::service)
}
