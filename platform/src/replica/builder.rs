//! From the declaration of a replica to its parts at work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use millrace_contract::{Event, Topic};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::lookup::{Lookup, Shared};
use super::store::{About, Found, Store};
use super::{Replica, decode, follow};
use crate::config::Config;
use crate::core::Core;
use crate::runtime::RunError;
use crate::service::Service;
use crate::{Fault, Health, http};

/// Builds a [`Service`] that answers from its own copy of a topic.
pub struct ReplicaBuilder<R: Replica> {
    service: Service,
    routes: fn() -> OpenApiRouter<Lookup<R>>,
}

/// A replica with its type erased.
pub(crate) trait Materialize: Send + Sync {
    fn reads(&self) -> (&'static str, &'static Topic);
    fn openapi(&self, name: &str, about: &str) -> utoipa::openapi::OpenApi;
    /// Opens the store; a damaged one is made anew.
    fn open(&self, core: &Core, stop: CancellationToken) -> Result<Arc<dyn Mounted>, RunError>;
}

/// A replica whose store is open.
pub(crate) trait Mounted: Send + Sync {
    fn router(&self, core: &Core, service: &Service, health: Health) -> Router;
    fn run(&self, core: Arc<Core>, health: &Health) -> BoxFuture<'static, Result<(), Fault>>;
    fn shared(&self) -> Arc<Shared>;
}

struct Kind<R: Replica> {
    routes: fn() -> OpenApiRouter<Lookup<R>>,
}

struct Open<R: Replica> {
    routes: fn() -> OpenApiRouter<Lookup<R>>,
    shared: Arc<Shared>,
}

impl<R: Replica> ReplicaBuilder<R> {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, routes: OpenApiRouter::new }
    }

    /// The front door: queries.
    pub fn http(mut self, routes: fn() -> OpenApiRouter<Lookup<R>>) -> Self {
        self.routes = routes;
        self
    }

    /// The service.
    pub fn build(mut self) -> Service {
        self.service.replica = Some(Arc::new(Kind { routes: self.routes }));
        self.service
    }
}

impl<R: Replica> Materialize for Kind<R> {
    fn reads(&self) -> (&'static str, &'static Topic) {
        (R::State::NAME, R::State::TOPIC)
    }

    fn openapi(&self, name: &str, about: &str) -> utoipa::openapi::OpenApi {
        http::openapi(name, about, Some(self.routes))
    }

    fn open(&self, core: &Core, stop: CancellationToken) -> Result<Arc<dyn Mounted>, RunError> {
        let (config, folder) = (&core.config.replica, folder(&core.config, core.service));
        let entries_of = decode::entries_of::<R>;
        let opened = Store::open(&folder, config.cache, about::<R>(core), entries_of);
        let (store, found) = opened.map_err(|error| RunError::Refused(error.to_string()))?;
        let subscribers = core.metrics.replica().subscribers().clone();
        let places = (config.subscribers_max, subscribers);
        let shared = Arc::new(Shared::new(store, R::State::TOPIC, places, stop));
        match found {
            Found::Copy => shared.open(),
            Found::Part | Found::Nothing(None) => {}
            Found::Nothing(Some(reason)) => {
                let folder = folder.display().to_string();
                tracing::error!(service = core.service, folder, reason, "the copy is made anew");
                core.metrics.replica().rebuilt();
            }
        }
        let failed = |error: super::store::StoreError| RunError::Refused(error.to_string());
        shared.stale_keys().map_err(failed)?;
        Ok(Arc::new(Open::<R> { routes: self.routes, shared }))
    }
}

impl<R: Replica> Mounted for Open<R> {
    fn router(&self, core: &Core, service: &Service, health: Health) -> Router {
        http::router(
            service.name,
            service.about,
            (self.routes)(),
            Lookup::<R>::new(self.shared.clone()),
            health,
            core.metrics.clone(),
            core.tracing.clone(),
            &core.config.http,
        )
    }

    fn run(&self, core: Arc<Core>, health: &Health) -> BoxFuture<'static, Result<(), Fault>> {
        let condition = health.condition("replica");
        condition.not("looking for the topic");
        let (shared, stop) = (self.shared.clone(), self.shared.stop.clone());
        Box::pin(follow::run::<R>(core, shared, condition, stop))
    }

    fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

/// What the store must be a copy of: this topic, in this form and schema.
fn about<R: Replica>(core: &Core) -> About {
    let schema = Sha256::digest(R::State::SCHEMA.as_bytes());
    let schema: String = schema.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let topic = crate::kafka::Names::new(&core.config).topic(R::State::TOPIC.name);
    BTreeMap::from([("topic", topic), ("form", R::FORM.to_string()), ("schema", schema)])
}

/// Where the store lies: as configured, or in the user's folder for state, or the system's for
/// what may be lost.
fn folder(config: &Config, service: &str) -> PathBuf {
    if !config.replica.dir.is_empty() {
        return PathBuf::from(&config.replica.dir);
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let base = state.filter(|it| it.is_absolute()).or_else(home).unwrap_or_else(std::env::temp_dir);
    base.join("millrace").join(format!("{}{service}", config.kafka.topic_prefix))
}
