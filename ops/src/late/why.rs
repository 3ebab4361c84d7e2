//! Why a fact is late, from what was found. Pure: the first thing that holds the order up is the
//! answer, in the order in which an operator would look.

use schemas::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Owed, span};
use crate::status::Group;

/// A key that waits in a service's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// retrying, held, dead or redriving.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub due_at: Option<Timestamp>,
    /// Fingerprint of what went wrong.
    pub cause: String,
    /// The record it waits for.
    pub letter: Option<Uuid>,
    /// What went wrong.
    pub message: String,
}

/// A question to a partner outside that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was asked.
    pub attempts: i32,
    /// What was said last.
    pub error: Option<String>,
}

/// What was found out about one service and one order. What could not be asked is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The service.
    pub service: String,
    /// Whether the order waits there.
    pub parked: Option<Parked>,
    /// Whether it waits for a partner because of the order.
    pub asking: Option<Asking>,
    /// How its group is.
    pub group: Option<Group>,
    /// Facts of the order that are decided and not published: how many, and since when.
    pub unpublished: Option<(i64, Timestamp)>,
    /// How many facts of the order it has said.
    pub said: Option<u64>,
    /// The next offset its group reads in the partition of the fact it has to react to.
    pub next_offset: Option<i64>,
    /// What could not be asked, and why.
    pub blind: Vec<String>,
}

/// Why a fact is late.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named by what they hold")]
pub enum Why {
    /// The order waits behind a dead letter.
    DeadLetter { service: String, letter: Option<Uuid>, cause: String, message: String },
    /// A record of the order is tried again and again.
    Retrying { service: String, cause: String, message: String, due_at: Option<Timestamp> },
    /// A fact of the order that came before is missing.
    Held { service: String, message: String },
    /// An operator's redrive has it in hand.
    Redriving { service: String },
    /// Somebody outside is not called at the moment.
    BreakerOpen { service: String, breaker: String, state: String },
    /// A partner was asked and has not answered.
    Asking { service: String, partner: String, since: Timestamp, attempts: i32, error: String },
    /// An operator paused it.
    Paused { service: String, what: String },
    /// The partition stopped at a record.
    Stopped { service: String, reason: String },
    /// A condition of the service does not hold.
    Unready { service: String, condition: String, reason: String },
    /// Nobody of the service gives a sign.
    Away { service: String, last_sign: Option<Timestamp> },
    /// It is decided, and not published.
    Unpublished { service: String, facts: i64, since: Timestamp },
    /// It was said, and the order view has not folded it.
    ViewBehind { service: String },
    /// The record has not been read yet.
    Lagging { service: String, records: i64 },
    /// Nothing was found.
    Unknown { blind: Vec<String> },
}

/// Why a fact is owed. The first evidence is that of the service that owes it; the others are those
/// of the services before it, which can only have parked the order.
pub fn why(owed: &Owed, evidence: &[Evidence]) -> Why {
    let Some((owing, before)) = evidence.split_first() else {
        return Why::Unknown { blind: vec![] };
    };
    let found = parked(owing).or_else(|| breaker(owing)).or_else(|| asking(owing));
    let found = found.or_else(|| by_group(owed, owing)).or_else(|| by_log(owed, owing));
    let found = found.or_else(|| before.iter().find_map(parked));
    found.unwrap_or_else(|| {
        let blind = evidence.iter().flat_map(|it| it.blind.iter().cloned());
        Why::Unknown { blind: blind.collect() }
    })
}

fn parked(evidence: &Evidence) -> Option<Why> {
    let Parked { state, due_at, cause, letter, message, .. } = evidence.parked.clone()?;
    let service = evidence.service.clone();
    Some(match state.as_str() {
        "retrying" => Why::Retrying { service, cause, message, due_at },
        "held" => Why::Held { service, message },
        "redriving" => Why::Redriving { service },
        _ => Why::DeadLetter { service, letter, cause, message },
    })
}

fn breaker(evidence: &Evidence) -> Option<Why> {
    let (breaker, state) = evidence.group.as_ref()?.breakers.first_key_value()?;
    let (service, breaker, state) = (evidence.service.clone(), breaker.clone(), state.clone());
    Some(Why::BreakerOpen { service, breaker, state })
}

fn asking(evidence: &Evidence) -> Option<Why> {
    let Asking { name: partner, since, attempts, error } = evidence.asking.clone()?;
    let (service, error) = (evidence.service.clone(), error.unwrap_or_default());
    Some(Why::Asking { service, partner, since, attempts, error })
}

/// What the group says of itself.
fn by_group(owed: &Owed, evidence: &Evidence) -> Option<Why> {
    let service = || evidence.service.clone();
    let group = evidence.group.as_ref()?;
    let place = format!("{}/{}", owed.after.topic, owed.after.partition);
    let holds = |what: &&String| [&place, &owed.after.topic, "group"].contains(&what.as_str());
    if let Some(what) = group.paused.iter().find(holds) {
        return Some(Why::Paused { service: service(), what: what.clone() });
    }
    // Who does not live says nothing more about its partitions, and lags only because of it.
    if group.instances == 0 {
        return Some(Why::Away { service: service(), last_sign: group.last_sign });
    }
    let stopped = group.faults.get("partitions").filter(|why| why.contains(&format!("{place} ")));
    if let Some(reason) = stopped {
        return Some(Why::Stopped { service: service(), reason: reason.clone() });
    }
    let unready = group.faults.iter().find(|(name, _)| *name != "partitions");
    unready.map(|(condition, reason)| {
        let (condition, reason) = (condition.clone(), reason.clone());
        Why::Unready { service: service(), condition, reason }
    })
}

/// What its outbox and its offsets say.
fn by_log(owed: &Owed, evidence: &Evidence) -> Option<Why> {
    let service = evidence.service.clone();
    if let Some((facts, since)) = evidence.unpublished {
        return Some(Why::Unpublished { service, facts, since });
    }
    if evidence.said.is_some_and(|said| said > owed.known) {
        return Some(Why::ViewBehind { service });
    }
    let next = evidence.next_offset?;
    let records = owed.after.offset - next + 1;
    (records > 0).then_some(Why::Lagging { service, records })
}

impl Why {
    /// In words that follow a colon.
    pub fn sentence(&self, now: Timestamp) -> String {
        match self {
            Self::DeadLetter { service, letter, cause, message } => {
                let letter = letter
                    .map_or_else(|| "a dead letter".to_owned(), |id| format!("dead letter {id}"));
                format!("parked in {service} behind {letter}, cause {cause}: {message}")
            }
            Self::Retrying { service, message, due_at, .. } => {
                let due = due_at.map(|at| format!(", next at {at}")).unwrap_or_default();
                format!("{service} tries it again{due}: {message}")
            }
            Self::Held { service, .. } => {
                format!("parked in {service}: a fact of this order that came before is missing")
            }
            Self::Redriving { service } => format!("{service} is redriving it just now"),
            Self::BreakerOpen { service, breaker, state } => {
                format!("the circuit breaker {breaker} of {service} is {state}")
            }
            Self::Asking { service, partner, since, attempts, error } => {
                let error = if error.is_empty() { String::new() } else { format!(": {error}") };
                let since = span(*since, now);
                format!(
                    "{service} waits for {partner} since {since}, asked {attempts} times{error}"
                )
            }
            Self::Paused { service, what } if what == "group" => {
                format!("an operator paused {service}")
            }
            Self::Paused { service, what } => format!("an operator paused {what} in {service}"),
            Self::Stopped { service, reason } => format!("a partition of {service}: {reason}"),
            Self::Unready { service, condition, reason } => {
                format!("{service} is not ready, {condition}: {reason}")
            }
            Self::Away { service, last_sign: Some(at) } => {
                format!("{service} is down: no sign of it for {}", span(*at, now))
            }
            Self::Away { service, last_sign: None } => format!("{service} is down: no sign of it"),
            Self::Unpublished { service, facts, since } => format!(
                "{service} has decided, and {facts} of its facts wait in the outbox since {}",
                span(*since, now)
            ),
            Self::ViewBehind { service } => {
                format!("{service} has said it, the order view has not heard it yet")
            }
            Self::Lagging { service, records } => {
                format!("{service} lags: {records} records are read before it is done")
            }
            Self::Unknown { blind } if blind.is_empty() => "unknown: no cause found".to_owned(),
            Self::Unknown { blind } => format!("unknown: no cause found; {}", blind.join("; ")),
        }
    }

    /// The command to go on with.
    pub fn command(&self) -> String {
        match self {
            Self::DeadLetter { letter: Some(id), .. } => format!("millrace dlq show {id}"),
            Self::DeadLetter { cause, .. } | Self::Retrying { cause, .. } => {
                format!("millrace dlq list --cause {cause} --status any")
            }
            Self::Held { service, .. } => {
                format!("millrace dlq list --service {service} --status waiting")
            }
            Self::Redriving { .. } => "millrace operation list".to_owned(),
            Self::Paused { service, what } if what == "group" => {
                format!("millrace group resume {service}")
            }
            Self::ViewBehind { .. } => "millrace group show order-view".to_owned(),
            Self::Unknown { .. } => "millrace doctor".to_owned(),
            Self::BreakerOpen { service, .. }
            | Self::Asking { service, .. }
            | Self::Paused { service, .. }
            | Self::Stopped { service, .. }
            | Self::Unready { service, .. }
            | Self::Away { service, .. }
            | Self::Unpublished { service, .. }
            | Self::Lagging { service, .. } => format!("millrace group show {service}"),
        }
    }
}
