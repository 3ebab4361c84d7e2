//! The checker is itself checked: a short run of the retailer with each planted defect, and whether
//! the checker names it. The first run has none and must be clean. Exit code 10 when a defect is
//! missed, or something is found where nothing is wrong.

#[path = "../law/mod.rs"]
mod law;
mod run;
mod shop;
mod trouble;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use harness::Ground;
use millrace::plant::Plant;
use serde_json::json;

/// A defect was missed, or a clean run was not.
const MISSED: u8 = 10;

/// Plants one defect after the other and asks the checker.
#[derive(Debug, Parser)]
#[command(name = "plants", max_term_width = 100)]
struct Args {
    /// Only this defect, and no clean run first. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = named)]
    plant: Vec<Plant>,
    /// The clean run, before the defects that are named.
    #[arg(long)]
    clean: bool,
    /// Says what can be planted, and plants nothing.
    #[arg(long)]
    list: bool,
    /// Prints the whole verdict of each run.
    #[arg(short, long)]
    verbose: bool,
    /// One JSON object for each run.
    #[arg(long)]
    ndjson: bool,
}

fn named(name: &str) -> Result<Plant, String> {
    Plant::named(name).ok_or_else(|| format!("there is no defect {name}; see --list"))
}

#[tokio::main]
async fn main() -> ExitCode {
    millrace::contract::prepare();
    millrace::log::init(false);
    let args = Args::parse();
    if args.list {
        for plant in Plant::ALL {
            println!("{:<24} {:<8} {}", plant.name(), plant.breaks().join(" "), plant.what());
        }
        return ExitCode::SUCCESS;
    }
    match plants(&args).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("{missed} runs were judged wrongly");
            ExitCode::from(MISSED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything that was asked for; how often the checker was wrong.
async fn plants(args: &Args) -> Result<usize> {
    let ground = Ground::shared().await?;
    let all = args.plant.is_empty() && !args.clean;
    let plants = if all { Plant::ALL } else { &args.plant };
    let clean = (all || args.clean).then_some(None);
    let wanted = clean.into_iter().chain(plants.iter().copied().map(Some));
    let mut wrong = 0;
    let mut last = tokio::spawn(async {});
    for plant in wanted {
        let run::Outcome { verdict, took, closing } = run::one(&ground, plant).await?;
        last.await?;
        last = closing;
        let broken = verdict.broken();
        let wants: &[&str] = plant.map_or(&[], Plant::breaks);
        let found = match plant {
            None => broken.is_empty(),
            Some(_) => wants.iter().any(|id| broken.contains(id)),
        };
        wrong += usize::from(!found);
        let name = plant.map_or("(none)", Plant::name);
        if args.ndjson {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let row = json!({ "plant": name, "wanted": wants, "found": found, "broken": broken,
                "ms": ms });
            println!("{row}");
        } else {
            let (told, took) = (if found { "found" } else { "MISSED" }, took.as_secs_f64());
            let (wants, broken) = (wants.join(" "), broken.join(" "));
            println!("{name:<24} {wants:<8} {told:<7} {took:>5.1} s  {broken}");
        }
        if args.verbose || (plant.is_none() && !found) {
            eprintln!("{verdict}");
        }
    }
    last.await?;
    Ok(wrong)
}
