//! What changes, in the order of each partition, from any place in the topic on. A feed has no queue:
//! it reads the store, so that a slow reader costs nothing and sees the latest state of each key.
//! Its marks are places in the topic and mean the same on every replica.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;

use axum::http::StatusCode;
use millrace_contract::Event;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::lookup::{Lookup, decoded, failed};
use super::row::{Place, Row};
use super::{Key, Replica};
use crate::Problem;

/// Changes read at once.
const CHUNK: usize = 64;
/// Partitions that marks may name.
const MARKS_MAX: usize = 1024;

/// The next offset of each partition; what is not named begins at the beginning. Its text is
/// `0.17,1.4`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<u32, u64>);

/// Why a text is no marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a list of partitions and offsets such as 0.17,1.4")]
pub struct MarksError;

/// What happened to a key.
pub enum News<R: Replica> {
    /// It has this state.
    State(R::State),
    /// Its state was taken back.
    Erased(Key<R>),
}

/// Follows changes until the service ends.
pub struct Feed<R: Replica> {
    lookup: Lookup<R>,
    only: Option<Vec<u8>>,
    marks: Marks,
    ready: VecDeque<(Place, News<R>)>,
    changes: watch::Receiver<u64>,
    _place: Subscription,
}

/// A place among those who follow.
struct Subscription {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Marks {
    pub(super) fn new(next: BTreeMap<u32, u64>) -> Self {
        Self(next)
    }

    fn pass(&mut self, place: Place) {
        self.0.insert(place.partition, place.offset + 1);
    }

    fn next(&self, partition: u32) -> u64 {
        self.0.get(&partition).copied().unwrap_or(0)
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (partition, next)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{partition}.{next}")?;
        }
        Ok(())
    }
}

impl FromStr for Marks {
    type Err = MarksError;

    fn from_str(text: &str) -> Result<Self, MarksError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let mut marks = BTreeMap::new();
        for pair in text.split(',').take(MARKS_MAX + 1) {
            let (partition, next) = pair.split_once('.').ok_or(MarksError)?;
            if !digits(partition) || !digits(next) {
                return Err(MarksError);
            }
            let partition = partition.parse().map_err(|_| MarksError)?;
            let next = next.parse().ok().filter(|next| *next <= i64::MAX as u64);
            let twice = marks.insert(partition, next.ok_or(MarksError)?).is_some();
            if twice || marks.len() > MARKS_MAX {
                return Err(MarksError);
            }
        }
        Ok(Self(marks))
    }
}

impl<R: Replica> Feed<R> {
    pub(super) fn begin(
        lookup: Lookup<R>,
        only: Option<Vec<u8>>,
        marks: Marks,
    ) -> Result<Self, Problem> {
        let shared = &lookup.shared;
        let permit = shared.places.clone().try_acquire_owned().map_err(|_| {
            let detail = "As many follow the changes as this replica takes. Ask another one.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "too_many_subscribers", detail).retry_after(5)
        })?;
        let gauge = shared.subscribers.clone();
        gauge.inc();
        let place = Subscription { gauge, _permit: permit };
        let changes = shared.changes();
        Ok(Self { lookup, only, marks, ready: VecDeque::new(), changes, _place: place })
    }

    /// The next change, and the marks behind it. `None` when the service ends, or the copy is made
    /// anew: then the client comes again.
    pub async fn next(&mut self) -> Option<(Marks, News<R>)> {
        loop {
            if let Some((place, news)) = self.ready.pop_front() {
                self.marks.pass(place);
                return Some((self.marks.clone(), news));
            }
            let shared = &self.lookup.shared;
            if shared.stop.is_cancelled() || !shared.is_open() {
                return None;
            }
            self.changes.borrow_and_update();
            match self.read() {
                Ok(news) if news.is_empty() => {}
                Ok(news) => {
                    self.ready = news;
                    continue;
                }
                Err(problem) => {
                    tracing::debug!(code = problem.code(), "a feed ends");
                    return None;
                }
            }
            let stop = shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }

    fn read(&self) -> Result<VecDeque<(Place, News<R>)>, Problem> {
        let view = self.lookup.shared.store.read().map_err(failed)?;
        let mut rows = vec![];
        match &self.only {
            Some(key) => rows.extend(view.row(key, <[u8]>::to_vec).map_err(failed)?),
            None => {
                for (partition, next) in view.next().map_err(failed)? {
                    let from = Place { partition, offset: self.marks.next(partition) };
                    if from.offset < next {
                        rows.extend(view.changed(from, CHUNK).map_err(failed)?);
                    }
                }
            }
        }
        let mut news = VecDeque::new();
        for bytes in rows {
            let Some(Row { place, content, .. }) = Row::read(&bytes) else { continue };
            if place.offset < self.marks.next(place.partition) {
                continue;
            }
            news.extend(match decoded::<R::State>(&bytes)? {
                (Some(state), _) => Some((place, News::State(state))),
                (None, _) => {
                    let key = std::str::from_utf8(content).ok().and_then(|key| key.parse().ok());
                    key.map(|key: <R::State as Event>::Key| (place, News::Erased(key)))
                }
            });
        }
        Ok(news)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_are_written_and_nothing_else_is() {
        for text in ["0.0", "0.17,1.4", "5.9223372036854775807"] {
            assert_eq!(text.parse::<Marks>().unwrap().to_string(), text);
        }
        let wrong =
            ["", "1", "1.", ".1", "-1.2", "+1.2", "1.2,", "1.2,1.3", "1.9223372036854775808"];
        for text in wrong {
            assert_eq!(text.parse::<Marks>(), Err(MarksError), "{text}");
        }
        let many: Vec<String> = (0..=MARKS_MAX).map(|n| format!("{n}.0")).collect();
        assert_eq!(many.join(",").parse::<Marks>(), Err(MarksError));
    }
}
