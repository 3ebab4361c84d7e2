//! What faults act on: a world, a fleet of services in it, and what stays open between the
//! injection of a fault and its healing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use millrace::admin::{Admin, RawRecord};
use sqlx::PgConnection;
use tokio::net::TcpStream;

use super::Fleet;
use crate::World;
use crate::check::Poison;

/// Makes a record for a topic and a key that is well formed and says what cannot be.
pub(crate) type Absurd = Arc<dyn Fn(&str, &str) -> Option<RawRecord> + Send + Sync>;

/// Everything that can break, and what is broken now.
pub struct Field {
    world: World,
    fleet: Fleet,
    doors: BTreeMap<String, String>,
    readers: BTreeMap<String, Vec<String>>,
    absurd: Option<Absurd>,
    commands: Option<String>,
    sessions: tokio::sync::Mutex<BTreeMap<String, PgConnection>>,
    sockets: Mutex<BTreeMap<String, Vec<TcpStream>>>,
    planted: Mutex<Vec<Poison>>,
}

impl Field {
    /// A fleet in its world.
    pub fn new(world: World, fleet: Fleet) -> Self {
        Self {
            world,
            fleet,
            doors: BTreeMap::new(),
            readers: BTreeMap::new(),
            absurd: None,
            commands: None,
            sessions: tokio::sync::Mutex::default(),
            sockets: Mutex::default(),
            planted: Mutex::default(),
        }
    }

    /// Bad requests of a service go to this path, by `POST`.
    #[must_use]
    pub fn door(mut self, service: impl Into<String>, path: impl Into<String>) -> Self {
        self.doors.insert(service.into(), path.into());
        self
    }

    /// A service reads these topics, by their declared names, in the group `domain.service`.
    #[must_use]
    pub fn reads(mut self, service: impl Into<String>, topics: &[&str]) -> Self {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.readers.insert(service.into(), topics);
        self
    }

    /// How a record is made that is well formed and says what cannot be, for a topic and a key.
    #[must_use]
    pub fn absurd(
        mut self,
        make: impl Fn(&str, &str) -> Option<RawRecord> + Send + Sync + 'static,
    ) -> Self {
        self.absurd = Some(Arc::new(make));
        self
    }

    /// Where commands of operators go, by the topic's declared name.
    #[must_use]
    pub fn commands(mut self, topic: impl Into<String>) -> Self {
        self.commands = Some(topic.into());
        self
    }

    /// Where it is.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What runs in it.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Every bad record that was written so far, with the digests of its parts.
    pub fn planted(&self) -> Vec<Poison> {
        locked(&self.planted).clone()
    }

    /// Ends every process and removes the world.
    ///
    /// # Errors
    /// When a server refuses.
    pub async fn close(self) -> Result<()> {
        drop(self.sessions);
        self.fleet.stop().await;
        self.world.close().await
    }

    /// The name of a topic on the broker.
    pub(crate) fn topic(&self, declared: &str) -> String {
        format!("{}{declared}", self.world.prefix())
    }

    /// The name of a group on the broker, and the topics it reads there.
    pub(crate) fn group(&self, service: &str) -> Option<(String, Vec<String>)> {
        let declared = self.readers.get(service)?;
        let domain = declared.first()?.split('.').next()?;
        let topics = declared.iter().map(|topic| self.topic(topic)).collect();
        Some((format!("{}{domain}.{service}", self.world.prefix()), topics))
    }

    pub(crate) fn path(&self, service: &str) -> Option<&str> {
        self.doors.get(service).map(String::as_str)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.readers.keys().map(String::as_str)
    }

    /// Every topic that somebody reads, by its declared name.
    pub(crate) fn topics(&self) -> std::collections::BTreeSet<&str> {
        self.readers.values().flatten().map(String::as_str).collect()
    }

    pub(crate) fn commands_topic(&self) -> Option<String> {
        self.commands.as_deref().map(|topic| self.topic(topic))
    }

    pub(crate) fn knows_absurd(&self) -> bool {
        self.absurd.is_some()
    }

    pub(crate) fn make_absurd(&self, topic: &str, key: &str) -> Option<RawRecord> {
        self.absurd.as_ref().and_then(|make| make(topic, key))
    }

    pub(crate) async fn admin(&self) -> Result<Admin> {
        self.world.admin().await
    }

    /// Sessions that hold something until they are dropped, by the text of their fault.
    pub(crate) fn sessions(&self) -> &tokio::sync::Mutex<BTreeMap<String, PgConnection>> {
        &self.sessions
    }

    /// Connections that say nothing more until they are dropped, by the text of their fault.
    pub(crate) fn sockets(&self) -> MutexGuard<'_, BTreeMap<String, Vec<TcpStream>>> {
        locked(&self.sockets)
    }

    pub(crate) fn plant(&self, planted: Poison) {
        locked(&self.planted).push(planted);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
