//! One flow is one connected trace, from the front door over outbox, topic and every handler.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use harness::{SpanRecord, eventually};

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::NOTES;

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_one_connected_trace_over_all_services() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let ledger = bench.world.mount(tally::ledger()).await?;
    bench.note(&writer, "traced", 1).await?;
    bench.until_notes(&[("traced".to_owned(), 1)].into()).await?;
    let records = bench.records(&NOTES).await?;
    let traceparent = records[0].header("traceparent").context("no traceparent")?;
    let trace = traceparent.split('-').nth(1).context("no trace id")?.to_owned();
    eventually(SOON, "the trace is whole", async || whole(&bench.world.traces().of_trace(&trace)))
        .await?;
    for service in [writer, sums, ledger] {
        service.stop().await?;
    }
    bench.world.close().await
}

/// Every span reaches the one root by its parents, and every service has its part.
fn whole(spans: &[SpanRecord]) -> Result<(), String> {
    let parents: HashMap<&str, Option<&str>> =
        spans.iter().map(|span| (span.span_id.as_str(), span.parent.as_deref())).collect();
    for span in spans {
        if let Some(parent) = span.parent.as_deref()
            && !parents.contains_key(parent)
        {
            return Err(format!("{} hangs in the air", span.name));
        }
    }
    let roots = spans.iter().filter(|span| span.parent.is_none()).count();
    let seen: BTreeSet<(&str, &str)> =
        spans.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    let wanted = [
        ("writer", "create test.note.events.v1"),
        ("tally", "process test.note.events.v1"),
        ("tally", "create test.tally.events.v1"),
        ("ledger", "process test.tally.events.v1"),
    ];
    let missing: Vec<_> = wanted.iter().filter(|span| !seen.contains(*span)).collect();
    match (roots, missing.is_empty()) {
        (1, true) => Ok(()),
        _ => Err(format!("{roots} roots, missing {missing:?} in {seen:?}")),
    }
}
