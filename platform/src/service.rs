//! A service as data: what it reads, decides, emits and serves, on one screen.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use millrace_contract::{Envelope, Event, Topic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::Migrator;
use utoipa_axum::router::OpenApiRouter;

use crate::ask::{Answers, Ask, Asks, Settle};
use crate::consume::keep::{Keeper, Kept};
use crate::consume::reaction::{Folder, Handler, Reaction, Room};
use crate::outbox::Horizon;
use crate::replica::{Materialize, Replica, ReplicaBuilder};
use crate::settings::{NoSettings, SettingsType, Typed};
use crate::{Config, Door, Emit, Fault, FaultPolicy, Poison, Tx, control};

/// The rows a service works on, loaded and saved for a whole batch with one statement for each
/// table, so that the facts of a batch are decided in record order over the same rows.
pub trait WorkingSet: Sized + Send + 'static {
    /// Which rows a batch needs; every decision adds its own.
    type Keys: Default + Send + Sync;

    /// Locks and reads the rows: `= ANY($1) .. FOR UPDATE` with the keys sorted, so that two
    /// transactions lock in the same order.
    fn load(tx: &mut Tx, keys: &Self::Keys) -> impl Future<Output = Result<Self, Fault>> + Send;

    /// Writes what changed, one statement for each table.
    fn save(self, tx: &mut Tx) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What a service decides when it learns of a fact. Pure: no clock, no I/O, no async.
pub trait Decide<E: Event>: WorkingSet {
    /// Adds the rows this fact needs.
    fn keys(fact: &Envelope<E>, keys: &mut Self::Keys);

    /// Decides first and applies after, so that a refused fact leaves the rows as they were.
    fn decide(&mut self, fact: &Envelope<E>, emit: &mut Emit) -> Result<(), Poison>;
}

/// A read model: rows that are nothing but folded facts. It decides nothing, so that reading the
/// topics again is safe by construction.
pub trait View: WorkingSet {
    /// Its tables, as the service's migrations made them. Another build of the view has tables of
    /// the same form.
    const TABLES: &'static [&'static str];

    /// Forgets what the facts of one topic partition have contributed, because they will all be
    /// read again from the beginning.
    fn wipe(
        tx: &mut Tx,
        topic: &str,
        partition: i32,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// How one fact changes a view. No clock, no I/O.
pub trait Fold<E: Event>: View {
    /// Adds the rows this fact changes.
    fn keys(fact: &Envelope<E>, keys: &mut Self::Keys);

    /// Folds the fact into the rows. A fact that is folded twice must change nothing.
    fn fold(&mut self, fact: &Envelope<E>);
}

/// A view that says what its facts amount to: the latest state of each key, in a compacted topic.
/// The topics may be read again at any time, so it has to remember what it has said, in rows that a
/// wipe leaves alone, and must never say less than that.
pub trait Announce: View {
    /// Says what is new of the rows in hand, after the facts of a batch are folded and before they
    /// are saved. No clock, no I/O.
    fn announce(&mut self, emit: &mut Emit);

    /// At most so many keys behind this one in their order, and the last of them as text; none at
    /// the end. The first are behind the empty text. When another build of the view takes the place
    /// of this one, all are looked at again.
    fn behind(
        tx: &mut Tx,
        after: &str,
        limit: i64,
    ) -> impl Future<Output = Result<Option<(Self::Keys, String)>, Fault>> + Send;
}

/// Keeps every fact of its topics as it was written: bytes, headers and place, also of a type that
/// nobody declared. It decides and announces nothing.
pub trait Keep: Send + Sync + 'static {
    /// Whether a fact can be kept at all; one that cannot is parked with its key.
    fn check(fact: &Kept<'_>) -> Result<(), Poison>;

    /// Keeps the new facts of a batch in their order, one statement for each table.
    fn keep(tx: &mut Tx, facts: &[Kept<'_>]) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Work that falls due by the database's clock, such as a deadline.
pub trait Sweep: WorkingSet {
    /// The keys of at most `limit` rows that are due at [`Tx::now`], locked with SKIP LOCKED, and
    /// how many there are.
    fn due(
        tx: &mut Tx,
        limit: i64,
    ) -> impl Future<Output = Result<(Self::Keys, usize), Fault>> + Send;

    /// Decides for every loaded row that is due.
    fn sweep(&mut self, emit: &mut Emit) -> Result<(), Poison>;
}

/// A complete service, ready to be mounted.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) migrations: Option<&'static Migrator>,
    pub(crate) routes: Option<fn() -> OpenApiRouter<Door>>,
    pub(crate) settings: Arc<dyn SettingsType>,
    pub(crate) room: Option<Arc<dyn Room>>,
    pub(crate) replica: Option<Arc<dyn Materialize>>,
    pub(crate) emits: Vec<Emits>,
    pub(crate) asks: Vec<Asks>,
    pub(crate) sweep_every: Option<Duration>,
    pub(crate) fold_code: &'static str,
}

/// A fact a service may emit.
#[derive(Clone, Copy)]
pub(crate) struct Emits {
    pub(crate) name: &'static str,
    pub(crate) topic: &'static Topic,
    pub(crate) schema: &'static str,
}

/// Builds a [`Service`]; `W` is the working set its reactions share.
pub struct ServiceBuilder<W> {
    service: Service,
    reactions: Vec<Reaction<W>>,
}

/// The working set of a service that reacts to nothing.
pub struct Nothing;

impl Service {
    /// Begins a service. The name is its consumer group, its database and its CloudEvents source.
    pub fn named(name: &'static str) -> ServiceBuilder<Nothing> {
        let service = Self {
            name,
            about: "",
            migrations: None,
            routes: None,
            settings: Arc::new(NoSettings),
            room: None,
            replica: None,
            emits: vec![],
            asks: vec![],
            sweep_every: None,
            fold_code: "unnamed",
        };
        ServiceBuilder { service, reactions: vec![] }
    }

    /// The name given to [`Service::named`].
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One sentence on what the service is for.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Facts it reacts to: name and topic.
    pub fn reads(&self) -> Vec<(&'static str, &'static Topic)> {
        let copied = self.replica.as_ref().map(|replica| replica.reads());
        let handled = self.room.as_ref().map(|room| room.reads()).unwrap_or_default();
        handled.into_iter().chain(copied).collect()
    }

    /// Whether its rows are nothing but folded facts.
    pub fn is_view(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.is_view())
    }

    /// Whether it keeps records as they were written, without reading what they say.
    pub fn is_keeper(&self) -> bool {
        let facts = self.room.as_ref().map(|room| room.facts()).unwrap_or_default();
        facts.iter().any(|read| read.schema.is_none())
    }

    /// Whether it answers from a copy of a topic, without database and consumer group.
    pub fn is_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// How long rows of its inbox and outbox are kept under this configuration.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub fn horizon(&self, config: &Config) -> Result<Horizon, String> {
        let reads: Vec<&Topic> = self.reads().into_iter().map(|(_, topic)| topic).collect();
        let emits: Vec<&Topic> = self.emits().into_iter().map(|(_, topic)| topic).collect();
        Horizon::derive(&reads, &emits, config.consume.replay_window)
    }

    /// Facts it emits: name and topic.
    pub fn emits(&self) -> Vec<(&'static str, &'static Topic)> {
        self.emits.iter().map(|emits| (emits.name, emits.topic)).collect()
    }

    /// What it asks outside: the ask's name and the partner's.
    pub fn asks(&self) -> Vec<(&'static str, &'static str)> {
        self.asks.iter().map(|asks| (asks.name, asks.partner)).collect()
    }

    /// Names of all that a decision may write.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &'static str> {
        let asks = self.asks.iter().map(|asks| asks.name);
        self.emits.iter().map(|emits| emits.name).chain(asks)
    }

    /// The first word of its topics, which groups and sources carry too.
    pub(crate) fn domain(&self) -> &'static str {
        let topics = self.reads().into_iter().chain(self.emits());
        let first = topics.map(|(_, topic)| topic.name).next();
        first.and_then(|name| name.split('.').next()).unwrap_or("millrace")
    }

    /// The topic of its dead letters, without the deployment's prefix.
    pub fn dead_letters(&self) -> String {
        control::dead_letters(self.domain(), self.name)
    }

    /// Its HTTP interface as OpenAPI.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        match &self.replica {
            Some(replica) => replica.openapi(self.name, self.about),
            None => crate::http::openapi(self.name, self.about, self.routes),
        }
    }
}

impl<W> ServiceBuilder<W> {
    /// One sentence on what the service is for; it opens the canvas and the OpenAPI document.
    pub fn about(mut self, about: &'static str) -> Self {
        self.service.about = about;
        self
    }

    /// The service's own tables. The platform brings its own beside them.
    pub fn migrations(mut self, migrations: &'static Migrator) -> Self {
        self.service.migrations = Some(migrations);
        self
    }

    /// The front door: commands and queries.
    pub fn http(mut self, routes: fn() -> OpenApiRouter<Door>) -> Self {
        self.service.routes = Some(routes);
        self
    }

    /// Settings of its own, read from `[service.<name>]`; the default must be valid.
    pub fn settings<S>(mut self) -> Self
    where
        S: DeserializeOwned + Serialize + Default + Send + Sync + 'static,
    {
        self.service.settings = Arc::new(Typed::<S>::default());
        self
    }

    /// Declares a fact it emits; an undeclared one is refused.
    pub fn emits<E: Event>(mut self) -> Self {
        self.service.emits.push(Emits { name: E::NAME, topic: E::TOPIC, schema: E::SCHEMA });
        self
    }
}

impl ServiceBuilder<Nothing> {
    /// The rows its reactions decide over. Comes before the first reaction.
    pub fn rows<W: WorkingSet>(self) -> ServiceBuilder<W> {
        ServiceBuilder { service: self.service, reactions: vec![] }
    }

    /// A service that answers from its own copy of a compacted topic.
    pub fn replica<R: Replica>(self) -> ReplicaBuilder<R> {
        ReplicaBuilder::new(self.service)
    }

    /// Keeps every fact of the topics of these facts; those that it does not name are kept too.
    pub fn keeps<K: Keep>(
        mut self,
        facts: impl IntoIterator<Item = (&'static str, &'static Topic)>,
    ) -> Self {
        self.service.room = Some(Arc::new(Keeper::<K>::new(facts)));
        self
    }

    /// A service with a front door, and what it keeps.
    pub fn build(self) -> Service {
        self.service
    }
}

impl<W: WorkingSet> ServiceBuilder<W> {
    /// Reacts to a fact by a decision.
    pub fn on<E: Event>(self) -> Self
    where
        W: Decide<E>,
    {
        self.on_with::<E>(FaultPolicy::default())
    }

    /// Reacts to a fact by a decision, with a policy of its own for records that fail.
    pub fn on_with<E: Event>(mut self, policy: FaultPolicy) -> Self
    where
        W: Decide<E>,
    {
        self.reactions.push(Reaction::decides::<E>(policy));
        self
    }

    /// Asks a partner outside, and decides on its answer.
    pub fn asks<A: Ask, P: Answers<A>>(mut self) -> Self
    where
        W: Settle<A>,
    {
        self.service.asks.push(Asks::of::<W, A, P>());
        self
    }

    /// Looks for due work this often.
    pub fn sweeps(mut self, every: Duration) -> Self
    where
        W: Sweep,
    {
        self.service.sweep_every = Some(every);
        self.reactions.push(Reaction::sweeps());
        self
    }

    /// Folds a fact into the view.
    pub fn folds<E: Event>(mut self) -> Self
    where
        W: Fold<E>,
    {
        self.reactions.push(Reaction::folds::<E>());
        self
    }

    /// Says what the folded facts amount to.
    pub fn announces(mut self) -> Self
    where
        W: Announce,
    {
        self.reactions.push(Reaction::announces());
        self
    }

    /// A service whose rows are decided over: the inbox keeps every fact from acting twice.
    pub fn build(mut self) -> Service {
        self.service.room = Some(Arc::new(Handler::new(self.reactions)));
        self.service
    }

    /// Names the code that folds, for example by a fingerprint of its sources: rows that other code
    /// folded are left as they are, until a build of this code takes their place.
    pub fn fold_code(mut self, fingerprint: &'static str) -> Self {
        self.service.fold_code = fingerprint;
        self
    }

    /// A service whose rows are a view: positions in the topics are kept beside the rows.
    pub fn build_view(mut self) -> Service
    where
        W: View,
    {
        self.service.room = Some(Arc::new(Folder::new(self.reactions, self.service.fold_code)));
        self.service
    }
}
