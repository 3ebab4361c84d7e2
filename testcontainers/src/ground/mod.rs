//! The ground: a broker, a schema registry and PostgreSQL, started together, proved ready, and gone
//! without a trace when it is stopped or its owner dies. It knows nothing of what runs on it.

mod builder;
mod embedded;
mod java;
mod kafka;
mod kind;
mod kit;
mod postgres;
mod registry;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use millrace::admin::{Admin, To, TopicSpec};
use millrace::embedded::Broker;
use tokio::sync::OnceCell;

use crate::Progress;
use crate::home::{Folder, Home};
use embedded::MemoryRegistry;
use kafka::{Kafka, Purpose};
use postgres::Postgres;
use registry::Registry;
use server::Server;

pub use builder::Builder;
pub use kind::GroundKind;
pub use postgres::SlowDisk;

/// Joining a group of the mock broker takes a part of this.
const REWIND: Duration = Duration::from_secs(15);

/// A part of a ground that a test can take away for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Kafka.
    Broker,
    /// The schema registry.
    Registry,
    /// PostgreSQL.
    Postgres,
}

/// Everything that runs under a world. Clones are the same ground; it is gone with the last.
#[derive(Debug, Clone)]
pub struct Ground(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: GroundKind,
    // The folder comes last: it goes when nothing runs in it any more.
    events: Events,
    postgres: Postgres,
    folder: Mutex<Option<Folder>>,
    kept: bool,
}

/// Where facts and their schemas are.
#[derive(Debug)]
enum Events {
    Native(Box<Kafka>, Box<Registry>),
    Embedded(Broker, MemoryRegistry),
}

impl Ground {
    /// A ground of the kind that the machine offers, with nothing kept.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a ground of this kind.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(kind: GroundKind) -> Result<Self> {
        Self::builder().kind(kind).start().await
    }

    /// The ground that all tests of this process share; it ends with the process.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn shared() -> Result<Self> {
        static SHARED: OnceCell<Ground> = OnceCell::const_new();
        let start = || Self::builder().progress(crate::tell).start();
        SHARED.get_or_try_init(start).await.cloned()
    }

    /// What it is made of.
    pub fn kind(&self) -> GroundKind {
        self.0.kind
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        match &self.0.events {
            Events::Native(kafka, _) => kafka.bootstrap(),
            Events::Embedded(broker, _) => broker.bootstrap_servers(),
        }
    }

    /// The base of the registry's Confluent API.
    pub fn registry_url(&self) -> String {
        match &self.0.events {
            Events::Native(_, registry) => registry.url().to_owned(),
            Events::Embedded(_, registry) => registry.url(),
        }
    }

    /// The jars of the real broker, with which Apache's own tools run.
    pub fn kafka_lib_dir(&self) -> Option<&Path> {
        match &self.0.events {
            Events::Native(kafka, _) => Some(&kafka.lib),
            Events::Embedded(..) => None,
        }
    }

    /// Makes a database with a role of its own and answers its URL. The name is of lower-case
    /// letters, digits and `_`. One that is there is taken as it is.
    ///
    /// # Errors
    /// When the name does not fit or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.0.postgres.create_database(name).await
    }

    /// Removes a database and its role, whoever is connected.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        self.0.postgres.drop_database(name).await
    }

    /// Takes a database away from its users, or gives it back: an outage of one service only.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn allow_connections(&self, database: &str, allow: bool) -> Result<()> {
        self.0.postgres.allow_connections(database, allow).await
    }

    /// Has every statement on a database logged from its next connection on.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn log_statements(&self, database: &str) -> Result<()> {
        self.0.postgres.log_statements(database).await
    }

    /// First lines of the logged statements of a database, oldest first.
    ///
    /// # Errors
    /// When the server is not our own.
    pub async fn logged_statements(&self, database: &str) -> Result<Vec<String>> {
        self.0.postgres.logged_statements(database).await
    }

    /// A connection for administration of the broker.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self) -> Result<Admin> {
        Ok(Admin::connect(self.bootstrap_servers(), &BTreeMap::new()).await?)
    }

    /// Makes these topics, on the embedded broker without their settings, which it has not.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create_topics(&self, topics: &[TopicSpec]) -> Result<()> {
        let Events::Embedded(broker, _) = &self.0.events else {
            self.admin().await?.create_topics(topics).await?;
            return Ok(());
        };
        for topic in topics {
            broker.create_topic(&topic.name, topic.partitions.cast_signed())?;
        }
        Ok(())
    }

    /// Puts a group without members at the beginning of these topics.
    ///
    /// # Errors
    /// When it has members, or the broker refuses.
    pub async fn rewind_group(&self, group: &str, topics: &[&str]) -> Result<()> {
        if let Events::Native(..) = &self.0.events {
            return Ok(self.admin().await?.reset_group(group, topics, To::Earliest).await?);
        }
        let (ground, group) = (self.clone(), group.to_owned());
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let rewind = tokio::task::spawn_blocking(move || {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            match &ground.0.events {
                Events::Embedded(broker, _) => broker.rewind_group(&group, &topics, REWIND),
                Events::Native(..) => Ok(()),
            }
        });
        Ok(rewind.await??)
    }

    /// Ends a part without farewell.
    ///
    /// # Errors
    /// When this ground cannot do that to that part.
    pub async fn crash(&self, part: Part) -> Result<()> {
        if let (Part::Broker, Events::Embedded(broker, _)) = (part, &self.0.events) {
            return Ok(broker.down()?);
        }
        self.server(part)?.crash().await;
        Ok(())
    }

    /// Starts a crashed part on the same port and data, and returns when it is ready.
    ///
    /// # Errors
    /// When it does not become ready, or this ground cannot do that to that part.
    pub async fn restart(&self, part: Part) -> Result<()> {
        if let (Part::Broker, Events::Embedded(broker, _)) = (part, &self.0.events) {
            return Ok(broker.up()?);
        }
        self.server(part)?.restart().await?;
        match (part, &self.0.events) {
            (Part::Broker, Events::Native(kafka, _)) => kafka.until_ready().await,
            (Part::Registry, Events::Native(_, registry)) => registry.until_ready().await,
            _ => self.0.postgres.until_ready().await,
        }
    }

    /// The process of a part; all others of it descend from that one.
    ///
    /// # Errors
    /// When this ground has no process for it.
    pub async fn process_id(&self, part: Part) -> Result<u32> {
        Ok(self.server(part)?.process_id().await)
    }

    /// Lets a part stand still with its connections open, as a machine does that swaps or hangs.
    ///
    /// # Errors
    /// When this ground cannot do that to that part.
    pub async fn freeze(&self, part: Part) -> Result<()> {
        self.server(part)?.freeze().await;
        Ok(())
    }

    /// Lets a frozen part go on.
    ///
    /// # Errors
    /// When this ground cannot do that to that part.
    pub async fn thaw(&self, part: Part) -> Result<()> {
        self.server(part)?.thaw().await;
        Ok(())
    }

    /// Ends every process and removes every file, but for data that is to be kept, whose servers
    /// end in good order.
    pub async fn stop(&self) {
        let end = async |server: &Server| match self.0.kept {
            true => server.stop().await,
            false => server.crash().await,
        };
        let events = async {
            if let Events::Native(kafka, registry) = &self.0.events {
                tokio::join!(end(&kafka.server), end(&registry.server));
            }
        };
        tokio::join!(events, self.0.postgres.stop(self.0.kept));
        drop(self.0.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn server(&self, part: Part) -> Result<&Server> {
        match (part, &self.0.events) {
            (Part::Broker, Events::Native(kafka, _)) => Ok(&kafka.server),
            (Part::Registry, Events::Native(_, registry)) => Ok(&registry.server),
            (Part::Postgres, _) => {
                self.0.postgres.server.as_ref().context("a given PostgreSQL is left alone")
            }
            (_, Events::Embedded(..)) => bail!("the {} ground has no such process", self.0.kind),
        }
    }
}

async fn native(
    home: &Home,
    folder: &Path,
    purpose: Purpose,
    progress: &Progress,
) -> Result<Events> {
    let kafka = async {
        let folder = folder.join("kafka");
        let kafka = Kafka::start(home, &folder, purpose, progress).await?;
        kafka.until_ready().await.map(|()| kafka)
    };
    let registry = async {
        let registry =
            Registry::start(home, &folder.join("registry"), !purpose.orphan, progress).await?;
        registry.until_ready().await.map(|()| registry)
    };
    let (kafka, registry) = tokio::try_join!(kafka, registry)?;
    Ok(Events::Native(Box::new(kafka), Box::new(registry)))
}

fn embedded() -> Result<Events> {
    Ok(Events::Embedded(Broker::start()?, MemoryRegistry::start()?))
}
