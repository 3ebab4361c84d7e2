//! Orders placed at a steady rate, whatever the answers take: an open model. Each time counts from the
//! moment that was planned, so that an order that had to wait for its turn has waited. Every order is
//! followed to its end, and looked at once more when all have ended.

mod shop;
mod times;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use schemas::OrderId;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::retailer::Retailer;

use shop::Order;
pub use shop::Shop;
use times::Recorder;
pub use times::Times;

/// Orders that are followed at the same time, at most: each holds a request of the order view, which
/// answers 512. Those beyond it are not sent, and counted.
const IN_FLIGHT_MAX: usize = 400;
/// How long one look at an order waits for its end.
const LOOK: Duration = Duration::from_secs(20);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Looks at the same time, when all have ended.
const AGAIN_AT_ONCE: usize = 16;
/// A generator that sends later than this, one time of a hundred, measures itself.
const DELAY_MAX_MS: f64 = 5.0;
/// From the first look at the clock to the first order.
const LEAD: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Orders in each second.
    pub rate: f64,
    /// For how long orders are placed.
    pub time: Duration,
    /// How long an order may take to end before it counts as lost.
    pub patience: Duration,
}

/// How far a run has come; to be read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Orders in each second, as planned.
    pub rate: f64,
    /// Seconds in which orders were placed.
    pub seconds: f64,
    /// Orders that the plan has until then.
    pub planned: u64,
    /// Those that were sent.
    pub sent: u64,
    /// Those that were not, because too many were on their way.
    pub unsent: u64,
    /// Those whose placing was answered with an error, or with nothing.
    pub errors: u64,
    /// What the first of them said.
    pub error: Option<String>,
    /// How many orders ended how.
    pub outcomes: BTreeMap<String, u64>,
    /// Orders that were accepted and did not end in time.
    pub lost: u64,
    /// Orders that ended otherwise than confirmed: in this shop that is never the order's fault.
    pub unconfirmed: u64,
    /// Orders that had ended otherwise when they were looked at again, or could not be looked at.
    pub changed: u64,
    /// From the planned moment to the answer of the door.
    pub http: Times,
    /// From the planned moment until the order view says how it ended.
    pub order_decided: Times,
    /// From the planned moment to the sending: the generator's own delay.
    pub send_delay: Times,
    /// Why nothing can be concluded from this run.
    pub void: Option<String>,
}

/// What happened to one order.
enum News {
    Sent(Duration),
    Accepted(Duration),
    Failed(Duration, String),
    Ended(OrderId, String, Duration),
    Lost,
}

impl Progress {
    /// Orders that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Orders that have ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Orders that were not accepted, or are lost.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Plan {
    /// Orders of the whole plan.
    pub fn orders(&self) -> u64 {
        (self.rate * self.time.as_secs_f64()).round() as u64
    }

    /// When an order is to be sent, after the beginning.
    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// Places the orders of a plan in a shop and follows each to its end. When it is told to stop, no more
/// are placed; those on their way are still followed.
pub async fn run(
    retailer: &Retailer,
    shop: &Shop,
    plan: Plan,
    progress: &Progress,
    stop: &CancellationToken,
) -> Report {
    // An order that is sent twice would be measured as one that was slow.
    let retailer = retailer.clone().with_patience(Duration::ZERO);
    let (news, heard) = mpsc::channel(1024);
    let placing = place(&retailer, shop, plan, news, stop);
    let (planned, mut tally) = tokio::join!(placing, listen(heard, progress));
    tally.changed = changed(&retailer, &tally.ends, plan.patience).await;
    tally.report(plan, planned)
}

/// How many orders were planned until it ended.
async fn place(
    retailer: &Retailer,
    shop: &Shop,
    plan: Plan,
    news: mpsc::Sender<News>,
    stop: &CancellationToken,
) -> u64 {
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let begin = Instant::now() + LEAD;
    for number in 0..plan.orders() {
        let due = begin + plan.due(number);
        tokio::select! {
            () = stop.cancelled() => return number,
            () = sleep_until(due) => {}
        }
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (retailer, order, news) = (retailer.clone(), shop.order(number), news.clone());
        tokio::spawn(async move {
            one(&retailer, order, due, plan.patience, &news).await;
            drop(place);
        });
    }
    plan.orders()
}

async fn one(
    retailer: &Retailer,
    order: Order,
    due: Instant,
    patience: Duration,
    news: &mpsc::Sender<News>,
) {
    // Whoever listens has gone when the run was given up.
    let tell = async |one| drop(news.send(one).await);
    tell(News::Sent(due.elapsed())).await;
    let Order { customer, store, lines } = order;
    let placed = retailer.place_order(&customer, &store, &lines, Uuid::now_v7()).await;
    let answered = due.elapsed();
    match placed {
        Err(error) => tell(News::Failed(answered, error.to_string())).await,
        Ok(placed) => {
            tell(News::Accepted(answered)).await;
            let ended = timeout_at(due + patience, end(retailer, placed.order_id)).await;
            let ended = ended.map(|status| News::Ended(placed.order_id, status, due.elapsed()));
            tell(ended.unwrap_or(News::Lost)).await;
        }
    }
}

/// How an order ended, once it has.
async fn end(retailer: &Retailer, order: OrderId) -> String {
    loop {
        match retailer.order(order, Some(LOOK)).await {
            Ok(view) if view.has_ended() => return view.status,
            Ok(_) => {}
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

/// How many orders have ended otherwise than they had, or cannot be looked at in time.
async fn changed(retailer: &Retailer, ends: &[(OrderId, String)], patience: Duration) -> u64 {
    let looks = ends.iter().map(|(order, status)| async move {
        let view = retailer.clone().with_patience(Retailer::PATIENCE).order(*order, None).await;
        view.is_ok_and(|view| view.status == *status)
    });
    let looks = futures::stream::iter(looks).buffer_unordered(AGAIN_AT_ONCE);
    let looks = looks.take_until(sleep_until(Instant::now() + patience));
    let same = looks.fold(0, |same, look| async move { same + u64::from(look) }).await;
    ends.len() as u64 - same
}

async fn listen(mut heard: mpsc::Receiver<News>, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    while let Some(news) = heard.recv().await {
        match news {
            News::Sent(delay) => {
                tally.send_delay.add(delay);
                count(&progress.sent);
            }
            News::Accepted(took) => {
                tally.http.add(took);
                tally.accepted += 1;
            }
            News::Failed(took, error) => {
                tally.http.add(took);
                tally.errors += 1;
                tally.error.get_or_insert(error);
                count(&progress.failed);
            }
            News::Ended(order, status, took) => {
                tally.order_decided.add(took);
                tally.ends.push((order, status));
                count(&progress.ended);
            }
            News::Lost => count(&progress.failed),
        }
    }
    tally
}

/// What was heard of all orders.
#[derive(Default)]
struct Tally {
    http: Recorder,
    order_decided: Recorder,
    send_delay: Recorder,
    ends: Vec<(OrderId, String)>,
    errors: u64,
    error: Option<String>,
    accepted: u64,
    changed: u64,
}

impl Tally {
    fn report(self, plan: Plan, planned: u64) -> Report {
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        self.ends.iter().for_each(|(_, status)| *outcomes.entry(status.clone()).or_default() += 1);
        let ended = self.ends.len() as u64;
        let confirmed = outcomes.get("confirmed").copied().unwrap_or_default();
        let send_delay = self.send_delay.times();
        let sent = send_delay.count;
        Report {
            rate: plan.rate,
            seconds: plan.due(planned).as_secs_f64(),
            planned,
            sent,
            unsent: planned.saturating_sub(sent),
            errors: self.errors,
            error: self.error,
            outcomes,
            lost: self.accepted - ended,
            unconfirmed: ended - confirmed,
            changed: self.changed,
            http: self.http.times(),
            order_decided: self.order_decided.times(),
            void: void(planned, &send_delay),
            send_delay,
        }
    }
}

fn void(planned: u64, delay: &Times) -> Option<String> {
    if planned == 0 {
        return Some("it ended before the first order was due".to_owned());
    }
    (delay.p99_ms > DELAY_MAX_MS).then(|| {
        format!(
            "one order of a hundred was sent {:.1} ms or more after its time: the generator did not \
             get the processor",
            delay.p99_ms
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: f64, seconds: u64) -> Plan {
        Plan { rate, time: Duration::from_secs(seconds), patience: Duration::from_secs(1) }
    }

    #[test]
    fn orders_are_planned_at_equal_distances() {
        let plan = plan(200.0, 3);
        assert_eq!(plan.orders(), 600);
        assert_eq!(plan.due(599), Duration::from_millis(2_995));
    }

    #[test]
    fn a_run_without_its_orders_proves_nothing() {
        let times = |count: u64, millis| {
            let mut recorder = Recorder::default();
            (0..count).for_each(|_| recorder.add(Duration::from_millis(millis)));
            recorder.times()
        };
        assert_eq!(void(100, &times(100, 1)), None);
        assert!(void(100, &times(100, 9)).is_some_and(|why| why.contains("processor")));
        assert!(void(0, &times(0, 0)).is_some());
    }

    #[tokio::test]
    async fn what_nobody_answers_is_an_error_and_no_order_is_left_out() {
        let endpoints = crate::Endpoints {
            services: ["orders", "order-view"]
                .map(|name| (name.to_owned(), "http://127.0.0.1:9".to_owned()))
                .into(),
            ..crate::Endpoints::default()
        };
        let (retailer, progress) = (Retailer::new(endpoints), Progress::default());
        let shop = Shop::new("test");
        let stop = CancellationToken::new();
        let report = run(&retailer, &shop, plan(50.0, 1), &progress, &stop).await;
        assert_eq!((report.planned, report.sent, report.errors), (50, 50, 50));
        assert_eq!((report.unsent, report.lost, report.unconfirmed), (0, 0, 0));
        assert_eq!((report.http.count, progress.failed()), (50, 50));
        assert!(report.error.is_some_and(|error| error.contains("orders")));
    }
}
