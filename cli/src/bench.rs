//! `millrace bench`: the measurements, which are a program of their own beside this one.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::failure::Failure;

/// What is passed on.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  millrace bench --quick\n  millrace bench --only codec,hop -o ndjson"
)]
pub(crate) struct BenchArgs {
    /// Arguments of the measurements: `millrace bench -- --help` lists them.
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    args: Vec<String>,
}

/// Becomes the measurements, with their exit code.
///
/// # Errors
/// When they are not beside this program.
pub(crate) fn run(args: &BenchArgs, machine: bool) -> Result<ExitCode> {
    become_it(&std::env::current_exe()?.with_file_name("bench"), args, machine)
}

fn become_it(program: &Path, BenchArgs { args }: &BenchArgs, machine: bool) -> Result<ExitCode> {
    let form = machine.then_some(["-o", "ndjson"]);
    let error = Command::new(program).args(args).args(form.into_iter().flatten()).exec();
    let program = program.display();
    Err(Failure::NotFound(format!("{program}: {error}; `make bench` builds it")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_that_are_not_built_are_named_with_the_way_out() {
        let nothing = BenchArgs { args: vec![] };
        let error = become_it(Path::new("/nowhere/bench"), &nothing, true).unwrap_err();
        assert!(error.to_string().contains("/nowhere/bench: "), "{error}");
        assert!(error.to_string().ends_with("`make bench` builds it"), "{error}");
    }
}
