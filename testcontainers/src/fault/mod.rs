//! Faults by name: what can happen to processes, connections, brokers, databases, registries and
//! to what comes in from outside, each with a way in and a way back. A plan of them is text and
//! follows from a seed. It knows nothing of what the services on the ground mean.

mod broker;
mod database;
mod event;
mod field;
mod fleet;
mod http;
mod menu;
mod network;
mod operator;
mod plan;
mod process;
mod proxy;
mod registry;
mod rest;
mod text;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

pub use broker::BrokerFault;
pub use database::DatabaseFault;
pub use event::{BadEvent, EventFault};
pub use field::Field;
pub use fleet::{Crew, Fleet, Instance, Server};
pub use http::{BadRequest, HttpFault};
pub use menu::Menu;
pub use network::{NetworkFault, Toxic};
pub use operator::OperatorFault;
pub use plan::{Fate, Plan, Step, Told};
pub use process::ProcessFault;
pub use proxy::Proxy;
pub use registry::{Front, RegistryFault, Sick};

/// One thing that goes wrong. Its text is one line: the class, then what the class needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A process of a service.
    Process(ProcessFault),
    /// The connections between one instance and one server.
    Network(NetworkFault),
    /// The broker and its topics.
    Broker(BrokerFault),
    /// PostgreSQL and the databases on it.
    Database(DatabaseFault),
    /// The schema registry.
    Registry(RegistryFault),
    /// A record that nobody should have written.
    Event(EventFault),
    /// A request that nobody should have sent.
    Http(HttpFault),
    /// What an operator does by mistake.
    Operator(OperatorFault),
}

/// What kind of thing breaks; the first word of a fault's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A process of a service.
    Process,
    /// Connections.
    Network,
    /// The broker.
    Broker,
    /// PostgreSQL.
    Database,
    /// The schema registry.
    Registry,
    /// Bad records.
    Event,
    /// Bad requests.
    Http,
    /// Mistakes of an operator.
    Operator,
}

/// What became of an injection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is there, until it is healed.
    Injected,
    /// This ground or this machine cannot show it: it was not tried, and is not passed.
    NotHere(String),
    /// It is there, and what answered to it at once broke a promise.
    Wrong(String),
}

/// A text that is no fault or no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    text: String,
    wanted: String,
}

/// Longest and shortest time that a fault stays in a plan that follows from a seed.
pub(crate) type Stay = (Duration, Duration);

impl Fault {
    /// What kind of thing breaks.
    pub fn class(&self) -> Class {
        match self {
            Self::Process(_) => Class::Process,
            Self::Network(_) => Class::Network,
            Self::Broker(_) => Class::Broker,
            Self::Database(_) => Class::Database,
            Self::Registry(_) => Class::Registry,
            Self::Event(_) => Class::Event,
            Self::Http(_) => Class::Http,
            Self::Operator(_) => Class::Operator,
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// When the kit itself failed: what is there then is unknown, and may be healed.
    pub async fn inject(&self, field: &Field) -> Result<Outcome> {
        match self {
            Self::Process(fault) => fault.inject(field).await,
            Self::Network(fault) => fault.inject(field),
            Self::Broker(fault) => fault.inject(field).await,
            Self::Database(fault) => fault.inject(field).await,
            Self::Registry(fault) => fault.inject(field).await,
            Self::Event(fault) => fault.inject(field).await,
            Self::Http(fault) => fault.inject(field).await,
            Self::Operator(fault) => fault.inject(field).await,
        }
    }

    /// Takes it away again. Healing what was never injected changes nothing.
    ///
    /// # Errors
    /// When what was broken does not come back.
    pub async fn heal(&self, field: &Field) -> Result<()> {
        match self {
            Self::Process(fault) => fault.heal(field).await,
            Self::Network(fault) => fault.heal(field),
            Self::Broker(fault) => fault.heal(field).await,
            Self::Database(fault) => fault.heal(field).await,
            Self::Registry(fault) => fault.heal(field).await,
            Self::Event(_) => Ok(()),
            Self::Http(fault) => fault.heal(field).await,
            Self::Operator(fault) => fault.heal(field).await,
        }
    }

    /// What is not there while it lasts, as paths: `postgres` is broken with all below it.
    pub(crate) fn breaks(&self) -> Vec<String> {
        match self {
            Self::Process(fault) => vec![fault.breaks()],
            Self::Network(fault) => vec![fault.breaks()],
            Self::Broker(fault) => fault.breaks(),
            Self::Database(fault) => fault.breaks(),
            Self::Registry(fault) => vec![fault.breaks()],
            Self::Operator(fault) => fault.breaks(),
            Self::Event(_) | Self::Http(_) => vec![],
        }
    }

    /// What has to be there to inject and to heal it.
    pub(crate) fn needs(&self) -> Vec<String> {
        match self {
            Self::Broker(BrokerFault::Rewind { .. })
            | Self::Event(_)
            | Self::Operator(OperatorFault::RewindLive { .. } | OperatorFault::Redrive { .. }) => {
                vec!["broker".to_owned()]
            }
            Self::Database(_) => vec!["postgres".to_owned()],
            _ => vec![],
        }
    }

    /// How long it stays in a plan that follows from a seed.
    pub(crate) fn stay(&self) -> Stay {
        let ms = |from, to| (Duration::from_millis(from), Duration::from_millis(to));
        match self {
            Self::Process(fault) => fault.stay(),
            Self::Network(_) | Self::Registry(_) => ms(2_000, 6_000),
            Self::Broker(_) | Self::Database(_) => ms(1_000, 5_000),
            Self::Operator(OperatorFault::SecondRelay { .. }) => ms(4_000, 8_000),
            Self::Event(_) | Self::Operator(_) => ms(0, 0),
            Self::Http(_) => ms(500, 2_000),
        }
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Process,
        Self::Network,
        Self::Broker,
        Self::Database,
        Self::Registry,
        Self::Event,
        Self::Http,
        Self::Operator,
    ];

    /// The first word of a fault's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::Broker => "broker",
            Self::Database => "database",
            Self::Registry => "registry",
            Self::Event => "event",
            Self::Http => "http",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.class().as_str())?;
        match self {
            Self::Process(fault) => fault.fmt(f),
            Self::Network(fault) => fault.fmt(f),
            Self::Broker(fault) => fault.fmt(f),
            Self::Database(fault) => fault.fmt(f),
            Self::Registry(fault) => fault.fmt(f),
            Self::Event(fault) => fault.fmt(f),
            Self::Http(fault) => fault.fmt(f),
            Self::Operator(fault) => fault.fmt(f),
        }
    }
}

impl FromStr for Fault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (class, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class);
        Ok(match class.ok_or_else(|| ParseError::new(text, "the name of a class first"))? {
            Class::Process => Self::Process(rest.parse()?),
            Class::Network => Self::Network(rest.parse()?),
            Class::Broker => Self::Broker(rest.parse()?),
            Class::Database => Self::Database(rest.parse()?),
            Class::Registry => Self::Registry(rest.parse()?),
            Class::Event => Self::Event(rest.parse()?),
            Class::Http => Self::Http(rest.parse()?),
            Class::Operator => Self::Operator(rest.parse()?),
        })
    }
}

impl ParseError {
    pub(crate) fn new(text: &str, wanted: &str) -> Self {
        Self { text: text.to_owned(), wanted: wanted.to_owned() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.wanted)
    }
}

impl std::error::Error for ParseError {}
