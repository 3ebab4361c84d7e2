//! Sends the rows of a checked file, a bounded number at a time. Every request has a key that
//! follows from the file, so that whatever was sent before changes nothing when it is sent again.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use schemas::{CustomerId, Money, OrderId, Sku, StoreId};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rows::{Numbered, Order, Rows};
use super::{Checked, RefusedRow};
use crate::retailer::{ClientError, OrderView, Place, Product, Retailer};

/// Rows of one request, where a service takes many.
const BATCH_ROWS: usize = 500;
/// Such requests at the same time, at most.
const BATCHES_IN_FLIGHT: usize = 4;
/// How long one look at an order waits for its end.
const LOOK: Duration = Duration::from_secs(10);
/// How long a product may be on its way from the catalogue to orders.
const CATALOGUE_LAG: Duration = Duration::from_secs(30);
const CATALOGUE_LOOK: Duration = Duration::from_millis(100);
/// Everything that is derived from a file is derived under this name.
const NAMESPACE: Uuid = uuid::uuid!("5e2b6a0e-6f5c-5a39-9d5f-0f1a8f6c2d11");

/// How rows are sent.
#[derive(Debug, Clone)]
pub struct Options {
    /// Orders at the same time, at most: from their placing to their end when they are followed.
    pub in_flight: usize,
    /// How long each order is followed to its end, if at all.
    pub follow: Option<Duration>,
    /// What the delivery is called, for stock and accounts: the same rows count once under one
    /// name. The content of the file stands for it when nothing is said.
    pub reference: Option<String>,
}

/// How far the sending has come; to be read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    refused: AtomicU64,
    in_flight: AtomicU64,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows, or orders, that a service took; those that it knew before are among them.
    pub taken: u64,
    /// Rows, or orders, that a service refused.
    pub refused: u64,
    /// What ended it before its time.
    pub failure: Option<ClientError>,
    /// How orders ended, when they were followed; `open` stands for those that had not.
    pub outcomes: Vec<Outcome>,
}

/// Orders that ended in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How they ended.
    pub outcome: String,
    /// How many.
    pub orders: u64,
    /// How long they took from checkout to end.
    #[serde(flatten)]
    pub times: Times,
}

/// How long a number of orders took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Times {
    /// Half of them at most this.
    pub p50_ms: u32,
    /// 95 of 100 at most this.
    pub p95_ms: u32,
    /// None more than this.
    pub max_ms: u32,
}

/// What is sent with one request.
enum Parcel {
    Products(Vec<Numbered<Product>>),
    Stock(Vec<Numbered<(StoreId, Sku, i64)>>),
    Accounts(Vec<Numbered<(CustomerId, Money)>>),
    Order(Order),
}

struct Sender<'a> {
    retailer: &'a Retailer,
    options: &'a Options,
    progress: &'a Progress,
    stop: &'a CancellationToken,
    refused: &'a (dyn Fn(RefusedRow) + Sync),
    fingerprint: Uuid,
    began: Instant,
    ends: Mutex<BTreeMap<String, Vec<u32>>>,
}

impl Progress {
    /// Rows, or orders, that are over.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Those of them that a service refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests, or orders, that are on their way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Sends everything, and stops early when told to or when a service is away for longer than the
/// client's patience. Each row that a service refuses is given to `refused` at once.
pub async fn send(
    file: Checked,
    retailer: &Retailer,
    options: &Options,
    progress: &Progress,
    stop: &CancellationToken,
    refused: &(dyn Fn(RefusedRow) + Sync),
) -> Report {
    let limit = match file.rows {
        Rows::Orders(_) => options.in_flight,
        _ => options.in_flight.min(BATCHES_IN_FLIGHT),
    };
    let (fingerprint, began) = (file.fingerprint, Instant::now());
    let ends = Mutex::default();
    let sender = Sender { retailer, options, progress, stop, refused, fingerprint, began, ends };
    let parcels = stream::iter(parcels(file.rows).enumerate());
    let parcels = parcels.take_while(|_| ready(!stop.is_cancelled())).map(Ok);
    let failure = parcels
        .try_for_each_concurrent(limit.max(1), |(n, parcel)| sender.send(n, parcel))
        .await
        .err();
    let refused = progress.refused();
    Report { taken: progress.done() - refused, refused, failure, outcomes: sender.outcomes() }
}

fn parcels(rows: Rows) -> Box<dyn Iterator<Item = Parcel> + Send> {
    match rows {
        Rows::Products(rows) => Box::new(chunks(rows).map(Parcel::Products)),
        Rows::Stock(rows) => Box::new(chunks(rows).map(Parcel::Stock)),
        Rows::Accounts(rows) => Box::new(chunks(rows).map(Parcel::Accounts)),
        Rows::Orders(orders) => Box::new(orders.into_iter().map(Parcel::Order)),
    }
}

fn chunks<T>(rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<T> = rows.by_ref().take(BATCH_ROWS).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

impl Sender<'_> {
    async fn send(&self, n: usize, parcel: Parcel) -> Result<(), ClientError> {
        self.progress.in_flight.fetch_add(1, Ordering::Relaxed);
        let sent = match parcel {
            Parcel::Order(order) => self.order(&order).await,
            Parcel::Products(rows) => self.products(n, rows).await,
            Parcel::Stock(rows) => self.stock(n, rows).await,
            Parcel::Accounts(rows) => self.accounts(n, rows).await,
        };
        self.progress.in_flight.fetch_sub(1, Ordering::Relaxed);
        sent
    }

    async fn products(&self, n: usize, rows: Vec<Numbered<Product>>) -> Result<(), ClientError> {
        let (lines, rows) = unzip(rows);
        let sent = self.retailer.put_products(&rows, self.batch_key("products", n)).await;
        self.settle(&lines, sent)
    }

    async fn stock(
        &self,
        n: usize,
        rows: Vec<Numbered<(StoreId, Sku, i64)>>,
    ) -> Result<(), ClientError> {
        let (lines, rows) = unzip(rows);
        let sent = self.retailer.receive_stocks(&rows, self.batch_key("stock", n)).await;
        self.settle(&lines, sent)
    }

    /// An account that begins with nothing is opened; the others are opened by what is paid in.
    async fn accounts(
        &self,
        n: usize,
        rows: Vec<Numbered<(CustomerId, Money)>>,
    ) -> Result<(), ClientError> {
        let (empty, paid): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.row.1.minor() == 0);
        for Numbered { line, row: (customer, nothing) } in empty {
            let opened = self.retailer.open_account(&customer, nothing.currency()).await;
            self.settle(&[line], opened.map(drop))?;
        }
        if paid.is_empty() {
            return Ok(());
        }
        let (lines, rows) = unzip(paid);
        let sent = self.retailer.deposits(&rows, self.batch_key("accounts", n)).await;
        self.settle(&lines, sent)
    }

    async fn order(&self, order: &Order) -> Result<(), ClientError> {
        let placing = Instant::now();
        let placed = match self.place(order).await {
            Err(error) => return self.settle(&[order.line], Err(error)),
            Ok(placed) => placed,
        };
        if let Some(patience) = self.options.follow {
            let view = self.follow(placed, placing + patience).await?;
            let waited = u64::try_from(placing.elapsed().as_millis()).unwrap_or(u64::MAX);
            let took = view.as_ref().and_then(OrderView::took_ms).unwrap_or(waited);
            let end = view.map_or_else(|| "open".to_owned(), |view| view.status);
            let took = u32::try_from(took).unwrap_or(u32::MAX);
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.entry(end).or_default().push(took);
        }
        self.settle(&[order.line], Ok(()))
    }

    async fn place(&self, order: &Order) -> Result<OrderId, ClientError> {
        let key = Uuid::new_v5(&NAMESPACE, format!("orders:{}", order.order_ref).as_bytes());
        loop {
            match self.retailer.place_referenced(order, key).await {
                Err(ClientError::Refused { code, .. })
                    if code == "unknown_sku"
                        && self.began.elapsed() < CATALOGUE_LAG
                        && !self.stop.is_cancelled()
                        && self.all_sold(order).await =>
                {
                    tokio::time::sleep(CATALOGUE_LOOK).await;
                }
                outcome => return outcome.map(|placed| placed.order_id),
            }
        }
    }

    /// Whether the catalogue sells every article of the order.
    async fn all_sold(&self, order: &Order) -> bool {
        for sku in order.skus() {
            match self.retailer.is_sold(sku).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return false,
            }
        }
        true
    }

    /// The order when it has ended; `None` when it has not within its time.
    async fn follow(
        &self,
        order: OrderId,
        until: Instant,
    ) -> Result<Option<OrderView>, ClientError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let look = self.retailer.order(order, Some(left.min(LOOK)));
            let seen = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                seen = look => seen,
            };
            match seen {
                Ok(view) if view.has_ended() => return Ok(Some(view)),
                Ok(_) | Err(ClientError::NotFound { .. }) if left.is_zero() => return Ok(None),
                Ok(_) | Err(ClientError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts what was sent. A refusal is told row by row and ends nothing; any other error ends
    /// the sending.
    fn settle(&self, lines: &[u64], sent: Result<(), ClientError>) -> Result<(), ClientError> {
        let (reason, places) = match sent {
            Ok(()) => {
                self.progress.done.fetch_add(lines.len() as u64, Ordering::Relaxed);
                return Ok(());
            }
            Err(error @ ClientError::Refused { .. }) => {
                let reason = error.to_string();
                let ClientError::Refused { places, .. } = error else { return Ok(()) };
                (reason, places)
            }
            Err(error @ ClientError::NotFound { .. }) => (error.to_string(), vec![]),
            Err(error) => return Err(error),
        };
        for row in blamed(lines, &reason, &places) {
            (self.refused)(row);
        }
        self.progress.refused.fetch_add(lines.len() as u64, Ordering::Relaxed);
        self.progress.done.fetch_add(lines.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn batch_key(&self, kind: &str, n: usize) -> Uuid {
        let delivery = match &self.options.reference {
            Some(reference) => format!("named {reference}"),
            None => self.fingerprint.to_string(),
        };
        Uuid::new_v5(&NAMESPACE, format!("{kind}:{n}:{delivery}").as_bytes())
    }

    fn outcomes(self) -> Vec<Outcome> {
        let ends = self.ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcome = |(outcome, mut times): (String, Vec<u32>)| {
            let orders = times.len() as u64;
            Outcome { outcome, orders, times: Times::of(&mut times) }
        };
        ends.into_iter().map(outcome).collect()
    }
}

/// Whose fault it is. Where a request has many rows, the service names those that are wrong; the
/// others of the request are not taken either, and the reader must know it.
fn blamed(lines: &[u64], reason: &str, places: &[Place]) -> Vec<RefusedRow> {
    let row_of = |place: &Place| -> Option<usize> {
        place.pointer.split('/').nth(2)?.parse().ok().filter(|row| *row < lines.len())
    };
    let named: BTreeMap<usize, &str> =
        places.iter().filter_map(|place| Some((row_of(place)?, place.detail.as_str()))).collect();
    let first = named.keys().next().map(|row| lines[*row]);
    let reason = |(row, line): (usize, &u64)| {
        let reason = match (lines.len(), named.get(&row), first) {
            (1, ..) | (_, None, None) => reason.to_owned(),
            (_, Some(detail), _) => (*detail).to_owned(),
            (_, None, Some(first)) => {
                format!("was sent together with line {first}, which is wrong")
            }
        };
        RefusedRow { line: *line, reason }
    };
    lines.iter().enumerate().map(reason).collect()
}

impl Times {
    /// By nearest rank.
    fn of(times: &mut [u32]) -> Self {
        times.sort_unstable();
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        Self { p50_ms: at(rank(50)), p95_ms: at(rank(95)), max_ms: at(rank(100)) }
    }
}

fn unzip<T>(rows: Vec<Numbered<T>>) -> (Vec<u64>, Vec<T>) {
    rows.into_iter().map(|Numbered { line, row }| (line, row)).unzip()
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
