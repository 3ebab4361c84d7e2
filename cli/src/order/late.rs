//! `millrace order stuck` and `explain`: what late orders wait for, and why. They change nothing.

use std::time::Duration;

use ops::late::{Late, Owed, Sentence, Why, explain as told, late, late_orders};
use ops::{OrderFilter, OrderView};
use schemas::{OrderId, StoreId, Timestamp};
use serde::Serialize;

use super::PAGE_MAX;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::place::Place;

/// Which late orders.
#[derive(Debug, clap::Args)]
pub(crate) struct Stuck {
    /// Only those of which nothing was heard for so long.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = crate::args::duration)]
    older_than: Duration,
    /// Only those that wait for this service or fact, or one whose name begins like this.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Only those of this store.
    #[arg(long, value_name = "ID")]
    store: Option<StoreId>,
    /// End with exit code 10 when an order is late.
    #[arg(long)]
    check: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Go on after this order.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// One thing that an order waits for.
#[derive(Debug, Serialize)]
struct Line {
    order_id: OrderId,
    status: String,
    store_id: Option<StoreId>,
    customer_id: Option<schemas::CustomerId>,
    /// The service that owes.
    owes: String,
    facts: Vec<String>,
    since: Timestamp,
    seconds: i64,
    why: Why,
    sentence: String,
    command: String,
}

pub(super) async fn stuck(stuck: Stuck, place: &Place, output: Output) -> anyhow::Result<()> {
    let now = now();
    let micros = i64::try_from(stuck.older_than.as_micros()).unwrap_or(i64::MAX);
    let mut filter = OrderFilter {
        store: stuck.store,
        cursor: stuck.cursor,
        quiet_since: Timestamp::from_micros(now.micros().saturating_sub(micros)),
        ..OrderFilter::default()
    };
    let retailer = place.retailer();
    let limit = stuck.limit as usize;
    let mut lines = vec![];
    loop {
        filter.limit = Some(stuck.limit.min(PAGE_MAX));
        let (orders, next) = late_orders(&retailer, &filter).await.map_err(Failure::from)?;
        let found = why(place, orders, now).await;
        lines.extend(found.iter().flat_map(|late| Line::of(late, stuck.step.as_deref(), now)));
        filter.cursor = next;
        if lines.len() >= limit || filter.cursor.is_none() {
            break;
        }
    }
    if output.for_people() {
        for line in &lines {
            output.text(&line.sentence())?;
        }
    } else {
        output.list(&lines)?;
    }
    if lines.is_empty() {
        eprintln!("no order is late");
    }
    if let Some(cursor) = filter.cursor {
        eprintln!("there may be more: --cursor {cursor}");
    }
    match stuck.check && !lines.is_empty() {
        true => {
            Err(Failure::CheckFailed(format!("{} facts are owed too long", lines.len())).into())
        }
        false => Ok(()),
    }
}

pub(super) async fn explain(id: OrderId, place: &Place, output: Output) -> anyhow::Result<()> {
    let now = now();
    let order = place.retailer().order(id, None).await.map_err(Failure::from)?;
    let settled = order.settled;
    let found = why(place, vec![order], now).await;
    let Some(Late { order, owed }) = found.first() else { return Ok(()) };
    let sentences = told(order, owed, now);
    if output.for_people() {
        for sentence in &sentences {
            output.text(&line(sentence))?;
        }
    } else {
        output.list(&sentences)?;
    }
    if settled {
        eprintln!("nothing is owed");
    }
    owed.iter().for_each(|(_, why)| eprintln!("go on with: {}", why.command()));
    Ok(())
}

/// A broker that is away leaves fewer reasons to be found, and is told among what was not.
async fn why(place: &Place, orders: Vec<OrderView>, now: Timestamp) -> Vec<Late> {
    if orders.is_empty() {
        return vec![];
    }
    let admin = place.broker().await.map_err(|error| error.to_string());
    late(&place.endpoints, admin.as_ref().map_err(Clone::clone), orders, now).await
}

fn now() -> Timestamp {
    time::OffsetDateTime::now_utc().into()
}

impl Line {
    fn of(late: &Late, step: Option<&str>, now: Timestamp) -> Vec<Self> {
        let Late { order, owed } = late;
        let line = |(owed, why): &(Owed, Why)| Self {
            order_id: order.order_id,
            status: order.status.clone(),
            store_id: order.store_id.clone(),
            customer_id: order.customer_id.clone(),
            owes: owed.by.clone(),
            facts: owed.facts.clone(),
            since: owed.since(),
            seconds: (now.micros() - owed.since().micros()) / 1_000_000,
            why: why.clone(),
            sentence: format!("{}: {}", owed.sentence(now), why.sentence(now)),
            command: why.command(),
        };
        let meant = |(owed, _): &&(Owed, Why)| step.is_none_or(|step| owed.is_step(step));
        owed.iter().filter(meant).map(line).collect()
    }

    fn sentence(&self) -> String {
        let Self { order_id, status, sentence, command, .. } = self;
        format!("{order_id} ({status})\n  {sentence}\n  go on with: {command}")
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] = &["ORDER", "STATUS", "OWES", "WHY"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let Self { order_id, status, owes, sentence, .. } = self;
        vec![order_id.to_string(), status.clone(), owes.clone(), sentence.clone()]
    }
}

impl Row for Sentence {
    const COLUMNS: &'static [&'static str] = &["AT", "AFTER MS", "WHAT"];

    fn id(&self) -> String {
        self.fact.clone().unwrap_or_default()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.at.to_string(), self.after_ms.to_string(), self.text.clone()]
    }
}

/// A sentence with its time, as it is read out.
fn line(sentence: &Sentence) -> String {
    let Sentence { at, after_ms, text, fact } = sentence;
    match fact {
        Some(_) => format!("{at}  +{after_ms} ms  {text}"),
        None => format!("still owed: {text}"),
    }
}
