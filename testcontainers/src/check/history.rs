//! What clients did and what they were told, noted before and after each request and never
//! changed. It judges nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::evidence::sha256;

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// To make something new under an idempotency key.
    Place,
    /// To end it early.
    Cancel,
    /// To see how it stands.
    Read,
}

/// How something stood when a client looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The status by its name.
    pub status: String,
    /// How many facts were known.
    pub version: u64,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970, for people.
    pub at_ms: i64,
    /// The request it belongs to.
    pub op: u64,
    /// What happened.
    pub step: Step,
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is about to be sent.
    Invoke {
        /// Who sends it.
        client: String,
        /// What for.
        act: Act,
        /// The idempotency key.
        key: Option<String>,
        /// What it is about, if that is known before.
        subject: Option<String>,
        /// The version the answer must not be below.
        token: Option<u64>,
    },
    /// It was done.
    Ok {
        /// What it was about.
        subject: Option<String>,
        /// sha256 of the answer's body.
        answer: String,
        /// What was seen.
        seen: Option<Seen>,
    },
    /// It was refused for good: nothing was done.
    Fail {
        /// In the words of the answer.
        why: String,
    },
    /// Nobody knows whether it was done.
    Info {
        /// What was seen instead of an answer.
        why: String,
    },
}

/// A history that is being written, by any number of clients at once.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Entry>>);

impl History {
    /// Notes that a request is about to be sent, and gives it a number.
    pub fn invoke(
        &self,
        client: &str,
        act: Act,
        key: Option<&str>,
        subject: Option<&str>,
        token: Option<u64>,
    ) -> u64 {
        let mut entries = self.open();
        let op = entries.len() as u64;
        let (client, key) = (client.to_owned(), key.map(str::to_owned));
        let subject = subject.map(str::to_owned);
        entries.push(Entry {
            at_ms: now_ms(),
            op,
            step: Step::Invoke { client, act, key, subject, token },
        });
        op
    }

    /// Notes that a request was done, and what the answer was.
    pub fn ok(&self, op: u64, subject: Option<&str>, body: &[u8], seen: Option<Seen>) {
        let (subject, answer) = (subject.map(str::to_owned), sha256(body));
        self.push(op, Step::Ok { subject, answer, seen });
    }

    /// Notes that a request was refused for good.
    pub fn fail(&self, op: u64, why: impl Into<String>) {
        self.push(op, Step::Fail { why: why.into() });
    }

    /// Notes that nobody knows what became of a request.
    pub fn info(&self, op: u64, why: impl Into<String>) {
        self.push(op, Step::Info { why: why.into() });
    }

    /// All that was noted so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.open().clone()
    }

    fn push(&self, op: u64, step: Step) {
        self.open().push(Entry { at_ms: now_ms(), op, step });
    }

    fn open(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// A request from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its number, which is also where in the history it began.
    pub op: u64,
    /// Who sent it.
    pub client: String,
    /// What for.
    pub act: Act,
    /// The idempotency key.
    pub key: Option<String>,
    /// What it was about, if that was known before.
    pub subject: Option<String>,
    /// The version the answer must not be below.
    pub token: Option<u64>,
    /// Its end and where in the history that is; `None` when it was never noted.
    pub end: Option<(usize, Step)>,
}

/// The requests of a history in the order in which they began.
pub fn ops(entries: &[Entry]) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for (at, Entry { op, step, .. }) in entries.iter().enumerate() {
        match step.clone() {
            Step::Invoke { client, act, key, subject, token } => {
                ops.push(Op { op: *op, client, act, key, subject, token, end: None });
            }
            end => {
                if let Some(begun) = ops.iter_mut().rev().find(|begun| begun.op == *op) {
                    begun.end = Some((at, end));
                }
            }
        }
    }
    ops
}
