//! What can go wrong while a fact is handled: one variant for each reaction of the platform.

use std::error::Error;

/// The cause of a fault.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a transaction could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database, the registry or the broker is away: retried for as long as it takes.
    #[error("{0}")]
    Transient(#[source] Source),
    /// The data cannot be handled, now or later.
    #[error("{0}")]
    Poison(#[source] Source),
}

/// The data of one record cannot be handled. Rows must be as they were before the decision.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Poison(#[source] pub Source);

impl Fault {
    /// A transient fault with a plain text as its cause.
    pub fn transient(cause: impl Into<Source>) -> Self {
        Self::Transient(cause.into())
    }

    /// A fault of the data with a plain text as its cause.
    pub fn poison(cause: impl Into<Source>) -> Self {
        Self::Poison(cause.into())
    }

    /// Whether the same work may succeed when it is done again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl Poison {
    /// A fault of the data with any cause.
    pub fn new(cause: impl Into<Source>) -> Self {
        Self(cause.into())
    }
}

impl From<Poison> for Fault {
    fn from(poison: Poison) -> Self {
        Self::Poison(poison.0)
    }
}

impl From<sqlx::Error> for Fault {
    /// Classes 21 (cardinality), 22 (data exception), 23 (constraint violation), 44 (check option)
    /// and 54 (limit exceeded) blame the data; everything else is the database's affair and is
    /// retried.
    fn from(error: sqlx::Error) -> Self {
        let class = match &error {
            sqlx::Error::Database(database) => {
                database.code().map(|code| code.get(..2).unwrap_or_default().to_owned())
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::RowNotFound => Some("22".to_owned()),
            _ => None,
        };
        match class.as_deref() {
            Some("21" | "22" | "23" | "44" | "54") => Self::Poison(error.into()),
            _ => Self::Transient(error.into()),
        }
    }
}
