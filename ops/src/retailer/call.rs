//! One call of a service: how it is made, when it is made again, and what an answer means.

use std::fmt;
use std::time::{Duration, Instant};

use rand::Rng;
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Retailer;

/// Longest pause before the first repetition; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause of all.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long one answer may take, on top of what the call itself waits for.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why a service did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers, or only to say that it cannot now.
    #[error("{service} does not answer at {url}: {reason}")]
    Unreachable {
        /// Name of the service.
        service: String,
        /// What was called.
        url: String,
        /// What happened.
        reason: String,
    },
    /// There is no such thing.
    #[error("{detail}")]
    NotFound {
        /// Stable name of the reason.
        code: String,
        /// The reason in words.
        detail: String,
    },
    /// The service understood and says no: asking again does not help.
    #[error("{detail}{} ({code})", Listed(places))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable name of the reason.
        code: String,
        /// The reason in words.
        detail: String,
        /// Every place in the request that is wrong.
        places: Vec<Place>,
    },
    /// The service failed, or its answer is not understood.
    #[error("{service} failed at {url}: {reason}")]
    Failed {
        /// Name of the service.
        service: String,
        /// What was called.
        url: String,
        /// What happened.
        reason: String,
    },
}

/// A place in a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// JSON pointer into the body, or the name of a parameter.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// Places as they follow a sentence.
struct Listed<'a>(&'a [Place]);

/// One request, which can be made more than once.
#[derive(Debug, Clone)]
pub(super) struct Call {
    service: &'static str,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    key: Option<Uuid>,
    body: Option<Value>,
    wait: Duration,
}

/// How one attempt ended badly.
enum Attempt {
    /// For good.
    Over(ClientError),
    /// The service never got it, or said to come back: everything may be tried again.
    Untouched(ClientError),
    /// The service may have done it: only what is safe to repeat may be tried again.
    Unknown(ClientError),
}

/// The body of an answer of 400 or more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    errors: Vec<Place>,
}

impl Call {
    pub(super) fn new(service: &'static str, method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        let (query, key, body, wait) = (vec![], None, None, Duration::ZERO);
        Self { service, method, path, query, key, body, wait }
    }

    /// The service acts once for this key, so that the call may be repeated.
    pub(super) fn key(mut self, key: Uuid) -> Self {
        self.key = Some(key);
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// The service may hold its answer back this long.
    pub(super) fn waits(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self.query("wait", format!("{}ms", wait.as_millis()))
    }

    fn repeatable(&self) -> bool {
        self.key.is_some() || self.method != Method::POST
    }

    fn url(&self, base: &str) -> Result<Url, String> {
        let mut url: Url = base.parse().map_err(|error| format!("{base}: {error}"))?;
        let mut path = url.path_segments_mut().map_err(|()| format!("{base}: not a base URL"))?;
        path.pop_if_empty().extend(&self.path);
        drop(path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

impl Retailer {
    /// Calls and reads the answer.
    pub(super) async fn answer<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let (url, bytes) = self.call(&call).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Failed {
            service: call.service.to_owned(),
            url: url.to_string(),
            reason: format!("the answer is not understood: {error}"),
        })
    }

    /// Calls where only the success of it matters.
    pub(super) async fn done(&self, call: Call) -> Result<(), ClientError> {
        self.call(&call).await.map(drop)
    }

    async fn call(&self, call: &Call) -> Result<(Url, Vec<u8>), ClientError> {
        let url = self.url(call)?;
        let until = Instant::now() + self.patience;
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match self.attempt(call, &url).await {
                Ok(bytes) => return Ok((url, bytes)),
                Err(Attempt::Over(error)) => return Err(error),
                Err(Attempt::Unknown(error)) if !call.repeatable() => return Err(error),
                Err(Attempt::Untouched(error) | Attempt::Unknown(error)) => error,
            };
            let jittered = rand::rng().random_range(Duration::ZERO..=pause);
            if Instant::now() + jittered > until {
                return Err(error);
            }
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn url(&self, call: &Call) -> Result<Url, ClientError> {
        let unknown = || format!("no URL is known of {}", call.service);
        let base = self.endpoints.services.get(call.service).ok_or_else(unknown);
        base.and_then(|base| call.url(base)).map_err(|reason| ClientError::Unreachable {
            service: call.service.to_owned(),
            url: "an unknown place".to_owned(),
            reason,
        })
    }

    async fn attempt(&self, call: &Call, url: &Url) -> Result<Vec<u8>, Attempt> {
        let mut request = self.http.request(call.method.clone(), url.clone());
        request = request.timeout(ANSWER_MAX + call.wait).header(ACCEPT, "application/json");
        if let Some(key) = call.key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let unreachable = |error: &reqwest::Error| ClientError::Unreachable {
            service: call.service.to_owned(),
            url: url.to_string(),
            reason: innermost(error),
        };
        let answer = request.send().await.map_err(|error| match error.is_connect() {
            true => Attempt::Untouched(unreachable(&error)),
            false => Attempt::Unknown(unreachable(&error)),
        })?;
        let status = answer.status();
        let moved = answer.headers().contains_key(LOCATION) && status.is_redirection();
        let bytes = answer.bytes().await.map_err(|error| Attempt::Unknown(unreachable(&error)))?;
        if status.is_success() && !moved {
            return Ok(bytes.into());
        }
        Err(refusal(call, url, status, &bytes))
    }
}

fn refusal(call: &Call, url: &Url, status: StatusCode, bytes: &[u8]) -> Attempt {
    let (service, url) = (call.service.to_owned(), url.to_string());
    let problem: Option<Problem> = serde_json::from_slice(bytes).ok();
    let problem = problem.filter(|problem| !problem.code.is_empty());
    let Some(Problem { code, detail, errors: places }) = problem else {
        let reason = format!("it answers {status} and gives no reason");
        return match status.as_u16() {
            429 => Attempt::Untouched(ClientError::Unreachable { service, url, reason }),
            502..=504 => Attempt::Unknown(ClientError::Unreachable { service, url, reason }),
            _ => Attempt::Over(ClientError::Failed { service, url, reason }),
        };
    };
    match status.as_u16() {
        429 => Attempt::Untouched(ClientError::Unreachable { service, url, reason: detail }),
        502..=504 => Attempt::Unknown(ClientError::Unreachable { service, url, reason: detail }),
        409 if code == "idempotency_key_in_use" => {
            Attempt::Untouched(ClientError::Refused { status: 409, code, detail, places })
        }
        404 => Attempt::Over(ClientError::NotFound { code, detail }),
        status @ 400..=499 => Attempt::Over(ClientError::Refused { status, code, detail, places }),
        _ => Attempt::Over(ClientError::Failed { service, url, reason: detail }),
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Place { pointer, detail }| write!(f, " {pointer}: {detail}"))
    }
}

/// The cause at the bottom; the client's own text says only that it failed.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
