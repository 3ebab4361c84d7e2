//! Asking a partner outside: the intention is committed with the decision, the call is made outside
//! any transaction, and what is decided on the answer is a transaction of its own. The same ask goes
//! out under the same idempotency key until it is answered; it is never given up.

mod breaker;
mod client;
mod metrics;
mod settle;
mod signature;
mod span;
pub(crate) mod store;
mod worker;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use breaker::BreakerPolicy;
pub(crate) use breaker::Breakers;
pub use client::{Client, Reply};
pub(crate) use metrics::AskMetrics;
pub use settle::Settled;
pub use signature::{sign, verify};

use crate::core::Core;
use crate::service::WorkingSet;
use crate::{Emit, Fault, Health, Poison};

/// Something a service asks of a partner outside. It is stored as JSON until it is answered.
pub trait Ask: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name: `payments.charge`.
    const NAME: &'static str;
    /// What the partner answers. A refusal that is final is an answer too.
    type Answer: Serialize + Send + Sync + 'static;

    /// The idempotency key, the same whenever the same thing is asked for the same purpose.
    fn key(&self) -> String;

    /// The record key of the facts it belongs to, such as an order's id.
    fn stream(&self) -> String;
}

/// Somebody outside, such as a payment provider.
pub trait Partner: Sized + Send + Sync + 'static {
    /// The dependency's name in metrics; whatever is asked of it shares one breaker.
    const NAME: &'static str;
    /// How it is called.
    const POLICY: AskPolicy = AskPolicy::DEFAULT;
    /// The service's settings, of the type given to `ServiceBuilder::settings`.
    type Settings: Default + Send + Sync + 'static;

    /// A client of the partner; `None` when the settings name none: what was asked then waits.
    ///
    /// # Errors
    /// Settings that cannot work. The service does not start.
    fn connect(settings: &Self::Settings) -> Result<Option<Self>, String>;
}

/// A partner that can be asked this.
pub trait Answers<A: Ask>: Partner {
    /// One call under an idempotency key. It runs outside any transaction and may be cut off at
    /// the deadline of the policy.
    fn ask(&self, ask: &A, key: &str) -> impl Future<Output = Result<A::Answer, AskError>> + Send;
}

/// What a service decides when a partner has answered. Pure: no clock, no I/O, no async.
pub trait Settle<A: Ask>: WorkingSet {
    /// Adds the rows this answer needs.
    fn keys(ask: &A, keys: &mut Self::Keys);

    /// Decides first and applies after. Runs once for each ask, however often it is answered.
    fn settle(&mut self, ask: &A, answer: &A::Answer, emit: &mut Emit) -> Result<(), Poison>;
}

/// Why a call brought no answer. In every case it is made again under the same key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The partner is away or speaks nonsense; whether it acted is not known. Counts for the
    /// breaker.
    #[error("{0}")]
    Away(String),
    /// The partner is there and does not take this call. Whether it ever will is for a person to
    /// look at: it is asked again, rarely, and the breaker does not count it.
    #[error("{0}")]
    Refused(String),
    /// The partner has taken it and does not know the answer yet.
    #[error("the partner has not decided yet")]
    Pending,
}

/// How a partner is called.
#[derive(Debug, Clone, Copy)]
pub struct AskPolicy {
    /// Calls of one ask in flight at the same time.
    pub at_once: usize,
    /// How long one call may take.
    pub deadline: Duration,
    /// Longest pause before the first repetition; it doubles with each, under full jitter.
    pub retry_base: Duration,
    /// Longest pause between repetitions.
    pub retry_max: Duration,
    /// How often a partner that has not decided yet is asked again.
    pub pending_every: Duration,
    /// When it is left alone.
    pub breaker: BreakerPolicy,
}

impl AskPolicy {
    /// 16 at once, 2 s for each call, pauses from 200 ms to 10 s, and the default breaker.
    pub const DEFAULT: Self = Self {
        at_once: 16,
        deadline: Duration::from_secs(2),
        retry_base: Duration::from_millis(200),
        retry_max: Duration::from_secs(10),
        pending_every: Duration::from_secs(5),
        breaker: BreakerPolicy::DEFAULT,
    };
}

/// One kind of ask of a service, its types erased.
#[derive(Clone, Copy)]
pub(crate) struct Asks {
    pub(crate) name: &'static str,
    pub(crate) partner: &'static str,
    pub(crate) breaker: BreakerPolicy,
    /// Refuses settings with which the partner cannot be called.
    pub(crate) check: fn(&Arc<dyn Any + Send + Sync>) -> Result<(), String>,
    /// The worker: ends when it is stopped and its calls in flight have ended.
    pub(crate) run: RunFn,
}

type RunFn = fn(
    Arc<Core>,
    Health,
    watch::Receiver<bool>,
    CancellationToken,
) -> BoxFuture<'static, Result<(), Fault>>;

impl Asks {
    pub(crate) fn of<W: Settle<A>, A: Ask, P: Answers<A>>() -> Self {
        Self {
            name: A::NAME,
            partner: P::NAME,
            breaker: P::POLICY.breaker,
            check: |settings| connect::<P>(settings).map(drop),
            run: |core, health, held, stop| {
                Box::pin(worker::run::<W, A, P>(core, health, held, stop))
            },
        }
    }
}

fn connect<P: Partner>(settings: &Arc<dyn Any + Send + Sync>) -> Result<Option<P>, String> {
    P::connect(&settings.clone().downcast::<P::Settings>().unwrap_or_default())
}
