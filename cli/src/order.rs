//! `millrace order`: what a customer or an operator does with single orders.

mod late;

use std::time::Duration;

use clap::Subcommand;
use ops::{ClientError, Happened, ListedOrder, OrderFilter, OrderView, Retailer};
use schemas::{CustomerId, Money, OrderId, Sku, StoreId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::args;
use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;

/// The longest that the order view holds one answer back.
const LOOK: Duration = Duration::from_secs(20);
/// The largest page the order view gives.
const PAGE_MAX: u32 = 200;

/// Place, follow, list and cancel orders.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Place an order.
    #[command(before_help = "\
Examples:
  millrace order place --customer c-1001 --store s-01 --line p-1001=2            what would be done
  millrace order place --customer c-1001 --store s-01 --line p-1001=2 --execute --wait")]
    Place {
        /// Who orders.
        #[arg(long, value_name = "ID")]
        customer: CustomerId,
        /// Where the goods come from.
        #[arg(long, value_name = "ID")]
        store: StoreId,
        /// An article and how many pieces of it; once for each article.
        #[arg(long, value_name = "SKU=QUANTITY", required = true, value_parser = args::line)]
        line: Vec<(Sku, i64)>,
        /// The order is placed once for each key, however often it is sent.
        #[arg(long, value_name = "UUID")]
        key: Option<Uuid>,
        #[command(flatten)]
        wait: Wait,
        /// Do it, instead of only saying what would be done.
        #[arg(long)]
        execute: bool,
    },
    /// Show an order and everything that happened to it.
    #[command(before_help = "\
Examples:
  millrace order show ID
  millrace order show ID --wait 30s
  millrace order show ID -w             every fact as it happens")]
    Show {
        /// Which one.
        id: OrderId,
        #[command(flatten)]
        wait: Wait,
        /// Print every fact as it happens, until nothing more is to come.
        #[arg(short, long, conflicts_with = "wait")]
        watch: bool,
    },
    /// List orders that wait too long: which fact is owed, by whom, since when and why.
    #[command(before_help = "\
Examples:
  millrace order stuck --older-than 15m
  millrace order stuck --step payment --store s-01
  millrace order stuck -o json | jq '.items[].command'")]
    Stuck(late::Stuck),
    /// Tell what happened to an order in sentences, what it waits for and why.
    #[command(before_help = "Example:\n  millrace order explain ID")]
    Explain {
        /// Which one.
        id: OrderId,
    },
    /// List orders, the newest first.
    #[command(before_help = "\
Examples:
  millrace order list --status rejected
  millrace order list --store s-01 --limit 500 -o ndjson")]
    List {
        /// placed, reserved, paid, confirmed, rejected, refused, cancelled or expired.
        #[arg(long)]
        status: Option<String>,
        /// Only those of this store.
        #[arg(long, value_name = "ID")]
        store: Option<StoreId>,
        /// Only those of this customer.
        #[arg(long, value_name = "ID")]
        customer: Option<CustomerId>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Go on after this order.
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Cancel an order that has not ended; what was done for it is undone.
    #[command(before_help = "\
Examples:
  millrace order cancel ID --reason 'ordered twice'            what would be done
  millrace order cancel ID --reason 'ordered twice' --execute  do it")]
    Cancel {
        /// Which one.
        id: OrderId,
        /// Why; it becomes part of the order's history.
        #[arg(long, required_if_eq("execute", "true"))]
        reason: Option<String>,
        #[command(flatten)]
        wait: Wait,
        /// Do it, instead of only saying what would be done.
        #[arg(long)]
        execute: bool,
    },
}

/// Whether to wait for the end of an order.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Wait {
    /// Wait until the order has ended, 30s when no time is given.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s")]
    #[arg(value_parser = args::duration)]
    wait: Option<Duration>,
}

/// A fact with its distance from the first one.
#[derive(Serialize)]
struct Fact<'a> {
    #[serde(flatten)]
    happened: &'a Happened,
    since_ms: i64,
}

pub(crate) async fn run(order: Order, place: &Place, output: Output) -> anyhow::Result<()> {
    let retailer = place.retailer();
    match order {
        Order::Place { customer, store, line, execute: false, .. } => {
            let what = line.iter().map(|(sku, quantity)| format!("{quantity} x {sku}"));
            let what = what.collect::<Vec<_>>().join(", ");
            let target = format!("customer {customer}, store {store}");
            Ok(output.plan(&[Step::new("place order", target, what)])?)
        }
        Order::Place { customer, store, line, key, wait, .. } => {
            let key = key.unwrap_or_else(Uuid::now_v7);
            let placed = retailer.place_order(&customer, &store, &line, key).await;
            let id = placed.map_err(Failure::from)?.order_id;
            eprintln!("placed; follow it with `millrace order show {id} --wait`");
            show_after(&retailer, id, wait, output).await
        }
        Order::Stuck(stuck) => late::stuck(stuck, place, output).await,
        Order::Explain { id } => late::explain(id, place, output).await,
        Order::Show { id, watch: true, .. } => watch(&retailer, id, output).await,
        Order::Show { id, wait, .. } => {
            let view = seen(&retailer, id, wait.wait.unwrap_or_default()).await?;
            show(&view, output)
        }
        Order::List { status, store, customer, limit, cursor } => {
            let filter = OrderFilter { status, store, customer, cursor, ..OrderFilter::default() };
            list(&retailer, filter, limit, output).await
        }
        Order::Cancel { id, reason, execute: false, .. } => {
            let view = retailer.order(id, None).await.map_err(Failure::from)?;
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            let (action, detail) = match view.has_ended() {
                true => ("refuse", format!("it is {} already", view.status)),
                false => ("cancel order", format!("it is {}; {reason}", view.status)),
            };
            Ok(output.plan(&[Step::new(action, id.to_string(), detail)])?)
        }
        Order::Cancel { id, reason, wait, .. } => {
            let cancelled = retailer.cancel(id, reason.as_deref()).await;
            cancelled.map_err(Failure::from)?;
            eprintln!("cancelled; what was done for it is being undone");
            show_after(&retailer, id, wait, output).await
        }
    }
}

/// Shows an order that was just changed, as soon as the order view knows it or it has ended.
async fn show_after(
    retailer: &Retailer,
    id: OrderId,
    wait: Wait,
    output: Output,
) -> anyhow::Result<()> {
    match wait.wait {
        Some(wait) => show(&seen(retailer, id, wait).await?, output),
        None => {
            let view = retailer.order_news(id, 0, LOOK).await.map_err(Failure::from)?;
            show(&view, output)
        }
    }
}

/// The order as it is after at most this time, sooner when it has ended.
async fn seen(retailer: &Retailer, id: OrderId, wait: Duration) -> Result<OrderView, Failure> {
    let until = tokio::time::Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let look = (!left.is_zero()).then_some(left.min(LOOK));
        match retailer.order(id, look).await {
            Ok(view) if view.has_ended() || look.is_none() => return Ok(view),
            Err(error @ ClientError::NotFound { .. }) if look.is_none() => return Err(error.into()),
            Ok(_) | Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints each fact once, as soon as the order view knows it, until the order is settled.
async fn watch(retailer: &Retailer, id: OrderId, output: Output) -> anyhow::Result<()> {
    let mut printed: Vec<(String, u64)> = vec![];
    let mut view = retailer.order(id, None).await.map_err(Failure::from)?;
    loop {
        let first = view.history.first().map_or(0, |fact| fact.occurred_at.millis());
        for happened in &view.history {
            let named = (happened.fact.clone(), happened.version);
            if printed.contains(&named) {
                continue;
            }
            printed.push(named);
            let fact = Fact { happened, since_ms: since(first, happened) };
            match output.for_people() {
                true => output.text(&fact.line())?,
                false => output.line(&fact)?,
            }
        }
        if view.settled {
            eprintln!("{}: nothing more is to come", view.status);
            return Ok(());
        }
        let news = retailer.order_news(id, view.version, LOOK).await;
        view = news.map_err(Failure::from)?;
    }
}

fn show(view: &OrderView, output: Output) -> anyhow::Result<()> {
    output.item(view)?;
    if !output.for_people() {
        return Ok(());
    }
    let first = view.history.first().map_or(0, |fact| fact.occurred_at.millis());
    let fact = |happened| Fact { happened, since_ms: since(first, happened) };
    let facts: Vec<Fact<'_>> = view.history.iter().map(fact).collect();
    output.text("")?;
    output.list(&facts)?;
    if let Some(reason) = &view.reason {
        output.text(&format!("\nreason: {reason}"))?;
    }
    if let Some(stale) = &view.stale {
        output.text(&format!("\nstale, what was said last is not folded: {stale}"))?;
    }
    for short in &view.missing {
        let (sku, wanted, available) = (&short.sku, short.wanted, short.available);
        output.text(&format!("missing: {sku}, {wanted} wanted, {available} available"))?;
    }
    Ok(())
}

impl Fact<'_> {
    fn line(&self) -> String {
        let Happened { fact, producer, occurred_at, .. } = self.happened;
        format!("{occurred_at}  +{} ms  {fact}, by {producer}", self.since_ms)
    }
}

fn since(first: i64, happened: &Happened) -> i64 {
    happened.occurred_at.millis() - first
}

async fn list(
    retailer: &Retailer,
    mut filter: OrderFilter,
    limit: u32,
    output: Output,
) -> anyhow::Result<()> {
    let (mut items, mut left) = (vec![], limit);
    loop {
        filter.limit = Some(left.min(PAGE_MAX));
        let page = retailer.orders(&filter).await.map_err(Failure::from)?;
        left = left.saturating_sub(u32::try_from(page.items.len()).unwrap_or(left));
        items.extend(page.items);
        filter.cursor = page.next_cursor;
        if left == 0 || filter.cursor.is_none() {
            break;
        }
    }
    output.list(&items)?;
    if let Some(cursor) = filter.cursor {
        eprintln!("there may be more: --cursor {cursor}");
    }
    Ok(())
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

impl Row for OrderView {
    const COLUMNS: &'static [&'static str] =
        &["ORDER", "STATUS", "CUSTOMER", "STORE", "TOTAL", "LINES", "TOOK"];
    const WIDE: &'static [&'static str] = &["PLACED AT", "CLOSED AT", "UPDATED AT"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| format!("{} x {}", line.quantity, line.sku));
        vec![
            self.order_id.to_string(),
            self.status.clone(),
            shown(self.customer_id.as_ref()),
            shown(self.store_id.as_ref()),
            shown::<Money>(self.total.as_ref()),
            lines.collect::<Vec<_>>().join(", "),
            self.took_ms().map_or_else(|| "-".to_owned(), |took| format!("{took} ms")),
        ]
    }

    fn wide(&self) -> Vec<String> {
        let times = [self.placed_at, self.closed_at, Some(self.updated_at)];
        times.iter().map(|time| shown::<Timestamp>(time.as_ref())).collect()
    }
}

impl Row for ListedOrder {
    const COLUMNS: &'static [&'static str] =
        &["ORDER", "STATUS", "CUSTOMER", "STORE", "TOTAL", "PLACED AT"];
    const WIDE: &'static [&'static str] = &["CLOSED AT", "UPDATED AT", "FACTS"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.order_id.to_string(),
            self.status.clone() + if self.stale.is_some() { " (stale)" } else { "" },
            shown(self.customer_id.as_ref()),
            shown(self.store_id.as_ref()),
            shown(self.total.as_ref()),
            shown(self.placed_at.as_ref()),
        ]
    }

    fn wide(&self) -> Vec<String> {
        vec![shown(self.closed_at.as_ref()), self.updated_at.to_string(), self.version.to_string()]
    }
}

impl Row for Fact<'_> {
    const COLUMNS: &'static [&'static str] = &["FACT", "BY", "MS"];
    const WIDE: &'static [&'static str] = &["AT"];

    fn id(&self) -> String {
        self.happened.fact.clone()
    }

    fn cells(&self) -> Vec<String> {
        let Happened { fact, producer, .. } = self.happened;
        vec![fact.clone(), producer.clone(), format!("+{}", self.since_ms)]
    }

    fn wide(&self) -> Vec<String> {
        vec![self.happened.occurred_at.to_string()]
    }
}
