//! What happens to PostgreSQL and to the database of one service. Sessions that hold a lock are
//! kept by the field until the fault is healed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::{Field, Outcome, ParseError, Server, Toxic};
use crate::{Part, eventually};

/// A server that was ill a moment ago answers within this time.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// What a busy disk does to a commit.
const SLOW: Toxic = Toxic::Slow { delay: Duration::from_millis(150), bytes_per_second: 256 * 1024 };

/// A fault of PostgreSQL, or of one service's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseFault {
    /// The server ends without farewell; starts again on the same data.
    Crash,
    /// The server ends in good order; starts again.
    Restart,
    /// Every backend that serves this service stands still.
    Freeze(String),
    /// Nobody may connect, and who was connected is thrown out.
    Close(String),
    /// No connection is left for the service.
    Exhaust(String),
    /// Every connection of the service is terminated, in whatever it does.
    Terminate(String),
    /// Every commit of the service takes long.
    Slow(String),
    /// A session holds a table of the service, so that nobody reads or writes it.
    Lock(String, String),
    /// The disk of the service's tables has no room left.
    Full(String),
}

impl DatabaseFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let ground = field.world().ground();
        if matches!(self, Self::Crash | Self::Restart) && !ground.owns_postgres() {
            return Ok(Outcome::NotHere("a given PostgreSQL is left alone".to_owned()));
        }
        match self {
            Self::Crash => ground.crash(Part::Postgres).await?,
            Self::Restart => ground.end(Part::Postgres).await?,
            Self::Freeze(service) => links(field, service, Some(Toxic::HalfOpen)),
            Self::Slow(service) => links(field, service, Some(SLOW)),
            Self::Close(service) => allow(field, service, false).await?,
            Self::Exhaust(service) => {
                limit(field, service, 0).await?;
                terminate(field, service).await?;
            }
            Self::Terminate(service) => terminate(field, service).await?,
            Self::Lock(service, table) => self.lock(field, service, table).await?,
            Self::Full(_) => {
                let why = "needs a file system of its own with a quota under the tables";
                return Ok(Outcome::NotHere(why.to_owned()));
            }
        }
        Ok(Outcome::Injected)
    }

    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        let ground = field.world().ground();
        match self {
            Self::Crash | Self::Restart if !ground.owns_postgres() => {}
            Self::Crash | Self::Restart => ground.restart(Part::Postgres).await?,
            Self::Freeze(service) | Self::Slow(service) => links(field, service, None),
            Self::Close(service) => allow(field, service, true).await?,
            Self::Exhaust(service) => limit(field, service, -1).await?,
            Self::Terminate(_) | Self::Full(_) => {}
            Self::Lock(..) => drop(field.sessions().lock().await.remove(&self.to_string())),
        }
        Ok(())
    }

    pub(crate) fn breaks(&self) -> Vec<String> {
        let own = |service: &str| format!("postgres/{service}");
        match self {
            Self::Crash | Self::Restart => vec!["postgres".to_owned()],
            Self::Freeze(service) | Self::Slow(service) => vec![format!("link/{service}")],
            Self::Close(service)
            | Self::Exhaust(service)
            | Self::Terminate(service)
            | Self::Lock(service, _)
            | Self::Full(service) => vec![own(service)],
        }
    }

    async fn lock(&self, field: &Field, service: &str, table: &str) -> Result<()> {
        let name = field.world().database_name(service);
        let statement = format!("BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", quoted(table));
        let what = format!("{table} is locked");
        let session = eventually(ANSWER_MAX, &what, async || {
            let locked = async {
                let mut session = field.world().ground().postgres(&name).await?;
                session.execute(AssertSqlSafe(statement.clone())).await?;
                anyhow::Ok(session)
            };
            locked.await.map_err(|error| format!("{error:#}"))
        });
        let session = session.await?;
        field.sessions().lock().await.insert(self.to_string(), session);
        Ok(())
    }
}

/// `schema.table` as names that no keyword can be taken for.
fn quoted(table: &str) -> String {
    let parts: Vec<String> =
        table.split('.').map(|part| format!("\"{}\"", part.replace('"', ""))).collect();
    parts.join(".")
}

fn links(field: &Field, service: &str, toxic: Option<Toxic>) {
    for instance in field.fleet().of(service) {
        if let Some(link) = instance.link(Server::Postgres) {
            link.set(toxic);
        }
    }
}

async fn allow(field: &Field, service: &str, allow: bool) -> Result<()> {
    let name = field.world().database_name(service);
    eventually(ANSWER_MAX, &format!("{name} may be entered: {allow}"), async || {
        let done = field.world().ground().allow_connections(&name, allow).await;
        done.map_err(|error| format!("{error:#}"))
    })
    .await
}

async fn limit(field: &Field, service: &str, connections: i32) -> Result<()> {
    let name = field.world().database_name(service);
    let alter = format!(r#"ALTER DATABASE "{name}" CONNECTION LIMIT {connections}"#);
    eventually(ANSWER_MAX, &format!("{name} has its limit"), async || {
        let done = async {
            let mut server = field.world().ground().postgres("postgres").await?;
            server.execute(AssertSqlSafe(alter.clone())).await?;
            anyhow::Ok(())
        };
        done.await.map_err(|error| format!("{error:#}"))
    })
    .await
}

async fn terminate(field: &Field, service: &str) -> Result<()> {
    let mut server: PgConnection = field.world().ground().postgres("postgres").await?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    sqlx::query(end).bind(field.world().database_name(service)).execute(&mut server).await?;
    Ok(())
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crash"),
            Self::Restart => f.write_str("restart"),
            Self::Freeze(service) => write!(f, "freeze {service}"),
            Self::Close(service) => write!(f, "close {service}"),
            Self::Exhaust(service) => write!(f, "exhaust {service}"),
            Self::Terminate(service) => write!(f, "terminate {service}"),
            Self::Slow(service) => write!(f, "slow {service}"),
            Self::Lock(service, table) => write!(f, "lock {service} {table}"),
            Self::Full(service) => write!(f, "full {service}"),
        }
    }
}

impl FromStr for DatabaseFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["crash"] => Self::Crash,
            ["restart"] => Self::Restart,
            ["freeze", service] => Self::Freeze(service.to_owned()),
            ["close", service] => Self::Close(service.to_owned()),
            ["exhaust", service] => Self::Exhaust(service.to_owned()),
            ["terminate", service] => Self::Terminate(service.to_owned()),
            ["slow", service] => Self::Slow(service.to_owned()),
            ["lock", service, table] => Self::Lock(service.to_owned(), table.to_owned()),
            ["full", service] => Self::Full(service.to_owned()),
            _ => return Err(ParseError::new(text, "a fault of a database")),
        })
    }
}
