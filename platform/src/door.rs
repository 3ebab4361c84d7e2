//! The front door: a command takes the same road as a fact. Load, decide, save, announce, in one
//! transaction; the answer under an idempotency key is stored in it too.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::core::{Core, within};
use crate::emit::Origin;
use crate::plant::{self, Plant};
use crate::service::WorkingSet;
use crate::{Caller, Emit, Fault, IdempotencyKey, News, Problem, Registry, Tx, fail};

/// A client hears within this time that the database does not answer, before its patience ends.
const COMMAND_TIME_MAX: Duration = Duration::from_millis(4_500);
/// A deadlock or a serialization failure repeats the transaction this often.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// What handlers of a service's routes work with. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    pub(crate) core: Arc<Core>,
}

/// A JSON answer that can be stored under an idempotency key and given again.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: serde_json::Value,
}

impl Answer {
    /// An answer with a status and a body.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).unwrap_or(serde_json::Value::Null);
        Self { status, headers: vec![], body }
    }

    /// `202 Accepted` with the place where the outcome can be followed.
    pub fn accepted(location: &str, body: &impl Serialize) -> Self {
        Self::new(StatusCode::ACCEPTED, body)
            .header(LOCATION.as_str(), location)
            .header(RETRY_AFTER.as_str(), "1")
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        for (name, value) in self.headers {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            if let (Ok(name), Ok(value)) = pair {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Why a command ended without a commit.
enum Refused {
    Problem(Problem),
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Door {
    /// One command in one transaction. `decide` runs again when the database asks for a repetition.
    pub async fn command<W, T>(
        &self,
        caller: &Caller,
        keys: W::Keys,
        mut decide: impl FnMut(&mut W, &mut Emit) -> Result<T, Problem> + Send,
    ) -> Result<T, Problem>
    where
        W: WorkingSet,
        T: Send,
    {
        let (mut tries, deadline) = (1, Instant::now() + COMMAND_TIME_MAX);
        loop {
            let work = Box::pin(self.attempt(caller, &keys, &mut decide));
            match before(deadline, work).await {
                Err(Refused::Fault(fault)) if tries < ATTEMPTS_MAX && is_conflict(&fault) => {
                    tries += 1;
                }
                Err(Refused::Fault(fault)) => return Err(fault.into()),
                Err(Refused::Problem(problem)) => return Err(problem),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// One command that acts once for each idempotency key: the first answer is given again to
    /// every repetition, and another request under the same key is refused.
    pub async fn command_once<W>(
        &self,
        caller: &Caller,
        key: &IdempotencyKey,
        request: &(impl Serialize + Sync),
        keys: W::Keys,
        mut decide: impl FnMut(&mut W, &mut Emit) -> Result<Answer, Problem> + Send,
    ) -> Result<Answer, Problem>
    where
        W: WorkingSet,
    {
        let request = serde_json::to_vec(request).unwrap_or_default();
        let request = Sha256::digest(&request).to_vec();
        let (mut tries, deadline) = (1, Instant::now() + COMMAND_TIME_MAX);
        loop {
            let work = Box::pin(self.attempt_once(caller, key, &request, &keys, &mut decide));
            match before(deadline, work).await {
                Err(Refused::Fault(fault)) if is_lock_timeout(&fault) => return Err(running()),
                Err(Refused::Fault(fault)) if tries < ATTEMPTS_MAX && is_conflict(&fault) => {
                    tries += 1;
                }
                Err(Refused::Fault(fault)) => return Err(fault.into()),
                Err(Refused::Problem(problem)) => return Err(problem),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// A connection for a query.
    pub async fn read(&self) -> Result<Tx, Problem> {
        let read = Tx::read(&self.core.pool, self.core.settings.clone());
        Ok(within(COMMAND_TIME_MAX, read).await?)
    }

    /// The service's own settings, of the type given to `ServiceBuilder::settings`.
    pub fn settings<S: Default + Send + Sync + 'static>(&self) -> Arc<S> {
        self.core.settings.clone().downcast::<S>().unwrap_or_default()
    }

    /// The registry, for what shows facts of any version.
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// News of what a view knows of a key, for answers that wait for them: those of this process.
    pub fn news(&self, key: impl Display) -> News {
        self.core.news.of(key.to_string())
    }

    async fn attempt<W, T>(
        &self,
        caller: &Caller,
        keys: &W::Keys,
        decide: &mut (impl FnMut(&mut W, &mut Emit) -> Result<T, Problem> + Send),
    ) -> Result<T, Refused>
    where
        W: WorkingSet,
        T: Send,
    {
        let mut tx = self.core.begin().await?;
        match self.decide(&mut tx, caller, keys, decide).await {
            Ok(answer) => {
                self.commit(tx).await?;
                Ok(answer)
            }
            Err(refused) => {
                tx.rollback().await?;
                Err(refused)
            }
        }
    }

    async fn attempt_once<W>(
        &self,
        caller: &Caller,
        key: &IdempotencyKey,
        request: &[u8],
        keys: &W::Keys,
        decide: &mut (impl FnMut(&mut W, &mut Emit) -> Result<Answer, Problem> + Send),
    ) -> Result<Answer, Refused>
    where
        W: WorkingSet,
    {
        let mut tx = self.core.begin().await?;
        if !claim(&mut tx, key, request).await? {
            let stored = stored_answer(&mut tx, key, request).await;
            tx.rollback().await?;
            return stored;
        }
        let decided = match self.decide(&mut tx, caller, keys, decide).await {
            Ok(answer) => store_answer(&mut tx, key, &answer).await.map(|()| answer),
            Err(refused) => Err(refused),
        };
        match decided {
            Ok(answer) => {
                self.commit(tx).await?;
                Ok(answer)
            }
            Err(refused) => {
                tx.rollback().await?;
                Err(refused)
            }
        }
    }

    async fn decide<W, T>(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        keys: &W::Keys,
        decide: &mut (impl FnMut(&mut W, &mut Emit) -> Result<T, Problem> + Send),
    ) -> Result<T, Refused>
    where
        W: WorkingSet,
        T: Send,
    {
        let mut rows = W::load(tx, keys).await?;
        let mut emit = self.core.pen(tx);
        emit.caused_by(Origin { span: caller.span(), ..Origin::default() });
        let answer = decide(&mut rows, &mut emit)?;
        rows.save(tx).await?;
        if plant::is_turn(Plant::DoorTwoTransactions, 5) {
            return Ok(answer);
        }
        self.core.announce(tx, emit).await?;
        Ok(answer)
    }

    async fn commit(&self, tx: Tx) -> Result<(), Fault> {
        fail::point("door.before_commit");
        if plant::is_turn(Plant::DoorBeforeCommit, 5) {
            return tx.rollback().await;
        }
        tx.commit().await?;
        fail::point("door.after_commit");
        self.core.committed();
        Ok(())
    }
}

async fn before<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    let left = deadline.saturating_duration_since(Instant::now());
    within(left, async { Ok(work.await) }).await?
}

/// Takes the key for this transaction; waits when another one holds it.
pub(crate) async fn claim(
    tx: &mut Tx,
    key: &IdempotencyKey,
    request: &[u8],
) -> Result<bool, Fault> {
    if plant::is(Plant::DoorKeyIgnored) {
        return Ok(true);
    }
    let claimed = sqlx::query(
        "INSERT INTO millrace.idempotency (scope, key, request) VALUES ($1, $2, $3)
         ON CONFLICT (scope, key) DO NOTHING",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(request)
    .execute(tx.db())
    .await?;
    Ok(claimed.rows_affected() == 1)
}

async fn stored_answer(
    tx: &mut Tx,
    key: &IdempotencyKey,
    request: &[u8],
) -> Result<Answer, Refused> {
    let row = sqlx::query(
        "SELECT request, status, headers, body FROM millrace.idempotency
         WHERE scope = $1 AND key = $2",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .fetch_optional(tx.db())
    .await
    .map_err(Fault::from)?;
    let Some(row) = row else { return Err(running().into()) };
    if row.get::<Vec<u8>, _>(0) != request {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; use a new one",
        )
        .into());
    }
    let status = row.get::<Option<i16>, _>(1).unwrap_or_default() as u16;
    let headers = row.get::<Option<serde_json::Value>, _>(2).unwrap_or_default();
    Ok(Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        headers: serde_json::from_value(headers).unwrap_or_default(),
        body: row.get::<Option<serde_json::Value>, _>(3).unwrap_or_default(),
    })
}

async fn store_answer(tx: &mut Tx, key: &IdempotencyKey, answer: &Answer) -> Result<(), Refused> {
    if plant::is(Plant::DoorAnswerLost) {
        return Ok(());
    }
    sqlx::query(
        "UPDATE millrace.idempotency SET status = $3, headers = $4, body = $5
         WHERE scope = $1 AND key = $2",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(answer.status.as_u16() as i16)
    .bind(serde_json::json!(answer.headers))
    .bind(&answer.body)
    .execute(tx.db())
    .await
    .map_err(Fault::from)?;
    Ok(())
}

fn running() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "idempotency_key_in_use",
        "a request with this Idempotency-Key is still running; try again in a moment",
    )
}

pub(crate) fn is_conflict(fault: &Fault) -> bool {
    matches!(sql_state(fault).as_deref(), Some("40001" | "40P01"))
}

fn is_lock_timeout(fault: &Fault) -> bool {
    sql_state(fault).as_deref() == Some("55P03")
}

fn sql_state(fault: &Fault) -> Option<String> {
    let Fault::Transient(source) = fault else { return None };
    let error = source.downcast_ref::<sqlx::Error>()?;
    error.as_database_error()?.code().map(|code| code.into_owned())
}
