//! The services' own databases as an operator reads them: the platform's tables, never a service's,
//! and never writing. What is to change is asked of the service by a command.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::Endpoints;

/// How long a database may take to answer at all, and for one statement.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const STATEMENT_MS_MAX: &str = "15000";
/// Postgres's word for a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// Why a database told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Nobody said where it is.
    #[error(
        "no URL is known of the database of {service}; name it under `databases` in the file of endpoints"
    )]
    Unknown {
        /// Whose database.
        service: String,
    },
    /// Nobody answers.
    #[error("the database of {service} does not answer: {reason}")]
    Unreachable {
        /// Whose database.
        service: String,
        /// What happened.
        reason: String,
    },
    /// The platform's tables are not there.
    #[error(
        "the database of {service} has no tables of parked records: start {service} once, it makes them"
    )]
    NotPrepared {
        /// Whose database.
        service: String,
    },
    /// It answers, and with an error.
    #[error("the database of {service} refuses: {reason}")]
    Failed {
        /// Whose database.
        service: String,
        /// What it says.
        reason: String,
    },
}

/// The services whose database is known, in the order in which an order meets them.
pub fn known(endpoints: &Endpoints) -> Vec<String> {
    let place = |name: &String| crate::SERVICES.iter().position(|known| known == name);
    let mut names: Vec<String> = endpoints.databases.keys().cloned().collect();
    names.sort_by_key(|name| (place(name).unwrap_or(usize::MAX), name.clone()));
    names
}

/// A connection that can only read.
///
/// # Errors
/// `Unknown` or `Unreachable`.
pub async fn open(endpoints: &Endpoints, service: &str) -> Result<PgConnection, DatabaseError> {
    let unknown = || DatabaseError::Unknown { service: service.to_owned() };
    let unreachable =
        |reason: String| DatabaseError::Unreachable { service: service.to_owned(), reason };
    let url = endpoints.databases.get(service).ok_or_else(unknown)?;
    let options =
        PgConnectOptions::from_str(url).map_err(|error| unreachable(error.to_string()))?;
    let options = options.options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", STATEMENT_MS_MAX),
    ]);
    match tokio::time::timeout(CONNECT_MAX, options.disable_statement_logging().connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_MAX.as_secs()))),
    }
}

/// What an error of a statement means.
pub(crate) fn failed(service: &str, error: &sqlx::Error) -> DatabaseError {
    let service = service.to_owned();
    match error {
        sqlx::Error::Database(told) if told.code().as_deref() == Some(UNDEFINED_TABLE) => {
            DatabaseError::NotPrepared { service }
        }
        sqlx::Error::Io(error) => DatabaseError::Unreachable { service, reason: error.to_string() },
        error => DatabaseError::Failed { service, reason: error.to_string() },
    }
}
