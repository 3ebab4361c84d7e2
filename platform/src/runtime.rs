//! A mounted service: its tasks, their owner and their end.
//!
//! Start: configuration and schemas are checked before a port opens; what is away is waited for,
//! not ready. End: not ready, stop consuming, drain HTTP, publish what is left, leave.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ask::Breakers;
use crate::control::{Pauses, Progress, Skips};
use crate::core::Core;
use crate::kafka::{self, Names};
use crate::life::Life;
use crate::news::AllNews;
use crate::projection::Courtesy;
use crate::replica::{Lookup, Mounted, Replica};
use crate::service::Service;
use crate::telemetry::{Metrics, Tracing};
use crate::tx::Line;
use crate::{Config, Door, Health, Registry, RegistryError, Source, Topic};

/// Why a service could not be mounted, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Configuration or contract: it cannot run as it is, and waiting will not help.
    #[error("{0}")]
    Refused(String),
    /// A part of it ended by itself.
    #[error("{0}")]
    Ended(#[source] Source),
}

/// A mounted service.
pub struct Running {
    name: &'static str,
    url: String,
    door: Door,
    replica: Option<Arc<dyn Mounted>>,
    health: Health,
    held: watch::Sender<bool>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Base URL of its HTTP door.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its front door, for commands from within this process.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// The copy it answers from, for reads from within this process; `None` when it has none.
    pub fn lookup<R: Replica>(&self) -> Option<Lookup<R>> {
        self.replica.as_ref().map(|replica| Lookup::new(replica.shared()))
    }

    /// Its conditions.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Stops handling facts and due work, while the front door stays open and the member stays in
    /// its group.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Handles facts again.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Begins the drain, without waiting for its end.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Drains and ends. Takes at most the configured drain time and a little more.
    pub async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until it ends, by [`Running::begin_stop`] or because a part of it failed.
    pub async fn wait(self) -> Result<(), RunError> {
        self.ended.await.map_err(|error| RunError::Ended(error.into()))?
    }
}

/// Mounts a service in this process. Returns as soon as its port is open, which may be long before
/// it is ready.
pub async fn mount(service: Service, config: Config) -> Result<Running, RunError> {
    let tracing = Tracing::start(service.name, &config, env!("CARGO_PKG_VERSION"));
    mount_traced(service, config, tracing).await
}

pub(crate) async fn mount_traced(
    service: Service,
    config: Config,
    tracing: Tracing,
) -> Result<Running, RunError> {
    let (name, health) = (service.name, Health::new());
    let started = health.condition("start");
    started.not("starting");
    let core = Arc::new(core(&service, config, tracing)?);
    match learn_schema_ids(&core, &service).await {
        Err(RegistryError::Missing { what }) => return Err(missing(&what)),
        Err(error) => tracing::warn!(service = name, %error, "waiting for the registry"),
        Ok(()) => {}
    }
    let stop = CancellationToken::new();
    let replica = open(&core, &service, &stop).await?;
    let listen = &core.config.http.listen;
    let listener = TcpListener::bind(listen).await;
    let listener =
        listener.map_err(|error| RunError::Refused(format!("http.listen {listen}: {error}")))?;
    let address = listener.local_addr().map_err(|error| RunError::Ended(error.into()))?;
    let (held, _) = watch::channel(false);
    let door = Door { core: core.clone() };
    let life = Life {
        core,
        service: Arc::new(service),
        replica: replica.clone(),
        health: health.clone(),
        started,
        stop: stop.clone(),
        held: held.clone(),
    };
    let ended = tokio::spawn(life.run(listener));
    Ok(Running { name, url: format!("http://{address}"), door, replica, health, held, stop, ended })
}

/// Opens the store of a replica: a lock on it that another process holds is told at once.
async fn open(
    core: &Arc<Core>,
    service: &Service,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn Mounted>>, RunError> {
    let Some(replica) = service.replica.clone() else { return Ok(None) };
    let (core, stop) = (core.clone(), stop.clone());
    let opened = tokio::task::spawn_blocking(move || replica.open(&core, stop)).await;
    opened.map_err(|error| RunError::Ended(error.into()))?.map(Some)
}

fn core(service: &Service, config: Config, tracing: Tracing) -> Result<Core, RunError> {
    let given = config.service.get(service.name).cloned();
    let (settings, value) = settings(service, given).map_err(RunError::Refused)?;
    let view = service.room.as_ref().and_then(|room| room.view());
    let view = view.map(|view| view.with_settings(&value));
    let url = config.database.url();
    for asks in &service.asks {
        let refused = |error| RunError::Refused(format!("service.{}: {error}", service.name));
        (asks.check)(&settings).map_err(refused)?;
    }
    let breakers = Breakers::new(service.asks.iter().map(|asks| (asks.partner, asks.breaker)));
    let options: PgConnectOptions =
        url.parse().map_err(|error| RunError::Refused(format!("database.url: {error}")))?;
    let names = Names::new(&config);
    let group = names.group(service.domain(), service.name);
    let checked = config.check().and_then(|()| kafka::check(&config, &group));
    checked.map_err(|error| RunError::Refused(error.to_string()))?;
    let reads = names_of(service.reads());
    let pool = pool(options, &config);
    Ok(Core {
        service: service.name,
        domain: service.domain(),
        instance: kafka::client_id(&config, service.name),
        dead_letters: service.dead_letters(),
        reads,
        emits: names_of(service.emits()),
        line: Line::new(&pool.connect_options()),
        pool,
        registry: Registry::new(&config.registry),
        metrics: Metrics::new(service.name, &group, env!("CARGO_PKG_VERSION")),
        group,
        tracing,
        settings,
        declared: service.declared().collect(),
        schema_ids: OnceLock::new(),
        fresh: Arc::default(),
        skips: Skips::default(),
        pauses: watch::channel(Pauses::default()).0,
        horizon: service.horizon(&config).map_err(RunError::Refused)?,
        view,
        live: watch::channel(0).0,
        seeks: watch::channel(0).0,
        progress: Progress::default(),
        breakers,
        courtesy: Courtesy::default(),
        news: AllNews::default(),
        changes: watch::channel(0).0,
        config,
    })
}

/// The service's own settings: its defaults, overridden by what the configuration gives.
fn settings(
    service: &Service,
    given: Option<serde_json::Value>,
) -> Result<(Arc<dyn std::any::Any + Send + Sync>, serde_json::Value), String> {
    let mut settings = service.settings.defaults();
    let known: Vec<String> =
        settings.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    if let (Some(all), Some(given)) =
        (settings.as_object_mut(), given.as_ref().and_then(serde_json::Value::as_object))
    {
        for (key, value) in given {
            if !all.contains_key(key) {
                let known = known.join(", ");
                return Err(format!("service.{}.{key} is unknown; known: {known}", service.name));
            }
            all.insert(key.clone(), value.clone());
        }
    }
    let parsed = service.settings.parse(settings.clone());
    let parsed = parsed.map_err(|error| format!("service.{}: {error}", service.name))?;
    Ok((parsed, settings))
}

/// Names of topics, each once.
fn names_of(facts: Vec<(&'static str, &'static Topic)>) -> Vec<&'static str> {
    let names: BTreeSet<&'static str> = facts.into_iter().map(|(_, topic)| topic.name).collect();
    names.into_iter().collect()
}

/// A connection that nobody used for so long is asked whether it lives before it is used.
const TESTED_AFTER: Duration = Duration::from_secs(1);

fn pool(options: PgConnectOptions, config: &Config) -> PgPool {
    let statement = config.database.statement_timeout.as_millis().to_string();
    let options = options.options([
        ("statement_timeout", statement.as_str()),
        ("lock_timeout", "4000"),
        ("idle_in_transaction_session_timeout", "20000"),
        // A session whose client vanished without a word gives its locks back within half a minute.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        // What a service says is short. A plan that only looks expensive would be compiled, for half a second.
        ("jit", "off"),
    ]);
    PgPoolOptions::new()
        .max_connections(config.database.max_connections)
        .acquire_timeout(Duration::from_secs(4))
        // One that was in use a moment ago is alive, or fails like any other in use.
        .test_before_acquire(false)
        .before_acquire(|conn, used| {
            Box::pin(async move {
                match used.idle_for > TESTED_AFTER {
                    true => conn.ping().await.map(|()| true),
                    false => Ok(true),
                }
            })
        })
        // A connection that was cut off in the middle of a query may never answer again.
        .after_release(|conn, _| {
            Box::pin(async move {
                let alive = tokio::time::timeout(Duration::from_secs(2), conn.ping()).await;
                alive.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .connect_lazy_with(options)
}

pub(crate) fn missing(what: &str) -> RunError {
    RunError::Refused(format!(
        "the registry lacks {what}; register the schemas first: millrace schema register"
    ))
}

/// Asks the registry for the id of every schema the service emits or reads: exactly these must be
/// there.
pub(crate) async fn learn_schema_ids(core: &Core, service: &Service) -> Result<(), RegistryError> {
    let mut ids = HashMap::new();
    for emits in &service.emits {
        let subject = format!("{}-{}", emits.topic.name, emits.name);
        ids.insert(emits.name, core.registry.id_of(&subject, emits.schema).await?);
    }
    for read in service.room.iter().flat_map(|room| room.facts()) {
        let Some(schema) = read.schema else { continue };
        let subject = format!("{}-{}", read.topic.name, read.name);
        ids.insert(read.name, core.registry.id_of(&subject, schema).await?);
    }
    core.schema_ids.get_or_init(|| ids);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_work_is_refused_before_a_port_opens() {
        // The port is taken: whoever tried to open it would say so.
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (name, value) in [("nonsense.key", "1"), ("acks", "0"), ("retries", "0")] {
            let mut config = Config::default();
            config.http.listen = taken.local_addr().unwrap().to_string();
            config.kafka.properties.insert(name.to_owned(), value.to_owned());
            let refused = mount(Service::named("shop").build(), config).await.err().unwrap();
            let told = refused.to_string();
            assert!(matches!(refused, RunError::Refused(_)), "{told}");
            assert!(told.starts_with(&format!("`kafka.properties.{name}` ")), "{told}");
        }
    }
}
