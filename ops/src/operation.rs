//! Operations as the services that carry them out note them in their databases. It only looks.

use futures::future::join_all;
use schemas::Timestamp;
use serde::Serialize;
use sqlx::FromRow;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::Endpoints;
use crate::databases::{DatabaseError, failed, known, open};

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Its id: that of the command.
    pub id: Uuid,
    /// The service that carries it out.
    pub service: String,
    /// redrive, discard, restore or skip.
    pub kind: String,
    /// running, paused, done, stopped, cancelled or refused.
    pub state: String,
    /// How many keys it is about, or how many dead letters where no key is tried.
    pub total: u64,
    /// How many of them went well.
    pub done: u64,
    /// How many of them failed again.
    pub failed: u64,
    /// What is to be known of it.
    pub detail: String,
    /// Why it was asked for.
    pub reason: String,
    /// Who asked.
    pub issued_by: String,
    /// When.
    pub issued_at: Timestamp,
    /// When it moved last.
    pub updated_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    state: String,
    total: i32,
    done: i32,
    failed: i32,
    detail: String,
    reason: String,
    issued_by: String,
    issued_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Operation {
    /// Whether nothing more will become of it.
    pub fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "running" | "paused")
    }
}

/// An operation of one service, once the service has taken it up.
///
/// # Errors
/// When the database does not answer.
pub async fn operation(
    endpoints: &Endpoints,
    service: &str,
    id: Uuid,
) -> Result<Option<Operation>, DatabaseError> {
    Ok(of_service(endpoints, service, Some(id), 1).await?.into_iter().next())
}

/// The latest operations of every service, newest first, at most `limit` of each, and who did not
/// answer. With an id, only that one.
pub async fn operations(
    endpoints: &Endpoints,
    id: Option<Uuid>,
    limit: i64,
) -> (Vec<Operation>, Vec<DatabaseError>) {
    let services = known(endpoints);
    let answers = services.iter().map(|service| of_service(endpoints, service, id, limit));
    let (mut all, mut faults) = (vec![], vec![]);
    for answer in join_all(answers).await {
        match answer {
            Ok(operations) => all.extend(operations),
            Err(fault) => faults.push(fault),
        }
    }
    all.sort_by_key(|operation: &Operation| std::cmp::Reverse(operation.issued_at));
    (all, faults)
}

async fn of_service(
    endpoints: &Endpoints,
    service: &str,
    id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Operation>, DatabaseError> {
    let mut db = open(endpoints, service).await?;
    let rows: Result<Vec<Row>, _> = sqlx::query_as(
        "SELECT id, kind, state, total, done, failed, detail, reason, issued_by, issued_at,
             updated_at
         FROM millrace.operation WHERE $1::uuid IS NULL OR id = $1
         ORDER BY issued_at DESC LIMIT $2",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(&mut db)
    .await;
    let rows = rows.map_err(|error| failed(service, &error))?;
    Ok(rows.into_iter().map(|row| row.of(service)).collect())
}

impl Row {
    fn of(self, service: &str) -> Operation {
        let count = |count: i32| u64::try_from(count).unwrap_or_default();
        Operation {
            id: self.id,
            service: service.to_owned(),
            kind: self.kind,
            state: self.state,
            total: count(self.total),
            done: count(self.done),
            failed: count(self.failed),
            detail: self.detail,
            reason: self.reason,
            issued_by: self.issued_by,
            issued_at: self.issued_at.into(),
            updated_at: self.updated_at.into(),
        }
    }
}
