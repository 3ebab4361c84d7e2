//! `bench`: each goal as a ratio of one run, beside the peer or the limit it is measured against. The
//! sides of a comparison take turns, because absolute times are those of the machine.

mod ahead;
mod chain;
mod goals;
mod hop;
mod machine;
mod meter;
mod order;
mod page;
mod peers;
mod plot;
mod results;
mod rounds;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use verdict::Verdict;

/// A goal was missed.
const MISSED: u8 = 10;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Each goal as a ratio of one run.
#[derive(Debug, Parser)]
struct Args {
    /// Fewer rounds of less work, and only the comparisons that are soon done, unless others are named.
    #[arg(long)]
    quick: bool,
    /// Only these goals, by the beginning of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A table, or one object for each goal.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    /// Where every round is kept.
    #[arg(long, default_value = "bench/results", value_name = "FOLDER")]
    results: PathBuf,
    /// Measures nothing, and writes the page of what was kept.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// How verdicts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// One JSON object on each line.
    Ndjson,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Rounds that count; one more comes before them.
    rounds: usize,
    /// What is done in a round is divided by this.
    less: u32,
}

impl Size {
    fn of(quick: bool) -> Self {
        match quick {
            true => Self { rounds: 3, less: 4 },
            false => Self { rounds: 7, less: 1 },
        }
    }
}

impl Args {
    fn size(&self) -> Size {
        Size::of(self.quick)
    }

    /// Whether somebody asked for one of these goals.
    fn wants(&self, goals: &[&str]) -> bool {
        let named = |goal: &&str| self.only.iter().any(|only| goal.starts_with(only.as_str()));
        self.only.is_empty() || goals.iter().any(named)
    }

    /// The same of goals that take their time.
    fn wants_slow(&self, goals: &[&str]) -> bool {
        self.wants(goals) && !(self.quick && self.only.is_empty())
    }
}

fn main() -> Result<ExitCode> {
    millrace::contract::prepare();
    millrace::small_pages();
    let args = Args::parse();
    if let Some(page) = &args.page {
        page::write(&args.results, page)?;
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(!cfg!(debug_assertions), "a debug build measures itself; use `make bench`");
    ahead::stand_back()?;
    let began = std::time::Instant::now();
    let measured = tokio::runtime::Runtime::new()?.block_on(async {
        tokio::select! {
            measured = goals::measure(&args) => measured,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    })?;
    let took = began.elapsed().as_secs();
    eprintln!("measured in {} min {} s", took / 60, took % 60);
    if args.output == Form::Table {
        println!("{}", verdict::table(&measured.verdicts));
    }
    anyhow::ensure!(measured.failed.is_empty(), "failed: {}", measured.failed.join(", "));
    let pass = measured.verdicts.iter().all(Verdict::passes);
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}
