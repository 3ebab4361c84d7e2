//! What the routes of a replica read: one key, a list, and what changes. Everything is read from the
//! store of this process; nobody else has to be there.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use millrace_contract::{Event, Timestamp, Topic};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Marks};
use super::row::{self, Place, Row};
use super::store::{Kept, Store, StoreError};
use super::{Key, Replica};
use crate::Problem;

/// A list looks at this many rows at most, so that what hardly anything fits costs no more.
const SCANNED_MAX: usize = 20_000;

/// The store of a replica and what its thread says of it.
pub(crate) struct Shared {
    pub(super) store: Store,
    pub(super) topic: &'static Topic,
    /// It may be read.
    open: AtomicBool,
    changes: watch::Sender<u64>,
    /// When it was known to be as the topic.
    current: Mutex<Instant>,
    stale: AtomicU64,
    pub(super) stop: CancellationToken,
    /// Places for those who follow the changes.
    pub(super) places: Arc<Semaphore>,
    pub(super) subscribers: Gauge,
}

/// A replica as its routes see it. Cheap to clone.
pub struct Lookup<R> {
    pub(super) shared: Arc<Shared>,
    kind: PhantomData<fn() -> R>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<S> {
    /// Its state. `None` when it was taken back, or when only a record came that cannot be read.
    pub state: Option<S>,
    /// Where that was read.
    pub place: Option<Place>,
    /// Why the topic has a later record of the key that is not in the state.
    pub stale: Option<String>,
}

/// Which states are listed: those under one value of one index, the last first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The number of the index.
    pub index: u8,
    /// The value.
    pub value: String,
    /// Only those at or after this moment.
    pub from: Option<Timestamp>,
    /// Only those before this moment.
    pub until: Option<Timestamp>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// States at most.
    pub limit: usize,
}

/// States, the last first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<S> {
    /// At most as many as were asked for. There may be fewer although there are more to come.
    pub states: Vec<S>,
    /// The cursor of the next page; `None` on the last one.
    pub next: Option<String>,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        topic: &'static Topic,
        subscribers: (usize, Gauge),
        stop: CancellationToken,
    ) -> Self {
        Self {
            store,
            topic,
            open: AtomicBool::new(false),
            changes: watch::channel(0).0,
            current: Mutex::new(Instant::now()),
            stale: AtomicU64::new(0),
            stop,
            places: Arc::new(Semaphore::new(subscribers.0)),
            subscribers: subscribers.1,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.changed();
    }

    /// Nobody is answered until it is open again.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn is_current(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago it was known to be as the topic.
    pub(super) fn behind(&self) -> Duration {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Counts them anew.
    pub(super) fn stale_keys(&self) -> Result<u64, StoreError> {
        let stale = self.store.read()?.stale_keys()?;
        self.stale.store(stale, Ordering::Release);
        Ok(stale)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl<R: Replica> Lookup<R> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, kind: PhantomData }
    }

    /// What is known of a key; `None` when nothing is.
    pub fn get(&self, key: &Key<R>) -> Result<Option<Held<R::State>>, Problem> {
        self.must_be_open()?;
        let key = R::row(key);
        if self.shared.stale.load(Ordering::Acquire) > 0 {
            let kept = self.shared.store.read().and_then(|view| view.get(&key));
            return held(kept.map_err(failed)?);
        }
        let read = |bytes: &[u8]| decoded::<R::State>(bytes);
        let row = self.shared.store.read().and_then(|view| view.row(&key, read)).map_err(failed)?;
        let known = row.transpose()?;
        Ok(known.map(|(state, place)| Held { state, place: Some(place), stale: None }))
    }

    /// The states under a value of an index that are wanted, the last first.
    pub async fn scan(
        &self,
        scan: Scan,
        wanted: impl Fn(&R::State) -> bool + Send + 'static,
    ) -> Result<Page<R::State>, Problem> {
        self.must_be_open()?;
        let shared = self.shared.clone();
        let work = move || page(&shared, &scan, wanted);
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "a list was not made");
            Problem::internal()
        })?
    }

    /// Follows the changes of all keys, or of one, from these marks on.
    pub fn follow(&self, only: Option<&Key<R>>, from: Marks) -> Result<Feed<R>, Problem> {
        self.must_be_open()?;
        Feed::begin(self.clone(), only.map(R::row), from)
    }

    /// Where it is: marks to follow what comes later.
    pub fn now(&self) -> Result<Marks, Problem> {
        self.must_be_open()?;
        let next = self.shared.store.read().and_then(|view| view.next()).map_err(failed)?;
        Ok(Marks::new(next))
    }

    /// Changes after each commit, for answers that wait for news.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes()
    }

    /// How old the copy may be: nothing that was published longer ago is missing from it.
    pub fn behind(&self) -> Duration {
        self.shared.behind()
    }

    fn must_be_open(&self) -> Result<(), Problem> {
        if self.shared.is_open() {
            return Ok(());
        }
        let detail = "This replica has not read its topic yet. Try again, or ask another one.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Err(Problem::new(status, "replica_not_ready", detail).retry_after(1))
    }
}

impl<R> Clone for Lookup<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), kind: PhantomData }
    }
}

pub(super) fn failed(error: StoreError) -> Problem {
    tracing::error!(%error, "the store of the replica");
    Problem::internal()
}

/// The state in a row, or that there is none any more, and its place.
pub(super) fn decoded<S: Event>(bytes: &[u8]) -> Result<(Option<S>, Place), Problem> {
    let wrong = |told: String| {
        tracing::error!(told, "a row of the replica cannot be read");
        Problem::internal()
    };
    let row = Row::read(bytes).ok_or_else(|| wrong("it is too short".to_owned()))?;
    if !row.lives {
        return Ok((None, row.place));
    }
    let state = S::from_datum(row.content).map_err(|error| wrong(error.to_string()))?;
    Ok((Some(state), row.place))
}

fn held<S: Event>(Kept { row, stale }: Kept) -> Result<Option<Held<S>>, Problem> {
    let known = row.map(|row| decoded::<S>(&row)).transpose()?;
    if known.is_none() && stale.is_none() {
        return Ok(None);
    }
    let (state, place) = known.unzip();
    Ok(Some(Held { state: state.flatten(), place, stale }))
}

fn page<S: Event>(
    shared: &Shared,
    scan: &Scan,
    wanted: impl Fn(&S) -> bool,
) -> Result<Page<S>, Problem> {
    let prefix = row::prefix(scan.index, &scan.value);
    let bound = |rest: &[u8]| [prefix.as_slice(), rest].concat();
    let from = scan.from.map_or(prefix.clone(), |from| bound(&row::moment(from)));
    let past = |rest: &[u8]| [&prefix[..prefix.len() - 1], &[1], rest].concat();
    let mut below = scan.until.map_or(past(&[]), |until| bound(&row::moment(until)));
    if let Some(cursor) = &scan.cursor {
        let rest = row::read_cursor(cursor).ok_or_else(wrong_cursor)?;
        below = below.min(bound(&rest));
    }
    let (mut states, mut scanned, mut last) = (vec![], 0, None);
    let mut fault = None;
    if from < below {
        let read = shared.store.read().map_err(failed)?;
        let taken = read.scan(&from, &below, prefix.len() + 8, |entry, bytes| {
            match decoded::<S>(bytes) {
                Ok((Some(state), _)) if wanted(&state) => states.push(state),
                Ok(_) => {}
                Err(problem) => fault = Some(problem),
            }
            scanned += 1;
            let more = states.len() < scan.limit && scanned < SCANNED_MAX && fault.is_none();
            if !more {
                last = entry.get(prefix.len()..).map(row::cursor);
            }
            more
        });
        taken.map_err(failed)?;
    }
    match fault {
        Some(problem) => Err(problem),
        None => Ok(Page { states, next: last }),
    }
}

fn wrong_cursor() -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "The query is not valid.");
    problem.at("cursor", "it is not a next_cursor of this list")
}
