//! One customer at the doors of the services: asks any instance, asks again under the same key when
//! nobody answers, and writes down each attempt before and after it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::check::{Act, History, Seen};
use harness::fault::Field;
use rand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

/// Nobody has to wait longer for an answer, whatever is away.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Before the second attempt at most; it doubles with each, up to the last.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Everybody's way to the services.
pub(crate) struct Client<'a> {
    http: reqwest::Client,
    history: &'a History,
    orders: Vec<String>,
    views: Vec<String>,
    turn: AtomicUsize,
}

/// What came of one request.
enum Answer {
    Done(Vec<u8>),
    Refused(String),
    Unknown(String),
}

impl<'a> Client<'a> {
    pub(crate) fn new(field: &Field, history: &'a History) -> Result<Self> {
        let urls = |service: &str| -> Vec<String> {
            let instances = field.fleet().of(service).filter(|instance| !instance.is_spare());
            instances.map(|instance| instance.url()).collect()
        };
        let http = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
        let (orders, views) = (urls("orders"), urls("order-view"));
        Ok(Self { http, history, orders, views, turn: AtomicUsize::new(0) })
    }

    /// Places an order, asking until somebody answers or the time is over. Answers its id.
    pub(crate) async fn place(
        &self,
        customer: &str,
        key: Uuid,
        body: &Value,
        until: Instant,
    ) -> Option<String> {
        let name = key.to_string();
        let mut longest = PAUSE;
        loop {
            let op = self.history.invoke(customer, Act::Place, Some(&name), None, None);
            let url = format!("{}/v1/orders", self.any(&self.orders));
            let request = self.http.post(url).header("idempotency-key", format!("\"{name}\""));
            match answer(request.json(body)).await {
                Answer::Done(bytes) => {
                    let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                    let order = told["order_id"].as_str().map(str::to_owned);
                    self.history.ok(op, order.as_deref(), &bytes, None);
                    return order;
                }
                Answer::Refused(why) => {
                    self.history.fail(op, why);
                    return None;
                }
                Answer::Unknown(why) => self.history.info(op, why),
            }
            if Instant::now() > until {
                return None;
            }
            pause(longest).await;
            longest = (longest * 2).min(PAUSE_MAX);
        }
    }

    /// Asks once for an order to be cancelled.
    pub(crate) async fn cancel(&self, customer: &str, order: &str) {
        let op = self.history.invoke(customer, Act::Cancel, None, Some(order), None);
        let url = format!("{}/v1/orders/{order}/cancel", self.any(&self.orders));
        match answer(self.http.post(url).json(&json!({ "reason": "changed my mind" }))).await {
            Answer::Done(bytes) => self.history.ok(op, Some(order), &bytes, None),
            Answer::Refused(why) => self.history.fail(op, why),
            Answer::Unknown(why) => self.history.info(op, why),
        }
    }

    /// Looks once at an order.
    pub(crate) async fn look(&self, customer: &str, order: &str) {
        let op = self.history.invoke(customer, Act::Read, None, Some(order), None);
        let url = format!("{}/v1/orders/{order}", self.any(&self.views));
        match answer(self.http.get(url)).await {
            Answer::Done(bytes) => {
                let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let status = told["status"].as_str().unwrap_or_default().to_owned();
                let version = told["version"].as_u64().unwrap_or_default();
                let seen = Some(Seen { status, version });
                self.history.ok(op, Some(order), &bytes, seen);
            }
            Answer::Refused(why) => self.history.fail(op, why),
            Answer::Unknown(why) => self.history.info(op, why),
        }
    }

    /// The instances in their turn.
    fn any<'b>(&self, urls: &'b [String]) -> &'b str {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        urls.get(turn % urls.len().max(1)).map_or("", String::as_str)
    }
}

/// Before the next attempt, at a moment of its own: those who failed together do not come back
/// together.
pub(crate) async fn pause(longest: Duration) {
    let jittered = rand::rng().random_range(longest / 2..=longest);
    tokio::time::sleep_until((Instant::now() + jittered).into()).await;
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answered = async {
        let answer = request.send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
    };
    let (status, bytes) = match answered.await {
        Ok(answered) => answered,
        Err(error) => return Answer::Unknown(format!("{error:?}")),
    };
    let said = || format!("{status}: {}", String::from_utf8_lossy(&bytes));
    match status.as_u16() {
        200..=299 => Answer::Done(bytes.into()),
        // The first attempt under this key may still be at work.
        409 if String::from_utf8_lossy(&bytes).contains("idempotency_key_in_use") => {
            Answer::Unknown(said())
        }
        429 => Answer::Unknown(said()),
        400..=499 => Answer::Refused(said()),
        _ => Answer::Unknown(said()),
    }
}
