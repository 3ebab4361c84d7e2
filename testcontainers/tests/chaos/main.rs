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
use tokio_util::sync::CancellationToken;

use args::Args;
use report::Table;

/// A check found something wrong.
const VIOLATED: u8 = 10;
/// Ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    millrace::contract::prepare();
    millrace::log::init(false);
    let stop = CancellationToken::new();
    let told = stop.clone();
    let ears = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    let done = chaos(&Args::parse(), &stop).await;
    ears.abort();
    match done {
        _ if stop.is_cancelled() => ExitCode::from(INTERRUPTED),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(VIOLATED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every seed; whether nothing is wrong.
async fn chaos(args: &Args, stop: &CancellationToken) -> Result<bool> {
    let program = tokio::select! {
        built = shop::build() => built?,
        () = stop.cancelled() => return Ok(false),
    };
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
        match run::seed(&ground, &program, seed, args, stop).await {
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
