//! What happens to one process of a service. Its instance is started again from what it was
//! started from, on the same port.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use super::{Field, Outcome, ParseError, Stay, text};
use crate::Signal;

/// Where Debian puts the library that shifts a process's clock.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// Something that happens to an instance, `stock/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessFault {
    /// Killed with -9; started again.
    Kill(String),
    /// Stands still with all its connections open; goes on. Longer than its group's session, it
    /// wakes up as a zombie.
    Freeze(String),
    /// Ended in good order; started again. It must end by itself.
    Restart(String),
    /// A spare instance joins; leaves in good order.
    Join(String),
    /// Started with its clock ahead or behind; started with the right one.
    Skew(String, i64),
}

impl ProcessFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let instance = field.fleet().instance(self.instance())?;
        match self {
            Self::Kill(_) => instance.kill().await,
            Self::Freeze(_) => instance.signal(Signal::Stop).await,
            Self::Restart(name) => {
                if !instance.stop().await {
                    return Ok(Outcome::Wrong(format!("{name} did not end by itself")));
                }
            }
            Self::Join(_) => instance.start().await?,
            Self::Skew(_, seconds) => {
                let Some(library) = faketime() else {
                    let why = "there is no libfaketime on this machine".to_owned();
                    return Ok(Outcome::NotHere(why));
                };
                instance.stop().await;
                instance.start_skewed(&library, *seconds).await?;
            }
        }
        Ok(Outcome::Injected)
    }

    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        let instance = field.fleet().instance(self.instance())?;
        match self {
            Self::Kill(_) | Self::Restart(_) => instance.start().await?,
            Self::Freeze(_) => instance.signal(Signal::Continue).await,
            Self::Join(_) => drop(instance.stop().await),
            Self::Skew(..) if faketime().is_some() => {
                instance.stop().await;
                instance.start().await?;
            }
            Self::Skew(..) => {}
        }
        Ok(())
    }

    pub(crate) fn breaks(&self) -> String {
        format!("process/{}", self.instance())
    }

    pub(crate) fn stay(&self) -> Stay {
        let ms = |from, to| (Duration::from_millis(from), Duration::from_millis(to));
        match self {
            Self::Kill(_) | Self::Restart(_) => ms(0, 2_000),
            Self::Freeze(_) => ms(1_000, 8_000),
            Self::Join(_) | Self::Skew(..) => ms(4_000, 10_000),
        }
    }

    fn instance(&self) -> &str {
        match self {
            Self::Kill(name)
            | Self::Freeze(name)
            | Self::Restart(name)
            | Self::Join(name)
            | Self::Skew(name, _) => name,
        }
    }
}

/// The library that shifts a process's clock: what `LIBFAKETIME` names, or where it is installed.
fn faketime() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("LIBFAKETIME") {
        return Some(PathBuf::from(given)).filter(|file| file.exists());
    }
    let places = std::fs::read_dir("/usr/lib").ok()?.filter_map(|place| Some(place.ok()?.path()));
    let places = places.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")]);
    places.map(|place| place.join(Path::new(FAKETIME))).find(|file| file.exists())
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(name) => write!(f, "kill {name}"),
            Self::Freeze(name) => write!(f, "freeze {name}"),
            Self::Restart(name) => write!(f, "restart {name}"),
            Self::Join(name) => write!(f, "join {name}"),
            Self::Skew(name, seconds) => write!(f, "skew {name} {seconds:+}s"),
        }
    }
}

impl FromStr for ProcessFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(skew) = text.strip_prefix("skew ") {
            let [name, seconds] = text::words(skew)?;
            let number = seconds.strip_suffix('s').and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| ParseError::new(seconds, "seconds, like +3600s"))?;
            return Ok(Self::Skew(name.to_owned(), number));
        }
        let [what, name] = text::words(text)?;
        let name = name.to_owned();
        Ok(match what {
            "kill" => Self::Kill(name),
            "freeze" => Self::Freeze(name),
            "restart" => Self::Restart(name),
            "join" => Self::Join(name),
            _ => return Err(ParseError::new(what, "kill, freeze, restart, join or skew")),
        })
    }
}
