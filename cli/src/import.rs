//! `millrace import`: a file of rows to the services. The file is checked as a whole first; running
//! the same command again is always safe.

mod watch;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Subcommand, ValueEnum};
use ops::Retailer;
use ops::import::{self as files, Checked, FileFormat, Kind, Options, Outcome, ReadError, Report};
use serde::Serialize;

use crate::args;
use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;
use watch::Watch;

/// How long a service may be away before the import gives up: long enough for a restart.
const PATIENCE: Duration = Duration::from_secs(60);

const SAFE: &str = "Running the same command again is safe: nothing counts twice.";

/// Bring a file of products, stock, accounts or orders to the services.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Columns: sku, name, price, currency, category.
    #[command(after_help = SAFE, before_help = "\
Examples:
  millrace import products products.csv
  millrace import products products.csv --dry-run   check the file, send nothing")]
    Products {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Goods that came into stores. Columns: store, sku, quantity.
    #[command(after_help = SAFE, before_help = "\
Examples:
  millrace import stock stock.csv
  millrace import stock monday.csv --ref monday   the same rows on Tuesday count again")]
    Stock {
        #[command(flatten)]
        file: FileArgs,
        #[command(flatten)]
        delivery: Delivery,
    },
    /// Customers and what they pay in. Columns: customer, currency, balance.
    #[command(after_help = SAFE, before_help = "Example:\n  millrace import accounts accounts.csv")]
    Accounts {
        #[command(flatten)]
        file: FileArgs,
        #[command(flatten)]
        delivery: Delivery,
    },
    /// Lines of orders; those of one order_ref make one order. Columns: order_ref, customer, store,
    /// sku, quantity, placed_at.
    #[command(after_help = SAFE, before_help = "\
Examples:
  millrace import orders orders.csv
  millrace import orders orders.ndjson --wait       see how each order ends
  millrace import orders - --format csv < orders.csv")]
    Orders {
        #[command(flatten)]
        file: FileArgs,
        /// Follow every order to its end, and print outcomes and times.
        #[arg(long)]
        wait: bool,
        /// How long one order is followed.
        #[arg(long, value_name = "TIME", default_value = "2m", value_parser = args::duration)]
        timeout: Duration,
        /// Orders on their way at the same time, at most.
        #[arg(long, value_name = "N", default_value_t = 64)]
        #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
        in_flight: u16,
    },
}

/// Which file.
#[derive(Debug, clap::Args)]
pub(crate) struct FileArgs {
    /// The file, or `-` for standard input.
    file: PathBuf,
    /// How the rows are written, if the file's name does not say it.
    #[arg(long, value_enum)]
    format: Option<Written>,
    /// Only check the file and say what would be sent.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Importing acts without it; taken so that scripts may always give it.
    #[arg(long, hide = true)]
    execute: bool,
}

/// Which delivery.
#[derive(Debug, clap::Args)]
pub(crate) struct Delivery {
    /// Name of the delivery: the same rows count once under each name. The content of the file
    /// stands for it when none is given.
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    /// RFC 4180, with commas and a header.
    Csv,
    /// One JSON object on each line.
    Ndjson,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Summary {
    kind: &'static str,
    rows: u64,
    taken: u64,
    refused: u64,
    seconds: f64,
    outcomes: Vec<Outcome>,
}

pub(crate) async fn run(
    import: Import,
    place: &dyn Fn() -> Result<Place, Failure>,
    output: Output,
) -> anyhow::Result<()> {
    const BATCHES: usize = 4;
    let at_once = |reference| Options { in_flight: BATCHES, follow: None, reference };
    let (kind, file, options) = match import {
        Import::Products { file } => (Kind::Products, file, at_once(None)),
        Import::Stock { file, delivery } => (Kind::Stock, file, at_once(delivery.reference)),
        Import::Accounts { file, delivery } => (Kind::Accounts, file, at_once(delivery.reference)),
        Import::Orders { file, wait, timeout, in_flight } => {
            let follow = wait.then_some(timeout);
            (Kind::Orders, file, Options { in_flight: in_flight.into(), follow, reference: None })
        }
    };
    let checked = read(kind, &file).await?;
    if file.dry_run {
        let target = file.file.display().to_string();
        let detail =
            format!("{} {} of {} rows", checked.rows.len(), kind.as_str(), checked.rows_read);
        output.list(&[Step::new("send", target, detail)])?;
        eprintln!("the file is in order; nothing was sent");
        return Ok(());
    }
    let retailer = place()?.retailer().with_patience(PATIENCE);
    send(kind, checked, &file.file, &retailer, &options, output).await
}

/// Reads and checks the file; wrong rows are all told before anything is sent.
async fn read(kind: Kind, args: &FileArgs) -> Result<Checked, Failure> {
    let format = match args.format {
        Some(Written::Csv) => FileFormat::Csv,
        Some(Written::Ndjson) => FileFormat::Ndjson,
        None => FileFormat::of(&args.file).ok_or_else(|| {
            let file = args.file.display();
            Failure::Usage(format!("what is in {file}? Say --format csv or --format ndjson"))
        })?,
    };
    let path = args.file.clone();
    let input = open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::NotFound(format!("{}: {error}", path.display())),
        _ => Failure::Failed(format!("{}: {error}", path.display())),
    })?;
    let reading = tokio::task::spawn_blocking(move || files::read(kind, format, input));
    let checked = reading.await.map_err(|error| Failure::Failed(error.to_string()))?;
    checked.map_err(|error| {
        if let ReadError::Rows(refused) = &error {
            for row in refused {
                eprintln!("{}:{}: {}", args.file.display(), row.line, row.reason);
            }
        }
        Failure::Failed(format!("{}: {error}", args.file.display()))
    })
}

fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

async fn send(
    kind: Kind,
    checked: Checked,
    path: &Path,
    retailer: &Retailer,
    options: &Options,
    output: Output,
) -> anyhow::Result<()> {
    let (rows, total) = (checked.rows_read, checked.rows.len() as u64);
    let began = Instant::now();
    let watch = Watch::start(kind, total, path);
    let tell = |row| watch.refused(&row);
    let report =
        files::send(checked, retailer, options, watch.progress(), watch.stop(), &tell).await;
    watch.end();
    let Report { taken, refused, failure, outcomes } = report;
    let seconds = (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let open = outcomes.iter().find(|outcome| outcome.outcome == "open").map_or(0, |o| o.orders);
    let summary = Summary { kind: kind.as_str(), rows, taken, refused, seconds, outcomes };
    print(&summary, output)?;
    if let Some(error) = failure {
        return Err(Failure::from(error).into());
    }
    if taken + refused < total {
        let text = format!("stopped after {} of {total}; run it again to go on", taken + refused);
        return Err(Failure::Failed(text).into());
    }
    match (refused, open) {
        (0, 0) => Ok(()),
        (0, open) => Err(Failure::Failed(format!("{open} orders have not ended yet")).into()),
        (refused, _) => Err(Failure::Failed(format!("{refused} of {total} were refused")).into()),
    }
}

/// For people, the outcomes are the table, if there are any.
fn print(summary: &Summary, output: Output) -> io::Result<()> {
    if !output.for_people() || summary.outcomes.is_empty() {
        return output.item(summary);
    }
    let Summary { taken, refused, seconds, .. } = summary;
    eprintln!("{taken} orders placed, {refused} refused, {seconds:.1} s");
    output.list(&summary.outcomes)
}

impl Row for Summary {
    const COLUMNS: &'static [&'static str] = &["KIND", "ROWS", "TAKEN", "REFUSED", "SECONDS"];

    fn id(&self) -> String {
        self.kind.to_owned()
    }

    fn cells(&self) -> Vec<String> {
        let Self { rows, taken, refused, seconds, .. } = self;
        vec![
            self.kind.to_owned(),
            rows.to_string(),
            taken.to_string(),
            refused.to_string(),
            format!("{seconds:.1}"),
        ]
    }
}

impl Row for Outcome {
    const COLUMNS: &'static [&'static str] = &["OUTCOME", "ORDERS", "P50 MS", "P95 MS", "MAX MS"];

    fn id(&self) -> String {
        self.outcome.clone()
    }

    fn cells(&self) -> Vec<String> {
        let times = [self.times.p50_ms, self.times.p95_ms, self.times.max_ms];
        let head = [self.outcome.clone(), self.orders.to_string()];
        head.into_iter().chain(times.map(|ms| ms.to_string())).collect()
    }
}
