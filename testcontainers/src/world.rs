//! A world of its own on a shared ground: topics and groups under a prefix nobody else has, a
//! database for each service, and one place where the spans of all of them arrive.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use millrace::admin::{Admin, RawRecord, TopicSpec};
use millrace::control::{Command, Kind, Operator, OpsTopics};
use millrace::{Config, Registry, Running, Service, Timestamp, Topic};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Ground, GroundKind, Launch, Traces, eventually};

/// A mounted service is ready within this time.
const READY_MAX: Duration = Duration::from_secs(60);

/// A registry that has just started may take long over its first answers on a busy machine.
const REGISTRY_ANSWER_MAX: Duration = Duration::from_secs(20);
const SESSION: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_millis(400);

/// An isolated set of topics, databases and traces.
#[derive(Debug)]
pub struct World {
    ground: Ground,
    prefix: String,
    databases: Mutex<Vec<String>>,
    /// Topics it has made, on the broker's side of names.
    topics: Mutex<BTreeSet<String>>,
    traces: Arc<Traces>,
    /// Where its replicas keep their stores.
    stores: tempfile::TempDir,
}

impl World {
    /// A new world with nothing in it.
    ///
    /// # Errors
    /// When the trace receiver has no port.
    pub fn on(ground: &Ground) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("w{}x{count}.", std::process::id());
        let traces = Arc::new(Traces::start()?);
        let stores = tempfile::tempdir()?;
        Ok(Self {
            ground: ground.clone(),
            prefix,
            databases: Mutex::default(),
            topics: Mutex::default(),
            traces,
            stores,
        })
    }

    /// A world without a prefix, for a ground that holds only this one.
    ///
    /// # Errors
    /// When the trace receiver has no port.
    pub fn only(ground: &Ground) -> Result<Self> {
        Ok(Self { prefix: String::new(), ..Self::on(ground)? })
    }

    /// What it stands on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// What its topic and group names begin with on the broker.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A topic's name on the broker.
    pub fn topic(&self, topic: &Topic) -> String {
        format!("{}{}", self.prefix, topic.name)
    }

    /// Where the spans of its services arrive.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// A connection for administration of the broker.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self) -> Result<Admin> {
        self.ground.admin().await
    }

    /// Makes its topics, and those that the platform needs beside them.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_topics(&self, topics: &[&Topic]) -> Result<()> {
        let declared = topics.iter().map(|topic| TopicSpec::from(*topic));
        let all = declared.chain(millrace::control::own_topics(topics));
        let mut specs: Vec<TopicSpec> = all.map(|spec| spec.prefixed(&self.prefix)).collect();
        {
            let mut made = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            specs.retain(|spec| made.insert(spec.name.clone()));
        }
        self.ground.create_topics(&specs).await
    }

    /// Asks a group for something, as an operator does; `group` is without the prefix.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn ask(&self, group: &str, kind: Kind) -> Result<Uuid> {
        let (id, domain) = (Uuid::now_v7(), group.split('.').next().unwrap_or_default());
        let topic = format!("{}{}", self.prefix, OpsTopics::of(domain).commands);
        let group = format!("{}{group}", self.prefix);
        let operator = Operator {
            id,
            group: group.clone(),
            issued_at: Timestamp::from(OffsetDateTime::now_utc()).to_string(),
            by: "a test".to_owned(),
            reason: "to see it done".to_owned(),
        };
        let payload = Some(serde_json::to_vec(&Command { operator, kind })?);
        let record = RawRecord { key: Some(group.into_bytes()), payload, ..RawRecord::default() };
        self.admin().await?.produce(&topic, record).await?;
        Ok(id)
    }

    /// Registers schemas by subject.
    ///
    /// # Errors
    /// When the registry refuses one: says which.
    pub async fn register(
        &self,
        schemas: impl IntoIterator<Item = (String, &'static str)>,
    ) -> Result<()> {
        let registry = self.registry();
        for (subject, schema) in schemas {
            registry.register(&subject, schema).await.with_context(|| subject.clone())?;
        }
        Ok(())
    }

    /// The registry's client.
    pub fn registry(&self) -> Registry {
        let (url, timeout) = (self.ground.registry_url(), REGISTRY_ANSWER_MAX);
        Registry::new(&millrace::config::Registry { url, timeout })
    }

    /// Everything a service needs to run in this world; makes its database the first time.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn config(&self, service: &str) -> Result<Config> {
        let mut config = self.replica_config(service);
        config.database.url = self.database_url(service).await?.into();
        Ok(config)
    }

    /// Everything a replica needs to run in this world. Two of them need a folder each.
    pub fn replica_config(&self, service: &str) -> Config {
        let mut config = Config::default();
        config.kafka.bootstrap_servers = self.ground.bootstrap_servers().to_owned();
        config.kafka.topic_prefix = self.prefix.clone();
        if self.ground.kind() == GroundKind::Embedded {
            // The mock lets a member of the classic protocol wait three seconds for its group.
            config.kafka.properties.insert("group.protocol".into(), "consumer".into());
        }
        config.registry.url = self.ground.registry_url();
        config.http.listen = "127.0.0.1:0".into();
        config.replica.dir = self.stores.path().join(service).display().to_string();
        // A killed member is missed soon, so that tests which kill do not wait for the group.
        config.consume.session_timeout = SESSION;
        config.consume.heartbeat = HEARTBEAT;
        config.trace.endpoint = Some(self.traces.endpoint());
        config
    }

    /// The database of a service, made when it is not there.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database_url(&self, service: &str) -> Result<String> {
        let name = self.database_name(service);
        let url = self.ground.create_database(&name).await?;
        let mut known = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&name) {
            known.push(name);
        }
        Ok(url)
    }

    /// The name of the database of a service.
    pub fn database_name(&self, service: &str) -> String {
        format!("{}{service}", self.prefix).replace(['.', '-'], "_")
    }

    /// A connection to the database of a service.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database(&self, service: &str) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.database_url(service).await?).await?)
    }

    /// Mounts a service in this process and waits until it is ready.
    ///
    /// # Errors
    /// When it refuses to start or does not become ready: says which condition does not hold.
    pub async fn mount(&self, service: Service) -> Result<Running> {
        self.mount_with(service, |_| ()).await
    }

    /// As [`World::mount`], with a change to its configuration.
    ///
    /// # Errors
    /// As [`World::mount`].
    pub async fn mount_with(
        &self,
        service: Service,
        change: impl FnOnce(&mut Config),
    ) -> Result<Running> {
        let mut config = match service.is_replica() {
            true => self.replica_config(service.name()),
            false => self.config(service.name()).await?,
        };
        change(&mut config);
        let running = millrace::mount(service, config).await?;
        ready(&running).await?;
        Ok(running)
    }

    /// A service's binary with the configuration of this world in its environment.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn launch(&self, service: &str, launch: Launch) -> Result<Launch> {
        let config = self.config(service).await?;
        let mut launch = launch
            .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", &config.kafka.bootstrap_servers)
            .env("MILLRACE_KAFKA__TOPIC_PREFIX", &config.kafka.topic_prefix)
            .env("MILLRACE_REGISTRY__URL", &config.registry.url)
            .env("MILLRACE_DATABASE__URL", config.database.url.expose())
            .env("MILLRACE_HTTP__LISTEN", &config.http.listen)
            .env("MILLRACE_CONSUME__SESSION_TIMEOUT", format!("{}ms", SESSION.as_millis()))
            .env("MILLRACE_CONSUME__HEARTBEAT", format!("{}ms", HEARTBEAT.as_millis()))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.traces.endpoint());
        for (name, value) in &config.kafka.properties {
            let name = name.replace('.', "_").to_uppercase();
            launch = launch.env(format!("MILLRACE_KAFKA__PROPERTIES__{name}"), value);
        }
        Ok(launch)
    }

    /// Removes its databases and, where the broker can, its topics.
    ///
    /// # Errors
    /// When a server refuses.
    pub async fn close(self) -> Result<()> {
        let names =
            std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
        for name in names {
            self.ground.drop_database(&name).await?;
        }
        if self.ground.kind() == GroundKind::Native {
            let admin = self.admin().await?;
            let topics = admin.topics().await?;
            let ours: Vec<&str> = topics
                .iter()
                .map(|topic| topic.name.as_str())
                .filter(|name| name.starts_with(&self.prefix))
                .collect();
            if !ours.is_empty() {
                admin.delete_topics(&ours).await?;
            }
        }
        Ok(())
    }
}

/// Waits until every condition of a mounted service holds.
///
/// # Errors
/// When one does not hold in time: says which, and why.
pub async fn ready(running: &Running) -> Result<()> {
    let what = format!("{} is ready", running.name());
    eventually(READY_MAX, &what, async || {
        running.health().ready().map_err(|reasons| format!("{reasons:?}"))
    })
    .await
}
