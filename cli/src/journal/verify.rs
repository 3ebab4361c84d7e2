//! `millrace journal verify`: chains computed again, and compared with a file of anchors that lies
//! where whoever could change the database cannot.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use anyhow::Context;
use journal::domain::chain::Link;
use journal::verify::{Anchor, Anchors, BrokenLink, Report, Unanchored, verify};
use schemas::OrderId;
use serde::{Deserialize, Serialize};

use super::SERVICE;
use crate::failure::Failure;
use crate::output::{Output, Row, stderr_is_terminal};
use crate::place::Place;

/// What is verified.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Only this order.
    #[arg(long, value_name = "ID", conflicts_with = "anchor")]
    order: Option<OrderId>,
    /// The ends of all chains: compared when the file is there, and written when all is whole.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

/// A line of a file of anchors.
#[derive(Serialize, Deserialize)]
struct Line {
    order_id: OrderId,
    length: u64,
    hash: String,
}

/// A broken link as it is printed.
#[derive(Serialize)]
struct Broken {
    order_id: OrderId,
    seq: u64,
    what: String,
}

/// What was found whole.
#[derive(Serialize)]
struct Whole {
    orders: u64,
    entries: u64,
    broken: u64,
}

/// Anchors of a file, and the file that takes its place.
struct Files {
    before: Option<Peekable<Lines<BufReader<File>>>>,
    after: BufWriter<File>,
    draft: PathBuf,
}

pub(super) async fn run(args: Verify, place: &Place, output: Output) -> anyhow::Result<()> {
    let mut db = ops::databases::open(&place.endpoints, SERVICE).await.map_err(Failure::from)?;
    let mut files = args.anchor.as_deref().map(Files::open).transpose()?;
    let mut none = Unanchored;
    let anchors: &mut dyn Anchors = match &mut files {
        Some(files) => files,
        None => &mut none,
    };
    let mut tell = |report: &Report| {
        if stderr_is_terminal() {
            eprint!("\r{} orders, {} entries", report.orders, report.entries);
        }
    };
    let verified = verify(&mut db, args.order, anchors, &mut tell).await;
    let report = match verified {
        Ok(report) => report,
        Err(error) => {
            files.into_iter().for_each(Files::discard);
            return Err(Failure::from(error).into());
        }
    };
    if stderr_is_terminal() {
        eprintln!();
    }
    if let Some(order) = args.order.filter(|_| report.orders + report.broken_orders == 0) {
        return Err(Failure::NotFound(format!("the journal has nothing of order {order}")).into());
    }
    let Some(first) = report.broken.first() else {
        if let (Some(files), Some(path)) = (files, &args.anchor) {
            files.finish(path)?;
            eprintln!("wrote the ends of {} chains to {}", report.orders, path.display());
        }
        let (orders, entries) = (report.orders, report.entries);
        return Ok(output.item(&Whole { orders, entries, broken: 0 })?);
    };
    let text = format!(
        "the journal of {} of {} orders is broken; the first: order {}, entry {}: {}",
        report.broken_orders, report.orders, first.order, first.seq, first.what
    );
    output.list(&report.broken.iter().map(Broken::of).collect::<Vec<_>>())?;
    files.into_iter().for_each(Files::discard);
    Err(Failure::CheckFailed(text).into())
}

impl Files {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let before = match path.exists() {
            true => Some(File::open(path).with_context(|| path.display().to_string())?),
            false => None,
        };
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let after = File::create(&draft).with_context(|| draft.display().to_string())?;
        let before = before.map(|file| BufReader::new(file).lines().peekable());
        Ok(Self { before, after: BufWriter::new(after), draft })
    }

    /// The file gets its name only when it is complete.
    fn finish(mut self, path: &Path) -> anyhow::Result<()> {
        self.after.flush().and_then(|()| std::fs::rename(&self.draft, path))?;
        Ok(())
    }

    fn discard(self) {
        if let Err(error) = std::fs::remove_file(&self.draft) {
            eprintln!("{}: {error}", self.draft.display());
        }
    }
}

impl Anchors for Files {
    fn next(&mut self, up_to: Option<OrderId>) -> Result<Option<Anchor>, String> {
        let Some(lines) = &mut self.before else { return Ok(None) };
        let Some(line) = lines.peek() else { return Ok(None) };
        let line = line.as_ref().map_err(|error| error.to_string())?;
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if up_to.is_some_and(|order| line.order_id > order) {
            return Ok(None);
        }
        lines.next();
        let link = Link { length: line.length, hash: line.hash.parse()? };
        Ok(Some(Anchor { order: line.order_id, link }))
    }

    fn note(&mut self, anchor: Anchor) -> Result<(), String> {
        let (order_id, length) = (anchor.order, anchor.link.length);
        let line = Line { order_id, length, hash: anchor.link.hash.to_string() };
        let line = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        writeln!(self.after, "{line}").map_err(|error| error.to_string())
    }
}

impl Broken {
    fn of(broken: &BrokenLink) -> Self {
        Self { order_id: broken.order, seq: broken.seq, what: broken.what.clone() }
    }
}

impl Row for Broken {
    const COLUMNS: &'static [&'static str] = &["ORDER", "ENTRY", "WHAT"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.id(), self.seq.to_string(), self.what.clone()]
    }
}

impl Row for Whole {
    const COLUMNS: &'static [&'static str] = &["ORDERS", "ENTRIES", "BROKEN"];

    fn id(&self) -> String {
        self.orders.to_string()
    }

    fn cells(&self) -> Vec<String> {
        [self.orders, self.entries, self.broken].map(|number| number.to_string()).to_vec()
    }
}
