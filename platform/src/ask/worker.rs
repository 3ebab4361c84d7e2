//! The worker of one kind of ask: it leases what is due, calls several at once outside any
//! transaction, and settles the answers that are in. While the partner's breaker is open it leases
//! nothing, so that no attempt is burnt. It never gives an ask up.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Leave, Stand};
use super::settle::settle_called;
use super::span::AskSpan;
use super::store::{self, Again, Leased};
use super::{Answers, Ask, AskError, Partner, Settle, connect};
use crate::core::{Core, in_time};
use crate::telemetry::parse_traceparent;
use crate::{Fault, Health, fail};

/// How often the table is looked at when no commit and no end of a call is a reason to.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often what waits is counted.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How often what was answered long ago is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// A lease outlasts its call by this, so that what a dead process has asked is soon asked again. If
/// the settlement takes longer, the partner hears a repetition, and the ask is settled once anyway.
const LEASE_MARGIN: Duration = Duration::from_secs(3);
/// A transaction that ran into another one is repeated so often.
const SETTLE_ATTEMPTS_MAX: usize = 3;

/// Calls what is due until it is stopped, and then ends what is in flight.
pub(super) async fn run<W, A, P>(
    core: Arc<Core>,
    health: Health,
    mut held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault>
where
    W: Settle<A>,
    A: Ask,
    P: Answers<A>,
{
    let partner = connect::<P>(&core.settings).map_err(Fault::poison)?.map(Arc::new);
    core.metrics.asks().breaker(P::NAME, Stand::Closed);
    let mut changes = core.changes.subscribe();
    let (calls, looked) = (JoinSet::new(), Looked::new());
    let mut worker = Worker::<A, P> { core, health, partner, calls, looked };
    loop {
        let stopping = stop.is_cancelled();
        if stopping && worker.calls.is_empty() {
            return Ok(());
        }
        if !stopping && !*held.borrow_and_update() {
            worker.call_due().await;
        }
        worker.look().await;
        let first = tokio::select! {
            Some(called) = worker.calls.join_next() => Some(called),
            () = stop.cancelled(), if !stopping => None,
            _ = changes.changed(), if !stopping => None,
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let more = std::iter::from_fn(|| worker.calls.try_join_next());
        let called: Vec<_> = first.into_iter().chain(more).filter_map(Result::ok).collect();
        worker.end::<W>(called).await;
    }
}

struct Worker<A: Ask, P> {
    core: Arc<Core>,
    health: Health,
    partner: Option<Arc<P>>,
    calls: JoinSet<Called<A>>,
    looked: Looked,
}

/// When the table was measured and cleaned.
struct Looked {
    measured: Option<Instant>,
    forgot: Instant,
}

/// A call that has ended.
struct Called<A: Ask> {
    key: String,
    attempts: i32,
    leave: Leave,
    outcome: Result<A::Answer, AskError>,
}

impl Looked {
    fn new() -> Self {
        Self { measured: None, forgot: Instant::now() }
    }
}

impl<A: Ask, P: Answers<A>> Worker<A, P> {
    /// Begins as many calls as there is room for and the breaker lets through.
    async fn call_due(&mut self) {
        let Some(partner) = self.partner.clone() else { return };
        let free = P::POLICY.at_once.saturating_sub(self.calls.len());
        if free == 0 {
            return;
        }
        let leave = self.breaker(|breaker| breaker.leave(Instant::now(), free));
        let Some(leave) = leave.filter(|leave| leave.calls > 0) else { return };
        let time = P::POLICY.deadline + LEASE_MARGIN;
        let due = in_time(store::lease(&self.core.pool, A::NAME, leave.calls, time)).await;
        let due = due.unwrap_or_else(|fault| {
            tracing::warn!(service = self.core.service, ask = A::NAME, error = %fault, "not asked");
            vec![]
        });
        let unused = leave.calls - due.len();
        self.breaker(|breaker| breaker.give_back(leave, unused));
        for leased in due {
            self.calls.spawn(call::<A, P>(self.core.clone(), partner.clone(), leased, leave));
        }
    }

    /// Settles what was answered and puts off what was not.
    async fn end<W: Settle<A>>(&mut self, called: Vec<Called<A>>) {
        let mut answers = BTreeMap::new();
        let mut again = vec![];
        for Called { key, attempts, leave, outcome } in called {
            let success = !matches!(outcome, Err(AskError::Away(_)));
            self.breaker(|breaker| breaker.record(Instant::now(), leave, success));
            match outcome {
                Ok(answer) => {
                    answers.insert(key, answer);
                }
                Err(AskError::Pending) => {
                    let after = P::POLICY.pending_every;
                    again.push(Again { key, after, error: None });
                }
                Err(AskError::Refused(reason)) => {
                    let after = P::POLICY.retry_max;
                    again.push(Again { key, after, error: Some(reason) });
                }
                Err(AskError::Away(reason)) => {
                    let after = pause::<P>(attempts);
                    again.push(Again { key, after, error: Some(reason) });
                }
            }
        }
        if !answers.is_empty() {
            again.extend(settle_all::<W, A, P>(&self.core, answers).await);
        }
        if let Err(fault) = in_time(store::again(&self.core.pool, A::NAME, &again)).await {
            // They fall due by themselves when their leases are over.
            tracing::warn!(service = self.core.service, ask = A::NAME, error = %fault, "not put off");
        }
    }

    async fn look(&mut self) {
        if self.looked.measured.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return;
        }
        self.looked.measured = Some(Instant::now());
        let metrics = self.core.metrics.asks();
        match in_time(store::pending(&self.core.pool, A::NAME)).await {
            Ok((count, oldest)) => metrics.pending(A::NAME, count, oldest),
            Err(error) => tracing::debug!(ask = A::NAME, %error, "what waits was not counted"),
        }
        if self.looked.forgot.elapsed() >= FORGET_EVERY {
            self.looked.forgot = Instant::now();
            if let Err(error) = in_time(store::forget(&self.core.pool)).await {
                tracing::warn!(ask = A::NAME, %error, "old answers were not forgotten");
            }
        }
    }

    fn breaker<T>(&self, work: impl FnOnce(&mut Breaker) -> T) -> Option<T> {
        let (done, before, after) = self.core.breakers.with(P::NAME, work)?;
        if before != after {
            self.core.metrics.asks().turned(P::NAME, after);
            let (service, from, to) = (self.core.service, before.as_str(), after.as_str());
            tracing::warn!(service, dependency = P::NAME, from, to, "circuit breaker");
            let told = (after != Stand::Closed).then(|| format!("its breaker is {to}"));
            self.health.note(P::NAME, told);
        }
        Some(done)
    }
}

/// One call under its deadline; a panic of the partner's client is an answer that did not come.
async fn call<A: Ask, P: Answers<A>>(
    core: Arc<Core>,
    partner: Arc<P>,
    leased: Leased,
    leave: Leave,
) -> Called<A> {
    let Leased { key, body, attempts, traceparent } = leased;
    fail::point("ask.before_call");
    let began = Instant::now();
    let parent = traceparent.as_deref().and_then(parse_traceparent);
    let mut span = AskSpan::begin(&core.tracing, A::NAME, P::NAME, attempts, parent);
    let outcome = match serde_json::from_value::<A>(body) {
        Ok(ask) => {
            let work = AssertUnwindSafe(partner.ask(&ask, &key)).catch_unwind();
            match tokio::time::timeout(P::POLICY.deadline, work).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(AskError::Away("the call panicked".to_owned())),
                Err(_) => {
                    let deadline = P::POLICY.deadline;
                    Err(AskError::Away(format!("no answer within {deadline:?}")))
                }
            }
        }
        Err(error) => Err(AskError::Away(format!("the stored ask cannot be read: {error}"))),
    };
    let told = match &outcome {
        Ok(_) => "answered",
        Err(AskError::Pending) => "pending",
        Err(AskError::Refused(reason)) => {
            tracing::warn!(ask = A::NAME, key, attempts, reason, "the partner refuses the call");
            "refused"
        }
        Err(AskError::Away(_)) => "away",
    };
    match told {
        "answered" | "pending" => fail::point("ask.after_call"),
        failed => span.fail(failed),
    }
    core.metrics.asks().called(A::NAME, told, began.elapsed());
    Called { key, attempts, leave, outcome }
}

/// Settles a batch as one transaction, and one by one when one of them cannot be settled: that one
/// is told loudly and asked again. What the database could not take is asked again under the same
/// key once its lease is over.
async fn settle_all<W, A, P>(core: &Core, answers: BTreeMap<String, A::Answer>) -> Vec<Again>
where
    W: Settle<A>,
    A: Ask,
    P: Partner,
{
    let Err(fault) = settle_batch::<W, A>(core, &answers).await else { return vec![] };
    let mut again = vec![];
    let single = answers.len() == 1;
    for (key, answer) in answers {
        let fault = match (&fault, single) {
            (Fault::Poison(source), true) => Fault::poison(source.to_string()),
            (Fault::Poison(_), false) => {
                let one = BTreeMap::from([(key.clone(), answer)]);
                match settle_batch::<W, A>(core, &one).await {
                    Ok(()) => continue,
                    Err(fault) => fault,
                }
            }
            (Fault::Transient(source), _) => Fault::transient(source.to_string()),
        };
        let service = core.service;
        if fault.is_transient() {
            tracing::warn!(service, ask = A::NAME, key, error = %fault, "answer not settled");
            continue;
        }
        tracing::error!(service, ask = A::NAME, key, error = %fault, "answer cannot be settled");
        let error = Some(format!("the answer cannot be settled: {fault}"));
        again.push(Again { key, after: P::POLICY.retry_max, error });
    }
    again
}

async fn settle_batch<W, A>(core: &Core, answers: &BTreeMap<String, A::Answer>) -> Result<(), Fault>
where
    W: Settle<A>,
    A: Ask,
{
    let mut tries = 1;
    loop {
        let work = AssertUnwindSafe(settle_called::<W, A>(core, answers)).catch_unwind();
        let settled = in_time(async { Ok(work.await) }).await.and_then(|settled| {
            settled.unwrap_or_else(|_| Err(Fault::poison("the decision panicked")))
        });
        match settled {
            Ok(_) => return Ok(()),
            Err(fault) if fault.is_transient() && tries < SETTLE_ATTEMPTS_MAX => tries += 1,
            Err(fault) => return Err(fault),
        }
    }
}

/// Full jitter under a growing cap: a crowd that lost its partner does not return as one.
fn pause<P: Partner>(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    let cap = P::POLICY.retry_base.saturating_mul(1 << doublings).min(P::POLICY.retry_max);
    cap.mul_f64(rand::random_range(0.0..=1.0))
}
