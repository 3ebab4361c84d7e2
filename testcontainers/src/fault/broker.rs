//! What happens to the broker: it ends, stands still, is restarted; a topic is made anew; a group
//! is put back to the beginning.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use millrace::admin::TopicSpec;

use super::{Field, Outcome, ParseError};
use crate::{GroundKind, Part, eventually};

/// A topic that is removed, and a group whose members were killed, are gone after this.
const GONE_MAX: Duration = Duration::from_secs(20);
/// What of a topic's settings is taken over when it is made anew.
const KEPT: [&str; 2] = ["cleanup.policy", "retention.ms"];

/// A fault of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerFault {
    /// It ends without farewell; starts again on the same data.
    Crash,
    /// It stands still with its connections open.
    Freeze,
    /// It ends in good order; starts again on the same data.
    Restart,
    /// A topic is removed with all its records, and made anew. No plan from a seed has this: what
    /// was not read yet is lost, and nothing heals that.
    Recreate {
        /// Its declared name.
        topic: String,
    },
    /// All instances of a service are killed and its group is put back to the beginning; they
    /// start again and read everything a second time.
    Rewind {
        /// Name of the service.
        service: String,
    },
}

impl BrokerFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let ground = field.world().ground();
        match self {
            Self::Crash => ground.crash(Part::Broker).await?,
            Self::Freeze | Self::Restart if ground.kind() == GroundKind::Embedded => {
                return Ok(Outcome::NotHere("this broker is no process".to_owned()));
            }
            Self::Freeze => ground.freeze(Part::Broker).await?,
            Self::Restart => ground.end(Part::Broker).await?,
            Self::Recreate { topic } => recreate(field, &field.topic(topic)).await?,
            Self::Rewind { service } => return rewind(field, service).await,
        }
        Ok(Outcome::Injected)
    }

    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        let ground = field.world().ground();
        match self {
            Self::Crash => ground.restart(Part::Broker).await,
            Self::Freeze | Self::Restart if ground.kind() == GroundKind::Embedded => Ok(()),
            Self::Restart => ground.restart(Part::Broker).await,
            Self::Freeze => ground.thaw(Part::Broker).await,
            Self::Recreate { .. } => Ok(()),
            Self::Rewind { service } => {
                for instance in field.fleet().of(service).filter(|it| !it.is_spare()) {
                    instance.start().await?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn breaks(&self) -> Vec<String> {
        match self {
            Self::Crash | Self::Freeze | Self::Restart => vec!["broker".to_owned()],
            Self::Recreate { topic } => vec![format!("broker/{topic}")],
            Self::Rewind { service } => vec![format!("process/{service}")],
        }
    }
}

async fn recreate(field: &Field, topic: &str) -> Result<()> {
    let admin = field.admin().await?;
    let topics = admin.topics().await?;
    let found = topics.iter().find(|info| info.name == topic);
    let found = found.with_context(|| format!("there is no topic {topic}"))?;
    let mut settings = admin.describe(topic).await?;
    settings.retain(|name, _| KEPT.contains(&name.as_str()));
    let mut spec = TopicSpec::new(topic, u32::try_from(found.partitions)?);
    spec.config = settings;
    admin.delete_topics(&[topic]).await?;
    // A broker answers before the removal is done.
    eventually(GONE_MAX, &format!("{topic} is made anew"), async || {
        let spec = std::slice::from_ref(&spec);
        let made = admin.create_topics(spec).await.map_err(|error| error.to_string())?;
        match made.first() {
            Some((_, millrace::admin::Creation::Created)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn rewind(field: &Field, service: &str) -> Result<Outcome> {
    let Some((group, topics)) = field.group(service) else {
        return Ok(Outcome::NotHere(format!("nobody said what {service} reads")));
    };
    for instance in field.fleet().of(service) {
        instance.kill().await;
    }
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let ground = field.world().ground();
    eventually(GONE_MAX, &format!("{group} is put back"), async || {
        ground.rewind_group(&group, &topics).await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    Ok(Outcome::Injected)
}

impl fmt::Display for BrokerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crash"),
            Self::Freeze => f.write_str("freeze"),
            Self::Restart => f.write_str("restart"),
            Self::Recreate { topic } => write!(f, "recreate {topic}"),
            Self::Rewind { service } => write!(f, "rewind {service}"),
        }
    }
}

impl FromStr for BrokerFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["crash"] => Self::Crash,
            ["freeze"] => Self::Freeze,
            ["restart"] => Self::Restart,
            ["recreate", topic] => Self::Recreate { topic: topic.to_owned() },
            ["rewind", service] => Self::Rewind { service: service.to_owned() },
            _ => return Err(ParseError::new(text, "a fault of a broker")),
        })
    }
}
