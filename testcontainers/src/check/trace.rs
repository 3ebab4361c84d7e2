//! I16: whatever happens because of a fact is in that fact's trace, and when no span can be missing
//! every trace is one tree.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Fact, Index};
use super::verdict::Report;
use crate::SpanRecord;

/// Every fact carries the context of a span that was exported, belongs to its cause's trace and
/// flow, and hangs together with it.
pub(super) fn trace(index: &Index<'_>, report: &mut Report) {
    let spans: BTreeMap<&str, &SpanRecord> =
        index.evidence.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    for fact in index.once() {
        let context = context(fact);
        report.expect(context.is_some(), fact.key, || format!("{} has no trace", fact.told()));
        let Some((trace, span)) = context else { continue };
        if let Some(cause) = fact.cause {
            caused(index, fact, cause, trace, report);
        }
        if index.evidence.spans_whole {
            let created = spans.get(span);
            let own = created.is_some_and(|span| {
                span.trace_id == trace
                    && span.attributes.get("messaging.message.id") == Some(&fact.id.to_string())
            });
            report
                .expect(own, fact.key, || format!("nobody exported the making of {}", fact.told()));
        }
    }
    if index.evidence.spans_whole {
        trees(index, &spans, report);
    }
}

/// Trace and span of a fact's `traceparent`.
fn context<'a>(fact: &Fact<'a>) -> Option<(&'a str, &'a str)> {
    let parts: Vec<&str> = fact.record.header("traceparent")?.split('-').collect();
    match parts[..] {
        ["00", trace, span, _] if trace.len() == 32 && span.len() == 16 => Some((trace, span)),
        _ => None,
    }
}

fn caused(index: &Index<'_>, fact: &Fact<'_>, cause: uuid::Uuid, trace: &str, report: &mut Report) {
    let Some(cause) = index.fact(cause) else {
        return report.found(fact.key, format!("the cause of {} is in no topic", fact.told()));
    };
    report.expect(fact.correlation == cause.correlation, fact.key, || {
        format!("{} is of another flow than its cause {}", fact.told(), cause.told())
    });
    let before = context(cause).map(|(trace, _)| trace);
    // A fact that is read again long after begins a trace that is linked to the old one.
    let linked = || {
        index.evidence.spans.iter().any(|span| {
            span.trace_id == trace
                && span.links.iter().any(|(linked, _)| Some(linked.as_str()) == before)
        })
    };
    report.expect(before == Some(trace) || linked(), fact.key, || {
        format!("{} is in another trace than its cause {}", fact.told(), cause.told())
    });
}

/// Of the traces that facts are in: each span reaches the one root by its parents.
fn trees(index: &Index<'_>, spans: &BTreeMap<&str, &SpanRecord>, report: &mut Report) {
    let mut of_facts: BTreeMap<&str, &str> = BTreeMap::new();
    for fact in index.once() {
        if let Some((trace, _)) = context(fact) {
            of_facts.entry(trace).or_insert(fact.key);
        }
    }
    let mut roots: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for span in &index.evidence.spans {
        let Some(key) = of_facts.get(span.trace_id.as_str()) else { continue };
        match &span.parent {
            None => drop(roots.entry(&span.trace_id).or_default().insert(&span.span_id)),
            Some(parent) => {
                let there = spans.get(parent.as_str());
                let good = there.is_some_and(|parent| parent.trace_id == span.trace_id);
                report.expect(good, key, || format!("span {} hangs in the air", span.name));
            }
        }
    }
    for (trace, key) in of_facts {
        let count = roots.get(trace).map_or(0, BTreeSet::len);
        report.expect(count == 1, key, || format!("trace {trace} has {count} roots"));
    }
}
