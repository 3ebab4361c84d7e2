//! What breakage costs, as numbers: a thousand bad records in a row, and a broker that is away while
//! commands go on. One line for each number, beside its goal; exit code 10 when one is missed. The
//! parts of a comparison stand in one run, because absolute times are those of the machine.

mod away;
mod load;
mod poison;
#[expect(dead_code, reason = "the numbers need only two of the test services")]
#[path = "../tally/mod.rs"]
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use harness::{Ground, GroundKind};
use serde::Serialize;

/// A goal was missed.
const MISSED: u8 = 10;

/// What breakage costs, as numbers.
#[derive(Debug, Parser)]
struct Args {
    /// How long the broker is away, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    down: u64,
    /// Commands for each second while it is away.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Only this number: `poison` or `away`.
    #[arg(long)]
    only: Option<String>,
}

/// A number beside its goal.
#[derive(Debug, Serialize)]
struct Number {
    goal: &'static str,
    value: f64,
    /// At most, or at least.
    bound: &'static str,
    target: f64,
    pass: bool,
    detail: String,
}

impl Number {
    fn at_most(goal: &'static str, value: f64, target: f64, detail: String) -> Self {
        Self { goal, value, bound: "at most", target, pass: value <= target, detail }
    }

    fn at_least(goal: &'static str, value: f64, target: f64, detail: String) -> Self {
        Self { goal, value, bound: "at least", target, pass: value >= target, detail }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    millrace::log::init(false);
    let args = Args::parse();
    let ground = Ground::builder().progress(|line| eprintln!("{line}")).start().await?;
    anyhow::ensure!(ground.kind() == GroundKind::Native, "these numbers need a real broker");
    let measured = tokio::select! {
        measured = measure(&ground, &args) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    ground.stop().await;
    let numbers = measured?;
    let pass = numbers.iter().all(|number| number.pass);
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

async fn measure(ground: &Ground, args: &Args) -> Result<Vec<Number>> {
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut numbers = vec![];
    if wanted("poison") {
        numbers.extend(told(poison::measure(ground).await?)?);
    }
    if wanted("away") {
        let down = Duration::from_secs(args.down);
        numbers.extend(told(away::measure(ground, down, args.rate).await?)?);
    }
    Ok(numbers)
}

fn told(numbers: Vec<Number>) -> Result<Vec<Number>> {
    for number in &numbers {
        println!("{}", serde_json::to_string(number)?);
    }
    Ok(numbers)
}
