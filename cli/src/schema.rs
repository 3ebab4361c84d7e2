//! `millrace schema`: the contracts, in the registry and as code.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ops::registry::{self, SchemaState};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;

/// Register the schemas, and generate code from them.
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Register every schema of this build, events as FULL_TRANSITIVE and states as
    /// BACKWARD_TRANSITIVE.
    #[command(before_help = "\
Examples:
  millrace schema register            what would be done
  millrace schema register --execute  do it")]
    Register {
        /// Do it, instead of only saying what would be done.
        #[arg(long)]
        execute: bool,
    },
    /// Generate the Rust types from the `.avsc` files and `topics.toml` of a folder.
    #[command(before_help = "\
Examples:
  millrace schema generate            write schemas/src/generated.rs
  millrace schema generate --check    is it up to date?
  millrace schema generate --release  also freeze what changed under released/")]
    Generate {
        /// The folder.
        #[arg(default_value = "schemas")]
        folder: PathBuf,
        /// Write nothing; exit with 10 when what is there is stale.
        #[arg(long, conflicts_with = "release")]
        check: bool,
        /// Also freeze every schema that changed since its last released version.
        #[arg(long)]
        release: bool,
    },
}

#[derive(Serialize)]
struct Written {
    path: PathBuf,
}

pub(crate) async fn run(
    schema: Schema,
    place: &dyn Fn() -> Result<Place, Failure>,
    output: Output,
) -> anyhow::Result<()> {
    match schema {
        Schema::Register { execute } => register(&place()?, execute, output).await,
        Schema::Generate { folder, check: true, .. } => check(&folder),
        Schema::Generate { folder, release, .. } => {
            let mut paths = vec![millrace_codegen::write(&folder)?];
            if release {
                paths.extend(millrace_codegen::release(&folder)?);
            }
            let written: Vec<Written> = paths.into_iter().map(|path| Written { path }).collect();
            Ok(output.list(&written)?)
        }
    }
}

async fn register(place: &Place, execute: bool, output: Output) -> anyhow::Result<()> {
    let client = place.registry();
    if execute {
        let states = registry::register(&client).await.map_err(Failure::from)?;
        return Ok(output.list(&states)?);
    }
    let states = registry::examine(&client).await.map_err(Failure::from)?;
    let step = |SchemaState { subject, compatibility, id }| match id {
        Some(id) => Step::new("keep", subject, format!("is registered as {id}, {compatibility}")),
        None => Step::new("register", subject, compatibility),
    };
    Ok(output.plan(&states.into_iter().map(step).collect::<Vec<_>>())?)
}

fn check(folder: &Path) -> anyhow::Result<()> {
    let fresh = millrace_codegen::generate(folder)?.rust;
    let path = folder.join("src/generated.rs");
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if there == fresh {
        return Ok(());
    }
    let text = format!("{} is stale: run `millrace schema generate`", path.display());
    Err(Failure::CheckFailed(text).into())
}

impl Row for SchemaState {
    const COLUMNS: &'static [&'static str] = &["SUBJECT", "COMPATIBILITY", "ID"];

    fn id(&self) -> String {
        self.subject.clone()
    }

    fn cells(&self) -> Vec<String> {
        let id = self.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        vec![self.subject.clone(), self.compatibility.to_owned(), id]
    }
}

impl Row for Written {
    const COLUMNS: &'static [&'static str] = &["WRITTEN"];

    fn id(&self) -> String {
        self.path.display().to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.id()]
    }
}
