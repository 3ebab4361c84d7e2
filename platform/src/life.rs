//! The owner of a service's tasks: it waits for what is away, starts the work, watches over it, and
//! ends it in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::consume::{self, Conditions};
use crate::core::{Core, in_time};
use crate::migrate::{Unmigrated, migrate};
use crate::outbox::{self, Horizon};
use crate::replica::Mounted;
use crate::runtime::{RunError, learn_schema_ids, missing};
use crate::service::Service;
use crate::{Condition, Door, Fault, Health, RegistryError, control, http, parking, projection};

/// How often dependencies are looked at, and the pause between attempts at start.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look at the database that takes longer counts as a failure.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Partitions of inbox and outbox are looked after this often.
const MAINTAIN_EVERY: Duration = Duration::from_secs(3600);

/// The owner of a service's tasks.
pub(crate) struct Life {
    pub(crate) core: Arc<Core>,
    pub(crate) service: Arc<Service>,
    /// The copy it answers from, if it is a replica.
    pub(crate) replica: Option<Arc<dyn Mounted>>,
    pub(crate) health: Health,
    /// Holds from the moment that all work is begun.
    pub(crate) started: Condition,
    pub(crate) stop: CancellationToken,
    /// Kept, so that a service outlives the handle it was mounted with.
    pub(crate) held: watch::Sender<bool>,
}

impl Life {
    /// Lives until it is stopped or a part of it ends by itself.
    pub(crate) async fn run(self, listener: TcpListener) -> Result<(), RunError> {
        let held = self.held.subscribe();
        let (http_stop, relay_stop) = (CancellationToken::new(), CancellationToken::new());
        let mut http = JoinSet::new();
        http.spawn(self.serve(listener, http_stop.clone()));
        let mut relay = JoinSet::new();
        let mut work: JoinSet<Result<(), Fault>> = JoinSet::new();
        let outcome = match self.prepare().await {
            Err(error) => Err(error),
            Ok(false) => Ok(()),
            Ok(true) => {
                self.start(&mut work, &mut relay, held, &relay_stop);
                self.started.ok();
                self.watch_over(&mut work, &mut relay, &mut http).await
            }
        };
        self.health.drain();
        self.stop.cancel();
        let drain = self.core.config.shutdown.drain;
        let ended = tokio::time::timeout(drain, async {
            while work.join_next().await.is_some() {}
            http_stop.cancel();
            while http.join_next().await.is_some() {}
            relay_stop.cancel();
            while relay.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(service = self.service.name, ?drain, "drain was cut off");
        }
        let (tracing, deadline) = (self.core.tracing.clone(), Duration::from_secs(2));
        if tokio::task::spawn_blocking(move || tracing.shutdown(deadline)).await.is_err() {
            tracing::debug!("trace exporter panicked at its end");
        }
        let closed = async { tokio::join!(self.core.line.close(), self.core.pool.close()) };
        if tokio::time::timeout(LOOK_MAX, closed).await.is_err() {
            tracing::debug!("database connections did not close in time");
        }
        outcome
    }

    fn serve(
        &self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let settings = self.core.config.http.clone();
        let router = match &self.replica {
            Some(replica) => replica.router(&self.core, &self.service, self.health.clone()),
            None => self.router(),
        };
        async move { http::serve(listener, router, &settings, stop).await }
    }

    fn router(&self) -> Router {
        let routes = self.service.routes.map(|routes| routes()).unwrap_or_default();
        let door = Door { core: self.core.clone() };
        http::router(
            self.service.name,
            self.service.about,
            routes,
            door,
            self.health.clone(),
            self.core.metrics.clone(),
            self.core.tracing.clone(),
            &self.core.config.http,
        )
    }

    /// Waits for database, registry and broker; `false` when it was stopped before they came.
    async fn prepare(&self) -> Result<bool, RunError> {
        if self.replica.is_some() {
            return Ok(true);
        }
        loop {
            let prepared = tokio::select! {
                () = self.stop.cancelled() => return Ok(false),
                prepared = self.try_prepare() => prepared,
            };
            match prepared {
                Ok(()) => return Ok(true),
                Err(Unprepared::Refused(error)) => return Err(error),
                Err(Unprepared::Waiting(reason)) => {
                    tracing::info!(service = self.service.name, reason, "waiting");
                    self.started.not(reason);
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn try_prepare(&self) -> Result<(), Unprepared> {
        if self.core.schema_ids.get().is_none() {
            learn_schema_ids(&self.core, &self.service).await?;
        }
        migrate(&self.core.pool, self.service.migrations).await?;
        in_time(projection::ensure(&self.core)).await?;
        in_time(outbox::maintain(&self.core.pool, &self.core.horizon)).await?;
        Ok(())
    }

    fn start(
        &self,
        work: &mut JoinSet<Result<(), Fault>>,
        relay: &mut JoinSet<()>,
        held: watch::Receiver<bool>,
        relay_stop: &CancellationToken,
    ) {
        if let Some(replica) = &self.replica {
            work.spawn(replica.run(self.core.clone(), &self.health));
            return;
        }
        if !self.service.emits.is_empty() || self.service.room.is_some() {
            let condition = self.health.condition("relay");
            condition.not("connecting to the broker");
            relay.spawn(outbox::run(self.core.clone(), condition, relay_stop.clone()));
        }
        for asks in &self.service.asks {
            let (core, health) = (self.core.clone(), self.health.clone());
            work.spawn((asks.run)(core, health, held.clone(), self.stop.clone()));
        }
        if let Some(room) = self.service.room.clone() {
            let conditions = Conditions {
                consumer: self.health.condition("consumer"),
                partitions: self.health.condition("partitions"),
                handling: self.health.condition("handling"),
            };
            conditions.consumer.not("joining the consumer group");
            conditions.partitions.ok();
            conditions.handling.ok();
            let (core, stop) = (self.core.clone(), self.stop.clone());
            work.spawn(consume::run(core, room.clone(), conditions, held.clone(), stop));
            if room.is_view() {
                let condition = self.health.condition("projection");
                condition.not("looking for the live build of the view");
                let (core, stop) = (self.core.clone(), self.stop.clone());
                work.spawn(projection::run(core, room.clone(), condition, stop));
            }
            let condition = self.health.condition("drain");
            condition.ok();
            let (core, stop) = (self.core.clone(), self.stop.clone());
            work.spawn(parking::run(core, room.clone(), condition, held.clone(), stop));
            if let Some(every) = self.service.sweep_every {
                let condition = self.health.condition("sweep");
                condition.ok();
                work.spawn(sweep(
                    self.core.clone(),
                    room,
                    every,
                    condition,
                    held,
                    self.stop.clone(),
                ));
            }
        }
        let (core, health, stop) = (self.core.clone(), self.health.clone(), self.stop.clone());
        work.spawn(control::run(core, health, stop));
        let condition = self.health.condition("database");
        condition.ok();
        work.spawn(look(self.core.clone(), condition, self.core.horizon, self.stop.clone()));
    }

    /// Ends when asked to, or when a task ends that should not.
    async fn watch_over(
        &self,
        work: &mut JoinSet<Result<(), Fault>>,
        relay: &mut JoinSet<()>,
        http: &mut JoinSet<()>,
    ) -> Result<(), RunError> {
        let ended = |what: &str| RunError::Ended(format!("the {what} ended by itself").into());
        tokio::select! {
            // Asked to end, the tasks end at the same time: that is no fault of theirs.
            biased;
            () = self.stop.cancelled() => Ok(()),
            Some(result) = work.join_next() => Err(match result {
                Ok(Err(fault)) => RunError::Ended(fault.into()),
                Ok(Ok(())) => ended("work"),
                Err(panic) => RunError::Ended(panic.into()),
            }),
            Some(_) = relay.join_next() => Err(ended("relay")),
            Some(_) = http.join_next() => Err(ended("HTTP door")),
        }
    }
}

enum Unprepared {
    Refused(RunError),
    Waiting(String),
}

impl From<RegistryError> for Unprepared {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Missing { what } => Self::Refused(missing(&what)),
            other => Self::Waiting(other.to_string()),
        }
    }
}

impl From<Unmigrated> for Unprepared {
    fn from(unmigrated: Unmigrated) -> Self {
        match unmigrated {
            Unmigrated::Refused(text) => Self::Refused(RunError::Refused(text)),
            Unmigrated::Waiting(text) => Self::Waiting(text),
        }
    }
}

impl From<Fault> for Unprepared {
    fn from(fault: Fault) -> Self {
        Self::Waiting(fault.to_string())
    }
}

/// Does what falls due, until stopped.
async fn sweep(
    core: Arc<Core>,
    room: Arc<dyn consume::reaction::Room>,
    every: Duration,
    condition: Condition,
    mut held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
        if *held.borrow_and_update() || core.pauses.borrow().group {
            continue;
        }
        match room.sweep(&core).await {
            Ok(_) => condition.ok(),
            Err(fault) => {
                tracing::warn!(service = core.service, error = %fault, "sweep will be repeated");
                condition.not(format!("what is due cannot be decided: {fault}"));
            }
        }
    }
}

/// Looks at the database every second and after its partitions every hour.
async fn look(
    core: Arc<Core>,
    condition: Condition,
    horizon: Horizon,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let mut maintained = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let query = sqlx::query("SELECT 1").execute(&core.pool);
        match tokio::time::timeout(LOOK_MAX, query).await {
            Ok(Ok(_)) => condition.ok(),
            Ok(Err(error)) => condition.not(error.to_string()),
            Err(_) => condition.not("the database did not answer in time"),
        }
        if maintained.elapsed() >= MAINTAIN_EVERY {
            maintained = tokio::time::Instant::now();
            if let Err(fault) = in_time(outbox::maintain(&core.pool, &horizon)).await {
                tracing::warn!(service = core.service, error = %fault, "partitions not maintained");
            }
            if let Err(fault) = in_time(Box::pin(projection::drop_old(&core))).await {
                tracing::warn!(service = core.service, error = %fault, "old builds are kept");
            }
        }
    }
}
