//! Parked records as their services' databases have them.

use std::collections::BTreeMap;

use futures::future::join_all;
use millrace::contract::{Headers, headers_from_json};
use schemas::Timestamp;
use sqlx::types::time::OffsetDateTime;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Filter, Letter};
use crate::Endpoints;
use crate::databases::{DatabaseError, failed, known, open};

/// What the services that answer have, and who did not answer.
#[derive(Debug, Default)]
pub struct Letters {
    /// In the order of their arrival, by service.
    pub letters: Vec<Letter>,
    /// Databases that told nothing.
    pub faults: Vec<DatabaseError>,
}

/// A parked record with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is known of it.
    pub letter: Letter,
    /// The errors behind the error.
    pub error_chain: String,
    /// When the record was written, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Its value as it came.
    pub payload: Option<Vec<u8>>,
    /// Its value as it was repaired.
    pub edited: Option<Vec<u8>>,
    /// Its headers as they came.
    pub headers: Headers,
}

#[derive(FromRow)]
struct LetterRow {
    event_id: Uuid,
    key: String,
    topic: String,
    partition: i32,
    offset: i64,
    name: String,
    status: String,
    reason: String,
    error_type: String,
    error_message: String,
    fingerprint: String,
    attempts: i32,
    redrives: i32,
    first_failed_at: Option<OffsetDateTime>,
    last_failed_at: Option<OffsetDateTime>,
    parked_at: OffsetDateTime,
}

#[derive(FromRow)]
struct RecordRow {
    #[sqlx(flatten)]
    letter: LetterRow,
    error_chain: String,
    timestamp_ms: Option<i64>,
    payload: Option<Vec<u8>>,
    edited: Option<Vec<u8>>,
    headers: Vec<u8>,
}

const LETTER: &str = "event_id, key, topic, \"partition\", \"offset\", name, status, reason, \
                      error_type, error_message, fingerprint, attempts, redrives, \
                      first_failed_at, last_failed_at, parked_at";
const REST: &str = ", error_chain, timestamp_ms, payload, edited, headers";

/// Parked records of every service, in the order of their arrival, at most `limit` of each.
pub async fn letters(endpoints: &Endpoints, filter: &Filter, limit: i64) -> Letters {
    let services = asked(endpoints, filter);
    let answers =
        join_all(services.iter().map(|service| of_service(endpoints, service, filter, limit)));
    let mut all = Letters::default();
    for answer in answers.await {
        match answer {
            Ok(letters) => all.letters.extend(letters),
            Err(fault) => all.faults.push(fault),
        }
    }
    all
}

/// How many records wait behind others, by service and key. Services that do not answer are left
/// out.
pub async fn waiting(endpoints: &Endpoints) -> BTreeMap<(String, String), usize> {
    let of = async |service: &String| -> Result<Vec<(String, i64)>, DatabaseError> {
        let mut db = open(endpoints, service).await?;
        let counted =
            "SELECT key, count(*) FROM millrace.parked WHERE status = 'waiting' GROUP BY key";
        let rows = sqlx::query_as(counted).fetch_all(&mut db).await;
        rows.map_err(|error| failed(service, &error))
    };
    let services = known(endpoints);
    let answers = join_all(services.iter().map(of)).await;
    let mut all = BTreeMap::new();
    for (service, rows) in services.iter().zip(answers) {
        for (key, count) in rows.unwrap_or_default() {
            all.insert((service.clone(), key), usize::try_from(count).unwrap_or_default());
        }
    }
    all
}

/// Parked records of one service with their bytes, at most `limit`, after the record of this
/// arrival number; each with its own number.
///
/// # Errors
/// When the database tells nothing.
pub async fn records(
    endpoints: &Endpoints,
    service: &str,
    filter: &Filter,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Record)>, DatabaseError> {
    #[derive(FromRow)]
    struct Numbered {
        id: i64,
        #[sqlx(flatten)]
        row: RecordRow,
    }
    let mut db = open(endpoints, service).await?;
    let mut query = QueryBuilder::<Postgres>::new(format!("SELECT id, {LETTER}{REST}"));
    query.push(" FROM millrace.parked WHERE id > ").push_bind(after);
    narrow(&mut query, filter);
    query.push(" ORDER BY id LIMIT ").push_bind(limit);
    let rows: Result<Vec<Numbered>, _> = query.build_query_as().fetch_all(&mut db).await;
    let rows = rows.map_err(|error| failed(service, &error))?;
    Ok(rows.into_iter().map(|row| (row.id, row.row.into_record(service))).collect())
}

/// The services that are meant.
pub fn asked(endpoints: &Endpoints, filter: &Filter) -> Vec<String> {
    match &filter.service {
        Some(service) => vec![service.clone()],
        None => known(endpoints),
    }
}

async fn of_service(
    endpoints: &Endpoints,
    service: &str,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Letter>, DatabaseError> {
    let mut db = open(endpoints, service).await?;
    let mut query = QueryBuilder::<Postgres>::new(format!("SELECT {LETTER}"));
    query.push(" FROM millrace.parked WHERE true");
    narrow(&mut query, filter);
    query.push(" ORDER BY id LIMIT ").push_bind(limit);
    let rows: Result<Vec<LetterRow>, _> = query.build_query_as().fetch_all(&mut db).await;
    let rows = rows.map_err(|error| failed(service, &error))?;
    Ok(rows.into_iter().map(|row| row.into_letter(service)).collect())
}

fn narrow(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(cause) = &filter.cause {
        query.push(" AND starts_with(fingerprint, ").push_bind(cause.clone()).push(")");
    }
    if let Some(key) = &filter.key {
        query.push(" AND key = ").push_bind(key.clone());
    }
    if !filter.ids.is_empty() {
        query.push(" AND event_id = ANY(").push_bind(filter.ids.clone()).push(")");
    }
    if !filter.status.is_empty() {
        query.push(" AND status = ANY(").push_bind(filter.status.clone()).push(")");
    }
}

impl LetterRow {
    fn into_letter(self, service: &str) -> Letter {
        let count = |count: i32| u32::try_from(count).ok();
        Letter {
            id: self.event_id.to_string(),
            service: service.to_owned(),
            cause: self.fingerprint,
            status: self.status,
            reason: self.reason,
            error_type: self.error_type,
            error_message: self.error_message,
            fact: self.name,
            key: self.key,
            topic: self.topic,
            partition: Some(self.partition),
            offset: Some(self.offset),
            attempts: count(self.attempts),
            redrives: count(self.redrives),
            first_failed_at: self.first_failed_at.map(Timestamp::from),
            last_failed_at: self.last_failed_at.map(Timestamp::from),
            parked_at: Some(self.parked_at.into()),
        }
    }
}

impl RecordRow {
    fn into_record(self, service: &str) -> Record {
        Record {
            letter: self.letter.into_letter(service),
            error_chain: self.error_chain,
            timestamp_ms: self.timestamp_ms,
            payload: self.payload,
            edited: self.edited,
            // Only the platform writes this column, and as such a list.
            headers: headers_from_json(&self.headers).unwrap_or_default(),
        }
    }
}
