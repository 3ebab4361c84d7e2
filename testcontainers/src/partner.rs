//! A payment provider for tests: idempotent as a good one, and as slow, wrong, down, late and
//! forgetful as it is told to be. It keeps a ledger of every call, so that a test can say who was
//! charged how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use millrace::ask::sign;
use millrace::{Money, Secret};
use serde_json::{Value, json};

use crate::check::PartnerCall;
use crate::serve::Served;

/// An event is sent again until it is taken, so often.
const EVENT_ATTEMPTS: u32 = 100;
const EVENT_PAUSE: Duration = Duration::from_millis(200);

/// A running provider; it ends when this is dropped.
pub struct Provider {
    address: SocketAddr,
    served: Mutex<Option<Served>>,
    state: Arc<Mutex<Till>>,
}

/// How a provider behaves, until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// It answers after this time.
    pub slow: Duration,
    /// What it answers.
    pub reply: Wire,
    /// It says `pending` first and decides after this time.
    pub late: Option<Duration>,
    /// How often it sends each event; 0 for a provider that sends none.
    pub events: usize,
    /// It refuses charges with this reason.
    pub refuses: Option<String>,
}

/// What of an answer reaches the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// The answer.
    Right,
    /// 500, and nothing was done.
    Fails,
    /// Something that is no JSON, although it was done.
    Garbage,
    /// Another amount than was moved.
    WrongAmount,
    /// Nothing: it was done, and the connection is cut.
    Lost,
}

#[derive(Default)]
struct Till {
    behaviour: Behaviour,
    secret: Secret,
    events_to: Option<String>,
    calls: Vec<PartnerCall>,
    done: BTreeMap<String, Done>,
}

/// What was done under a key.
#[derive(Clone)]
struct Done {
    kind: String,
    asked: Value,
    refused: Option<String>,
    /// Not decided before this time.
    decided: tokio::time::Instant,
}

impl Default for Behaviour {
    fn default() -> Self {
        let (slow, reply, late, refuses) = (Duration::ZERO, Wire::Right, None, None);
        Self { slow, reply, late, events: 0, refuses }
    }
}

impl Provider {
    /// Starts one that signs its events with this secret and behaves well.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(secret: &str) -> Result<Self> {
        let till = Till { secret: Secret::new(secret), ..Till::default() };
        let state = Arc::new(Mutex::new(till));
        let served = Served::start("provider", router(&state))?;
        let address = served.address();
        Ok(Self { address, served: Mutex::new(Some(served)), state })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes its behaviour.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// Where it sends its events to.
    pub fn events_to(&self, url: impl Into<String>) {
        lock(&self.state).events_to = Some(url.into());
    }

    /// Refuses every connection, and cuts those that are open.
    pub fn down(&self) {
        drop(lock(&self.served).take());
    }

    /// Listens again, at the same address.
    ///
    /// # Errors
    /// When somebody has taken its port meanwhile.
    pub fn up(&self) -> Result<()> {
        *lock(&self.served) =
            Some(Served::start_at("provider", self.address, router(&self.state))?);
        Ok(())
    }

    /// Every call in the order of arrival, as evidence for the checker.
    pub fn calls(&self) -> Vec<PartnerCall> {
        lock(&self.state).calls.clone()
    }

    /// How many charges and how many refunds of an order took effect.
    pub fn moved(&self, order: &str) -> (usize, usize) {
        let till = lock(&self.state);
        let count = |kind: &str| {
            let done = till.done.values().filter(|done| done.kind == kind);
            done.filter(|done| done.asked["order"] == order && done.refused.is_none()).count()
        };
        (count("charges"), count("refunds"))
    }

    /// The state of an order's charge as an event would tell it.
    pub fn charge_event(&self, order: &str) -> Option<Value> {
        let till = lock(&self.state);
        let mut done = till.done.iter();
        let of =
            |(_, done): &(&String, &Done)| done.kind == "charges" && done.asked["order"] == order;
        done.find(of).map(|(key, done)| event(key, done))
    }
}

fn router(state: &Arc<Mutex<Till>>) -> Router {
    Router::new().route("/{kind}", post(called)).with_state(state.clone())
}

async fn called(
    State(state): State<Arc<Mutex<Till>>>,
    Path(kind): Path<String>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|_| matches!(kind.as_str(), "charges" | "refunds")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (behaviour, done, first) = lock(&state).take(&kind, key, asked);
    if first && behaviour.events > 0 {
        tokio::spawn(send_events(state.clone(), key.to_owned(), done.clone(), behaviour.events));
    }
    tokio::time::sleep(behaviour.slow).await;
    let pending = tokio::time::Instant::now() < done.decided;
    let mut body = told(&done);
    if pending {
        body["status"] = json!("pending");
    }
    match behaviour.reply {
        Wire::Right if pending => (StatusCode::ACCEPTED, Json(body)).into_response(),
        Wire::Right => Json(body).into_response(),
        Wire::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Wire::Garbage => "<html>all is well</html>".into_response(),
        Wire::WrongAmount => {
            body["amount"] = json!("0.01");
            Json(body).into_response()
        }
        Wire::Lost => {
            let cut = Err::<Bytes, _>(std::io::Error::other("cut"));
            Body::from_stream(futures::stream::iter([cut])).into_response()
        }
    }
}

impl Till {
    /// Does what is asked once for each key, and notes the call.
    fn take(&mut self, kind: &str, key: &str, asked: Value) -> (Behaviour, Done, bool) {
        let behaviour = self.behaviour.clone();
        let refuses = behaviour.refuses.clone().filter(|_| kind == "charges");
        let late = behaviour.late.unwrap_or_default();
        let (subject, amount) = about(&asked);
        let new = Done {
            kind: kind.to_owned(),
            asked,
            refused: refuses,
            decided: tokio::time::Instant::now() + late,
        };
        let known = self.done.get(key).cloned();
        let first = known.is_none() && behaviour.reply != Wire::Fails;
        let effective = first && new.refused.is_none();
        if first {
            self.done.insert(key.to_owned(), new.clone());
        }
        let (purpose, key) = (kind.trim_end_matches('s').to_owned(), key.to_owned());
        self.calls.push(PartnerCall { subject, purpose, key, amount, effective });
        (behaviour, known.unwrap_or(new), first)
    }
}

/// The order and the amount in minor units that a call is about.
fn about(asked: &Value) -> (String, i64) {
    let order = asked["order"].as_str().unwrap_or_default().to_owned();
    let currency = asked["currency"].as_str().and_then(|code| code.parse().ok());
    let amount = asked["amount"].as_str().zip(currency);
    let amount = amount.and_then(|(amount, currency)| Money::parse(amount, currency).ok());
    (order, amount.map(Money::minor).unwrap_or_default())
}

/// What became of it, once it is decided.
fn told(done: &Done) -> Value {
    let mut told = done.asked.clone();
    told["status"] = json!(if done.refused.is_some() { "refused" } else { "accepted" });
    if let Some(reason) = &done.refused {
        told["reason"] = json!(reason);
    }
    told
}

fn event(key: &str, done: &Done) -> Value {
    let mut event = told(done);
    event["id"] = json!(format!("event-{key}"));
    event["type"] = json!(done.kind.trim_end_matches('s'));
    event
}

/// Sends the event until it was taken so many times.
async fn send_events(state: Arc<Mutex<Till>>, key: String, done: Done, times: usize) {
    tokio::time::sleep_until(done.decided).await;
    let body = event(&key, &done).to_string();
    let (url, secret) = {
        let till = lock(&state);
        (till.events_to.clone(), till.secret.clone())
    };
    let Some(url) = url else { return };
    let http = reqwest::Client::new();
    let mut taken = 0;
    for _ in 0..EVENT_ATTEMPTS {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = sign(&secret, now, body.as_bytes());
        let request = http.post(&url).header("Provider-Signature", signature).body(body.clone());
        taken += usize::from(request.send().await.is_ok_and(|it| it.status().is_success()));
        if taken == times {
            return;
        }
        tokio::time::sleep(EVENT_PAUSE).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
