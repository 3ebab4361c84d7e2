//! One order is one connected trace: every span leads to the request of the customer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{SpanRecord, eventually};

use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const ABOUT: &str = "One order is one connected trace over all services.";

/// Spans are exported every half second.
const EXPORTED: Duration = Duration::from_secs(15);
/// What it says of an order is a state and no fact.
const VIEW: &str = "order-view";
const SERVICES: [&str; 6] = ["journal", VIEW, "orders", "payments", "sales", "stock"];

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("trace", Means { on_hand: 10, funds: "100.00" }).await?;
    let order = stage.check_out(&shop, 1).await?;
    let view = stage.until_ended(order).await?;
    let facts = stage.facts(order).await?;
    tale.order(order, &view.status, &facts);
    tale.expect("status", "confirmed", &view.status);
    let traces: BTreeSet<Option<&str>> = facts.iter().map(|fact| fact.trace.as_deref()).collect();
    tale.expect("traces of its facts", 1, traces.len());
    let trace = facts[0].trace.clone().context("the first fact carries no trace")?;

    // A span is exported when it ends, so parents may come after their children.
    let events = facts.len();
    let complete = async || {
        let spans = stage.trace(&trace).await;
        let found = Found::of(&spans);
        match found.is_complete(events) {
            true => Ok(spans),
            false => Err(format!("{found:?}")),
        }
    };
    let spans = match eventually(EXPORTED, "the spans of the order", complete).await {
        Ok(spans) => spans,
        Err(_) => stage.trace(&trace).await,
    };
    let found = Found::of(&spans);
    tale.expect("services", SERVICES, &found.services);
    tale.expect("roots", ["POST /v1/carts/{cart}/checkout by orders"], &found.roots);
    tale.expect("spans that lead nowhere", [""; 0], &found.lost);
    tale.expect("facts with a span of their creation", events, found.created);
    tale.expect("facts taken in by the order view", events, found.viewed);
    tale.count("spans", spans.len());
    Ok(())
}

/// What the spans of a trace show.
#[derive(Debug)]
struct Found<'a> {
    services: BTreeSet<&'a str>,
    /// Spans without a parent.
    roots: Vec<String>,
    /// Spans from which no way leads to a root.
    lost: Vec<String>,
    created: usize,
    viewed: usize,
}

impl<'a> Found<'a> {
    fn of(spans: &'a [SpanRecord]) -> Self {
        let by_id: BTreeMap<&str, &SpanRecord> =
            spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        let named = |span: &&SpanRecord| format!("{} by {}", span.name, span.service);
        let roots = spans.iter().filter(|span| span.parent.is_none());
        let lost = spans.iter().filter(|span| !reaches_root(span, &by_id));
        let messages = |start: &str, is_meant: fn(&str) -> bool| {
            let of = spans.iter().filter(|span| span.name.starts_with(start));
            let of = of.filter(|span| is_meant(&span.service));
            let ids = of.filter_map(|span| span.attributes.get("messaging.message.id"));
            ids.collect::<BTreeSet<_>>().len()
        };
        Self {
            services: spans.iter().map(|span| span.service.as_str()).collect(),
            roots: roots.map(|span| named(&span)).collect(),
            lost: lost.map(|span| named(&span)).collect(),
            created: messages("create ", |service| service != VIEW),
            viewed: messages("process ", |service| service == VIEW),
        }
    }

    fn is_complete(&self, events: usize) -> bool {
        let there = SERVICES.iter().all(|service| self.services.contains(service));
        let told = self.created == events && self.viewed == events;
        there && told && !self.roots.is_empty() && self.lost.is_empty()
    }
}

/// Follows parents upwards, at most as many steps as there are spans.
fn reaches_root(span: &SpanRecord, by_id: &BTreeMap<&str, &SpanRecord>) -> bool {
    let mut at = span;
    for _ in 0..=by_id.len() {
        let Some(parent) = &at.parent else { return true };
        let Some(above) = by_id.get(parent.as_str()) else { return false };
        at = above;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, service: &str) -> SpanRecord {
        SpanRecord {
            trace_id: "t".to_owned(),
            span_id: id.to_owned(),
            parent: parent.map(str::to_owned),
            name: format!("process {id}"),
            kind: "consumer",
            service: service.to_owned(),
            attributes: [("messaging.message.id".to_owned(), id.to_owned())].into(),
            links: vec![],
            start: 0,
            end: 0,
        }
    }

    #[test]
    fn a_span_whose_parent_is_missing_is_lost_with_all_below_it() {
        let spans = [
            span("root", None, "orders"),
            span("a", Some("root"), "stock"),
            span("b", Some("gone"), "sales"),
            span("c", Some("b"), "order-view"),
        ];
        let found = Found::of(&spans);
        assert_eq!(found.roots, ["process root by orders"]);
        assert_eq!(found.lost, ["process b by sales", "process c by order-view"]);
        assert_eq!(found.viewed, 1);
    }

    #[test]
    fn parents_that_go_in_a_circle_reach_no_root() {
        let spans = [span("a", Some("b"), "stock"), span("b", Some("a"), "stock")];
        assert_eq!(Found::of(&spans).lost.len(), 2);
    }
}
