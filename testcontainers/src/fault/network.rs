//! What happens to the connections between one instance and one server. It changes no proxy but
//! that one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use super::{Field, Outcome, ParseError, Server, text};

/// What a network does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// Nobody listens, and whoever was connected is thrown out.
    Refuse,
    /// Each connection is reset after so many more bytes of requests: in the middle of one.
    Cut {
        /// Bytes that still arrive.
        after_bytes: u64,
    },
    /// Bytes come late and slowly, both ways.
    Slow {
        /// Before each chunk.
        delay: Duration,
        /// Of one connection in one direction.
        bytes_per_second: u64,
    },
    /// Connections open, and nothing ever comes back: the other side is gone without a word.
    HalfOpen,
    /// Requests arrive, their replies do not.
    OneWay,
}

/// A toxic on the way from an instance to a server, or from its clients to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFault {
    /// Name of the instance, `stock/1`.
    pub instance: String,
    /// The other end.
    pub server: Server,
    /// What happens in between.
    pub toxic: Toxic,
}

impl NetworkFault {
    pub(crate) fn inject(&self, field: &Field) -> Result<Outcome> {
        let Some(link) = field.fleet().instance(&self.instance)?.link(self.server) else {
            let server = self.server.as_str();
            let why = format!("{} has no proxy towards {server}", self.instance);
            return Ok(Outcome::NotHere(why));
        };
        link.set(Some(self.toxic));
        Ok(Outcome::Injected)
    }

    pub(crate) fn heal(&self, field: &Field) -> Result<()> {
        if let Some(link) = field.fleet().instance(&self.instance)?.link(self.server) {
            link.set(None);
        }
        Ok(())
    }

    pub(crate) fn breaks(&self) -> String {
        format!("link/{}/{}", self.instance, self.server.as_str())
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.instance, self.server.as_str(), self.toxic)
    }
}

impl FromStr for NetworkFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(text, "an instance, a server and what happens in between");
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().ok_or_else(wrong);
        let (instance, server, toxic) = (word()?.to_owned(), word()?, word()?);
        Ok(Self { instance, server: server.parse()?, toxic: toxic.parse()? })
    }
}

impl fmt::Display for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::Cut { after_bytes } => write!(f, "cut {after_bytes}B"),
            Self::Slow { delay, bytes_per_second } => {
                write!(f, "slow {} {bytes_per_second}B/s", text::show(*delay))
            }
            Self::HalfOpen => f.write_str("half-open"),
            Self::OneWay => f.write_str("one-way"),
        }
    }
}

impl FromStr for Toxic {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["refuse"] => Self::Refuse,
            ["cut", after] => Self::Cut { after_bytes: text::amount(after, "B")? },
            ["slow", delay, speed] => Self::Slow {
                delay: text::duration(delay)?,
                bytes_per_second: text::amount(speed, "B/s")?,
            },
            ["half-open"] => Self::HalfOpen,
            ["one-way"] => Self::OneWay,
            _ => return Err(ParseError::new(text, "refuse, cut, slow, half-open or one-way")),
        })
    }
}
