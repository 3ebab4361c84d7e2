//! What operators do by mistake, at the wrong moment or twice.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use millrace::admin::{RawRecord, To};
use millrace::control::{Command, Kind, Operator, Selection};
use millrace::repair::Repair;
use uuid::Uuid;

use super::{Field, Outcome, ParseError, ProcessFault, text};

/// A mistake of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorFault {
    /// All dead letters of a service's group are redriven, by two commands at once.
    Redrive {
        /// Name of the service.
        service: String,
    },
    /// A group with members is put back to the beginning; the broker must refuse.
    RewindLive {
        /// Name of the service.
        service: String,
    },
    /// One more process of a service is started, with a relay of its own.
    SecondRelay {
        /// Name of the spare instance.
        instance: String,
    },
}

impl OperatorFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        match self {
            Self::Redrive { service } => redrive(field, service).await,
            Self::RewindLive { service } => rewind(field, service).await,
            Self::SecondRelay { instance } => joined(instance).inject(field).await,
        }
    }

    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        match self {
            Self::SecondRelay { instance } => joined(instance).heal(field).await,
            Self::Redrive { .. } | Self::RewindLive { .. } => Ok(()),
        }
    }

    pub(crate) fn breaks(&self) -> Vec<String> {
        match self {
            Self::SecondRelay { instance } => vec![joined(instance).breaks()],
            Self::Redrive { .. } | Self::RewindLive { .. } => vec![],
        }
    }
}

fn joined(instance: &str) -> ProcessFault {
    ProcessFault::Join(instance.to_owned())
}

async fn redrive(field: &Field, service: &str) -> Result<Outcome> {
    let (Some(topic), Some((group, _))) = (field.commands_topic(), field.group(service)) else {
        return Ok(Outcome::NotHere("nobody said where commands go".to_owned()));
    };
    let admin = field.admin().await?;
    if !admin.topics().await?.iter().any(|known| known.name == topic) {
        return Ok(Outcome::NotHere(format!("there is no topic {topic}")));
    }
    for _ in 0..2 {
        let at = time::OffsetDateTime::now_utc();
        let operator = Operator {
            id: Uuid::now_v7(),
            group: group.clone(),
            issued_at: at.format(&time::format_description::well_known::Rfc3339)?,
            by: "fault kit".to_owned(),
            reason: "by mistake".to_owned(),
        };
        let (select, repair) = (Selection::default(), Repair::default());
        let kind = Kind::Redrive { select, rate: None, canary: None, repair };
        let payload = Some(serde_json::to_vec(&Command { operator, kind })?);
        let key = Some(group.as_bytes().to_vec());
        admin.produce(&topic, RawRecord { partition: None, key, payload, headers: vec![] }).await?;
    }
    Ok(Outcome::Injected)
}

async fn rewind(field: &Field, service: &str) -> Result<Outcome> {
    let Some((group, topics)) = field.group(service) else {
        return Ok(Outcome::NotHere(format!("nobody said what {service} reads")));
    };
    let admin = field.admin().await?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    // While every member is away for another fault the broker may take it, and then the inbox
    // has to absorb what comes again: both are what the platform promises.
    drop(admin.reset_group(&group, &topics, To::Earliest).await);
    Ok(Outcome::Injected)
}

impl fmt::Display for OperatorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redrive { service } => write!(f, "redrive-twice {service}"),
            Self::RewindLive { service } => write!(f, "rewind-live {service}"),
            Self::SecondRelay { instance } => write!(f, "second-relay {instance}"),
        }
    }
}

impl FromStr for OperatorFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let [what, of] = text::words(text)?;
        let of = of.to_owned();
        Ok(match what {
            "redrive-twice" => Self::Redrive { service: of },
            "rewind-live" => Self::RewindLive { service: of },
            "second-relay" => Self::SecondRelay { instance: of },
            _ => return Err(ParseError::new(what, "a mistake of an operator")),
        })
    }
}
