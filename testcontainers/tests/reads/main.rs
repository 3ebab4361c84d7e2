//! What reading and replaying cost, as numbers: a replica of many orders in a process of its own, new,
//! and again from its checkpoint; a view made anew beside its live rows. One line for each number, beside its goal; exit code 10 when one is
//! missed. What is compared stands in one run, because absolute times are those of the machine.

mod facts;
mod journal;
mod measure;
mod rebuild;
mod states;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use harness::{Ground, GroundKind};
use serde::Serialize;

/// A goal was missed.
const MISSED: u8 = 10;

/// What reading and replaying cost, as numbers.
#[derive(Debug, Parser)]
struct Args {
    /// How many orders there are.
    #[arg(long, default_value_t = 1_000_000)]
    orders: u32,
    /// How many reads are timed.
    #[arg(long, default_value_t = 200_000)]
    reads: u32,
    /// How many facts a view is made of.
    #[arg(long, default_value_t = 1_000_000)]
    facts: u32,
    /// Only this: `replica`, `rebuild` or `journal`.
    #[arg(long)]
    only: Option<String>,
    /// The form of the answer; there is one.
    #[arg(short, long, default_value = "ndjson", value_parser = ["ndjson"])]
    output: String,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What a process of its own does.
#[derive(Debug, Subcommand)]
enum Part {
    /// Mounts a replica as a file says, and measures it.
    #[command(hide = true)]
    Replica { config: std::path::PathBuf },
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
    fn new(goal: &'static str, value: f64, target: f64, detail: String) -> Self {
        Self { goal, value, bound: "at most", target, pass: value <= target, detail }
    }

    fn at_least(goal: &'static str, value: f64, target: f64, detail: String) -> Self {
        Self { goal, value, bound: "at least", target, pass: value >= target, detail }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    millrace::contract::prepare();
    let args = Args::parse();
    match &args.part {
        Some(Part::Replica { config }) => {
            let measured = measure::replica(config, args.orders, args.reads).await?;
            println!("{}", serde_json::to_string(&measured)?);
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    let ground = Ground::builder().progress(|line| eprintln!("{line}")).start().await?;
    anyhow::ensure!(ground.kind() == GroundKind::Native, "these numbers need a real broker");
    let measured = tokio::select! {
        measured = measure_all(&ground, &args) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    ground.stop().await;
    let numbers = measured?;
    let pass = numbers.iter().all(|number| number.pass);
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

async fn measure_all(ground: &Ground, args: &Args) -> Result<Vec<Number>> {
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut numbers = vec![];
    if wanted("replica") {
        numbers.extend(told(states::measure(ground, args).await?)?);
    }
    if wanted("rebuild") {
        numbers.extend(told(rebuild::measure(ground, args).await?)?);
    }
    if wanted("journal") {
        numbers.extend(told(journal::measure(ground).await?)?);
    }
    Ok(numbers)
}

fn told(numbers: Vec<Number>) -> Result<Vec<Number>> {
    for number in &numbers {
        println!("{}", serde_json::to_string(number)?);
    }
    Ok(numbers)
}
