//! The fault kit on services of one's own: `cargo run -p harness --example faults -- 7` breaks the
//! three small services of the delivery contract by the plan that follows from seed 7, and judges
//! what is left. Every instance is this program again.

mod story;
#[path = "../../tests/tally/mod.rs"]
mod tally;

use std::process::ExitCode;

use millrace::Config;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let service = match args.next().as_deref() {
        Some("writer") => tally::writer,
        Some("tally") => tally::tally,
        Some("ledger") => tally::ledger,
        Some("clerk") => tally::clerk,
        seed => return tell(seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)),
    };
    millrace::main_with(service, Config::load(&[]))
}

fn tell(seed: u64) -> ExitCode {
    let told = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let program = std::env::current_exe()?;
        runtime.block_on(story::tell(&program, seed))
    });
    match told {
        Ok(verdict) => {
            print!("{verdict}");
            if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(10) }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
