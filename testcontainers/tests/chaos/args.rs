//! What a chaos run is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines of columns.
    Table,
    /// One JSON object for each seed.
    Ndjson,
}

/// Faults by a seed against the retailer's services as processes, and the checker afterwards.
#[derive(Debug, Parser)]
#[command(name = "chaos", max_term_width = 100)]
pub(crate) struct Args {
    /// Seeds to run, one or a range with both ends: 7 or 1..20.
    #[arg(long, default_value = "1..3", value_parser = seeds)]
    seeds: (u64, u64),
    /// How long faults and orders go on for each seed.
    #[arg(long, default_value = "60s", value_parser = seconds, value_name = "TIME")]
    pub(crate) time: Duration,
    /// Orders that are placed for each seed.
    #[arg(long, default_value_t = 1000)]
    pub(crate) orders: usize,
    /// Instances of each service.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) instances: u8,
    /// Everything has to come to rest within this time after the last fault is healed.
    #[arg(long, default_value = "60s", value_parser = seconds, value_name = "TIME")]
    pub(crate) bound: Duration,
    /// Follows this plan in place of the one that follows from the seed.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Only faults whose text begins so: `process kill`, `network stock/1`. May be repeated.
    #[arg(long, value_name = "FAULT")]
    pub(crate) only: Vec<String>,
    /// Prints the plan of each seed and what became of its steps.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

impl Args {
    /// Every seed in its turn.
    pub(crate) fn seeds(&self) -> std::ops::RangeInclusive<u64> {
        self.seeds.0..=self.seeds.1
    }
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no seed"));
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to.trim_start_matches('='))?),
        None => (number(text)?, number(text)?),
    };
    if from <= to { Ok((from, to)) } else { Err(format!("`{text}` goes backwards")) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let whole = number.parse::<u64>().map_err(|_| format!("`{text}` is no time, like 60s"))?;
    if whole > 0 { Ok(Duration::from_secs(whole)) } else { Err("0s is no time".to_owned()) }
}
