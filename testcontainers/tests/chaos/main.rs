//! Chaos: the retailer as real processes on a ground of its own, customers who order, faults by a
//! plan that follows from a seed, and the checker over everything when it has come to rest. Exit
//! code 10 when something does not hold. It leaves no process and, unless something is wrong, no
//! file.

mod args;
mod client;
mod crowd;
#[path = "../law/mod.rs"]
mod law;
mod report;
mod rest;
mod run;
mod shop;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use harness::{Ground, GroundKind};
use millrace::Config;
use tokio_util::sync::CancellationToken;

use args::Args;
use report::Table;

/// A check found something wrong.
const VIOLATED: u8 = 10;
/// Ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Every instance is this program again.
    if let [first, name] = &words[..]
        && first == "service"
        && let Some(service) = shop::service(name)
    {
        return millrace::main_with(service, Config::load(&[]));
    }
    millrace::contract::prepare();
    millrace::log::init(false);
    let args = Args::parse();
    let done = tokio::runtime::Runtime::new().map_err(anyhow::Error::from);
    match done.and_then(|runtime| runtime.block_on(until_told(&args))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until all is done, or until Ctrl-C.
async fn until_told(args: &Args) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let ears = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    let done = chaos(args, &stop).await;
    ears.abort();
    if stop.is_cancelled() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
}

/// Runs every seed; whether nothing is wrong.
async fn chaos(args: &Args, stop: &CancellationToken) -> Result<bool> {
    let ground = Ground::builder()
        .kind(GroundKind::Native)
        .proxied_clients(shop::clients(args))
        .progress(|line| eprintln!("{line}"));
    let ground = tokio::select! {
        started = ground.start() => started?,
        () = stop.cancelled() => return Ok(false),
    };
    let mut table = Table::new(args.output);
    let mut done = Ok(());
    for seed in args.seeds() {
        match run::seed(&ground, seed, args, stop).await {
            Ok(outcome) => table.row(&outcome),
            Err(error) => done = Err(error.context(format!("seed {seed}"))),
        }
        if done.is_err() || stop.is_cancelled() {
            break;
        }
    }
    ground.stop().await;
    done?;
    Ok(table.finish())
}
