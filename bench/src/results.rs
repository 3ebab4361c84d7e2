//! Every round as it was, in a file for each comparison: what the page on performance is made of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::rounds::Rounds;
use crate::verdict::Verdict;

#[derive(Serialize)]
struct Results<'a> {
    machine: Machine,
    rounds: &'a Rounds,
    verdicts: &'a [Verdict],
}

/// Keeps a comparison.
pub(crate) fn keep(folder: &Path, name: &str, rounds: &Rounds, verdicts: &[Verdict]) -> Result<()> {
    let file = folder.join(format!("{name}.json"));
    let named = || file.display().to_string();
    fs::create_dir_all(folder).with_context(named)?;
    let results = Results { machine: Machine::this(), rounds, verdicts };
    fs::write(&file, serde_json::to_string_pretty(&results)? + "\n").with_context(named)
}
