//! `millrace journal export`: the entries as lines of JSON or CSV, order by order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use journal::decode::{Decoder, Said};
use journal::domain::chain::Entry;
use journal::histories::{Histories, facts};
use schemas::{OrderId, StoreId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::SERVICE;
use crate::failure::Failure;
use crate::place::Place;

/// What is exported, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// In which form.
    #[arg(long, value_enum)]
    format: Form,
    /// Only what happened at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only facts of this name, with or without its namespace.
    #[arg(long = "type", value_name = "NAME")]
    name: Option<String>,
    /// Only orders of this store.
    #[arg(long, value_name = "ID")]
    store: Option<StoreId>,
    /// The file that is written; it is there when it is complete.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One JSON object on each line.
    Ndjson,
    /// Comma-separated values with a line of titles; `data` is JSON.
    Csv,
}

/// One entry as it is exported.
#[derive(Serialize)]
struct Line<'a> {
    order_id: OrderId,
    seq: u64,
    event_id: Uuid,
    fact: &'a str,
    producer: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    schema_id: u32,
    version: u64,
    correlation_id: &'a str,
    causation_id: Option<Uuid>,
    store_id: Option<&'a StoreId>,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    hash: String,
    data: Value,
}

pub(super) async fn run(export: Export, place: &Place) -> anyhow::Result<()> {
    let mut db = ops::databases::open(&place.endpoints, SERVICE).await.map_err(Failure::from)?;
    let draft = export.out.with_extension(format!("{}.tmp", std::process::id()));
    let named = || draft.display().to_string();
    let mut file = BufWriter::new(File::create(&draft).with_context(named)?);
    let mut histories = Histories::new(&mut db, Decoder::new(place.registry()));
    let (mut titled, mut lines) = (false, 0_u64);
    loop {
        let entries = histories.next().await.map_err(Failure::from)?;
        if entries.is_empty() {
            break;
        }
        let store = facts(&entries).and_then(|facts| facts.summary().store);
        if export.store.is_some() && export.store != store {
            continue;
        }
        for (entry, said) in entries.iter().filter(|(entry, _)| export.wants(entry)) {
            let line = serde_json::to_value(Line::of(entry, said, store.as_ref()))?;
            if export.format == Form::Csv && !titled {
                titled = true;
                writeln!(file, "{}", titles(&line))?;
            }
            match export.format {
                Form::Ndjson => writeln!(file, "{line}")?,
                Form::Csv => writeln!(file, "{}", csv(&line))?,
            }
            lines += 1;
        }
    }
    file.flush().with_context(named)?;
    std::fs::rename(&draft, &export.out).with_context(named)?;
    eprintln!("wrote {lines} entries to {}", export.out.display());
    Ok(())
}

impl Export {
    fn wants(&self, entry: &Entry) -> bool {
        let page = &entry.page;
        let short = page.name.rsplit('.').next().unwrap_or_default();
        let named = |name: &String| *name == page.name || *name == short;
        self.since.is_none_or(|since| page.occurred_at >= since)
            && self.until.is_none_or(|until| page.occurred_at < until)
            && self.name.as_ref().is_none_or(named)
    }
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry, said: &Said, store_id: Option<&'a StoreId>) -> Self {
        let page = &entry.page;
        Self {
            order_id: page.order,
            seq: entry.seq,
            event_id: page.event_id,
            fact: &page.name,
            producer: &page.producer,
            topic: &page.topic,
            partition: page.partition,
            offset: page.offset,
            schema_id: page.schema_id,
            version: page.version,
            correlation_id: &page.correlation,
            causation_id: page.causation,
            store_id,
            occurred_at: page.occurred_at,
            recorded_at: page.recorded_at,
            hash: entry.hash.to_string(),
            data: said.json(),
        }
    }
}

fn titles(line: &Value) -> String {
    let titles = line.as_object().into_iter().flat_map(|fields| fields.keys());
    titles.cloned().collect::<Vec<_>>().join(",")
}

fn csv(line: &Value) -> String {
    let cells = line.as_object().into_iter().flat_map(|fields| fields.values()).map(cell);
    cells.collect::<Vec<_>>().join(",")
}

/// Quoted where a comma, a quote or a line's end would be taken for the end of the cell.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_ends_where_it_should() {
        assert_eq!(cell(&json!("plain")), "plain");
        assert_eq!(cell(&json!(null)), "");
        assert_eq!(cell(&json!(7)), "7");
        assert_eq!(cell(&json!("a,b\n\"c\"")), "\"a,b\n\"\"c\"\"\"");
        assert_eq!(cell(&json!({ "a": "b" })), "\"{\"\"a\"\":\"\"b\"\"}\"");
    }
}
