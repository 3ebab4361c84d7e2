//! `millrace journal`: what was said about orders, whether it is still what was said, and what would
//! have been. It changes nothing.

mod export;
mod replay;
mod verify;

use clap::Subcommand;
use journal::histories::ReadError;
use journal::verify::VerifyError;
use ops::{Journal, Recorded};
use schemas::{OrderId, Timestamp};

use crate::failure::Failure;
use crate::output::{Format, Output, Row};
use crate::place::Place;

/// The service whose tables are read.
const SERVICE: &str = "journal";

/// Read and verify what was said about orders.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show everything that was said about an order, now or as it was.
    #[command(disable_version_flag = true)]
    #[command(before_help = "\
Examples:
  millrace journal show ID
  millrace journal show ID --at 2026-11-20T10:00:00Z
  millrace journal show ID --version 3 -o json")]
    Show {
        /// Which order.
        id: OrderId,
        /// As it was at this time, by what had happened then.
        #[arg(long, value_name = "TIME", conflicts_with = "entries")]
        at: Option<Timestamp>,
        /// As it was after so many entries.
        #[arg(long = "version", id = "entries", value_name = "N")]
        version: Option<u64>,
    },
    /// Compute every chain again, and name the first link of each order that is broken.
    #[command(before_help = "\
Examples:
  millrace journal verify
  millrace journal verify --order ID
  millrace journal verify --anchor heads.ndjson   compare with the file, then write it anew")]
    Verify(verify::Verify),
    /// Write the journal to a file for analysis.
    #[command(before_help = "\
Examples:
  millrace journal export --format csv --out journal.csv
  millrace journal export --format parquet --since 2026-11-01T00:00:00Z --out november.parquet
  millrace journal export --format ndjson --type OrderPlaced --store s-01 --out placed.ndjson")]
    Export(export::Export),
    /// List orders that would have ended otherwise under other rules.
    #[command(before_help = "\
Examples:
  millrace journal replay --deadline 10s
  millrace journal replay --payment-limit 500.00 --currency CAD
  millrace journal replay --with ./millrace-next")]
    Replay(replay::Replay),
    /// Say for each history on standard input how its order ends; `replay --with` asks another build.
    #[command(hide = true)]
    Judge(replay::RulesArgs),
}

pub(crate) async fn run(
    command: JournalCommand,
    place: &dyn Fn() -> Result<Place, Failure>,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        JournalCommand::Show { id, at, version } => {
            let journal = place()?.retailer().journal(id, at, version).await;
            show(&journal.map_err(Failure::from)?, output)
        }
        JournalCommand::Verify(verify) => verify::run(verify, &place()?, output).await,
        JournalCommand::Export(export) => export::run(export, &place()?).await,
        JournalCommand::Replay(replay) => replay::run(replay, &place()?, output).await,
        JournalCommand::Judge(rules) => replay::judge(&rules),
    }
}

fn show(journal: &Journal, output: Output) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        return Ok(output.item(journal)?);
    }
    output.list(&journal.entries)?;
    if output.for_people() {
        let status = journal.state.as_ref().and_then(|state| state["status"].as_str());
        let note = journal.note.as_deref().unwrap_or_default();
        eprintln!("{} of {} entries: {}", journal.version, journal.length, status.unwrap_or(note));
        if let Some(frozen) = &journal.frozen {
            let text = |field: &str| frozen[field].as_str().unwrap_or_default().to_owned();
            eprintln!("frozen by {} at {}: {}", text("by"), text("at"), text("reason"));
        }
    }
    Ok(())
}

impl Row for Journal {
    const COLUMNS: &'static [&'static str] = &["ORDER", "ENTRIES", "HASH"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.id(), self.length.to_string(), self.hash.clone()]
    }
}

impl Row for Recorded {
    const COLUMNS: &'static [&'static str] = &["ENTRY", "OCCURRED AT", "FACT", "SAID BY"];
    const WIDE: &'static [&'static str] = &["RECORDED AT", "HASH", "DATA"];

    fn id(&self) -> String {
        self.event_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let fact = self.fact.rsplit('.').next().unwrap_or_default();
        let texts = [fact, &self.producer].map(str::to_owned);
        [vec![self.seq.to_string(), self.occurred_at.to_string()], texts.to_vec()].concat()
    }

    fn wide(&self) -> Vec<String> {
        let data = self.unreadable.clone().unwrap_or_else(|| self.data.to_string());
        vec![self.recorded_at.to_string(), self.hash.clone(), data]
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => told(&error),
            ReadError::Registry(error) => error.into(),
            ReadError::Row { .. } => Self::Failed(error.to_string()),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Database(error) => told(&error),
            VerifyError::Anchors(_) => Self::Failed(error.to_string()),
        }
    }
}

fn told(error: &sqlx::Error) -> Failure {
    let text = format!("the database of {SERVICE}: {error}");
    match error {
        sqlx::Error::Io(_) => Failure::Unreachable(text),
        _ => Failure::Failed(text),
    }
}
