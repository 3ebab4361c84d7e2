//! What the query side costs, as numbers: a replica of many orders in a process of its own, new, and
//! again from its checkpoint. One line for each number, beside its goal; exit code 10 when one is
//! missed. What is compared stands in one run, because absolute times are those of the machine.

mod measure;
mod states;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use harness::{Ground, GroundKind};
use serde::Serialize;

/// A goal was missed.
const MISSED: u8 = 10;

/// What the query side costs, as numbers.
#[derive(Debug, Parser)]
struct Args {
    /// How many orders there are.
    #[arg(long, default_value_t = 1_000_000)]
    orders: u32,
    /// How many reads are timed.
    #[arg(long, default_value_t = 200_000)]
    reads: u32,
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
    /// Measures the store of a replica that has ended.
    #[command(hide = true)]
    Store { file: std::path::PathBuf },
}

/// A number beside its goal.
#[derive(Debug, Serialize)]
struct Number {
    goal: &'static str,
    value: f64,
    /// At most.
    target: f64,
    pass: bool,
    detail: String,
}

impl Number {
    fn new(goal: &'static str, value: f64, target: f64, detail: String) -> Self {
        Self { goal, value, target, pass: value <= target, detail }
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
        Some(Part::Store { file }) => {
            let p99 = measure::store(file, args.orders, args.reads)?;
            println!("{}", serde_json::to_string(&p99)?);
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    let ground = Ground::builder().progress(|line| eprintln!("{line}")).start().await?;
    anyhow::ensure!(ground.kind() == GroundKind::Native, "these numbers need a real broker");
    let measured = tokio::select! {
        measured = states::measure(&ground, &args) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    ground.stop().await;
    let numbers = measured?;
    for number in &numbers {
        println!("{}", serde_json::to_string(number)?);
    }
    let pass = numbers.iter().all(|number| number.pass);
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}
