//! What is decided on an answer: a transaction that first locks the ask and goes on only if it has
//! no answer yet, so that worker, webhook, crash and second instance settle it once.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use millrace_contract::EventId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::store::{self, Locked};
use super::{Ask, Settle};
use crate::core::{Core, in_time};
use crate::door::{ATTEMPTS_MAX, claim, is_conflict};
use crate::emit::Origin;
use crate::telemetry::parse_traceparent;
use crate::{Door, Fault, IdempotencyKey, Problem, Tx, fail};

/// What became of an answer that a partner brought to the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It was acted on.
    Now,
    /// The ask had its answer already, or the partner said this before. Nothing was done.
    Before,
}

impl Door {
    /// Acts on an answer that a partner brings by itself, such as a webhook's: once for each
    /// event, and once for each ask whoever answers it.
    ///
    /// # Errors
    /// 404 `unknown_ask` when nothing was asked under this key, 422 `idempotency_key_reused` when
    /// the event had said something else before, 422 `unusable_answer` when it cannot be settled.
    pub async fn settle<W, A>(
        &self,
        event: &IdempotencyKey,
        key: &str,
        answer: A::Answer,
    ) -> Result<Settled, Problem>
    where
        W: Settle<A>,
        A: Ask,
    {
        let said = serde_json::to_vec(&(A::NAME, key, &answer)).unwrap_or_default();
        let said = Sha256::digest(&said).to_vec();
        let answers = BTreeMap::from([(key.to_owned(), answer)]);
        let mut tries = 1;
        loop {
            let work = Box::pin(settle_said::<W, A>(&self.core, event, &said, &answers));
            match in_time(async { Ok(work.await) }).await? {
                Err(Unsettled::Fault(fault)) if tries < ATTEMPTS_MAX && is_conflict(&fault) => {
                    tries += 1;
                }
                Err(Unsettled::Fault(Fault::Poison(cause))) => {
                    tracing::error!(ask = A::NAME, key, %cause, "an answer cannot be settled");
                    let detail = "what is said does not fit what was asked";
                    let status = StatusCode::UNPROCESSABLE_ENTITY;
                    return Err(Problem::new(status, "unusable_answer", detail));
                }
                Err(Unsettled::Fault(fault)) => return Err(fault.into()),
                Err(Unsettled::Problem(problem)) => return Err(problem),
                Ok(settled) => return Ok(settled),
            }
        }
    }
}

enum Unsettled {
    Fault(Fault),
    Problem(Problem),
}

impl From<Fault> for Unsettled {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn settle_said<W, A>(
    core: &Core,
    event: &IdempotencyKey,
    said: &[u8],
    answers: &BTreeMap<String, A::Answer>,
) -> Result<Settled, Unsettled>
where
    W: Settle<A>,
    A: Ask,
{
    let mut tx = core.begin().await?;
    if !claim(&mut tx, event, said).await? {
        let same = same_request(&mut tx, event, said).await;
        tx.rollback().await?;
        return match same? {
            true => Ok(Settled::Before),
            false => Err(Unsettled::Problem(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this event said something else before",
            ))),
        };
    }
    let settled = match settle::<W, A>(core, &mut tx, answers).await {
        Ok(0) if !store::is_known(&mut tx, A::NAME, answers.keys()).await? => {
            let detail = "nothing was asked under this key";
            let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_ask", detail);
            Err(Unsettled::Problem(problem))
        }
        settled => settled.map_err(Unsettled::Fault),
    };
    match settled {
        Ok(settled) => {
            commit(core, tx).await?;
            Ok(if settled == 0 { Settled::Before } else { Settled::Now })
        }
        Err(unsettled) => {
            tx.rollback().await?;
            Err(unsettled)
        }
    }
}

/// One transaction for the answers of a batch of calls; says how many were news.
pub(super) async fn settle_called<W, A>(
    core: &Core,
    answers: &BTreeMap<String, A::Answer>,
) -> Result<usize, Fault>
where
    W: Settle<A>,
    A: Ask,
{
    let mut tx = core.begin().await?;
    match settle::<W, A>(core, &mut tx, answers).await {
        Ok(settled) => {
            commit(core, tx).await?;
            Ok(settled)
        }
        Err(fault) => {
            tx.rollback().await?;
            Err(fault)
        }
    }
}

async fn settle<W, A>(
    core: &Core,
    tx: &mut Tx,
    answers: &BTreeMap<String, A::Answer>,
) -> Result<usize, Fault>
where
    W: Settle<A>,
    A: Ask,
{
    let wanted: Vec<&str> = answers.keys().map(String::as_str).collect();
    let locked = store::lock(tx, A::NAME, &wanted).await?;
    if locked.is_empty() {
        return Ok(0);
    }
    let mut keys = W::Keys::default();
    let mut asks = Vec::with_capacity(locked.len());
    for row in &locked {
        let ask: A = serde_json::from_value(row.body.clone()).map_err(Fault::poison)?;
        W::keys(&ask, &mut keys);
        asks.push(ask);
    }
    let mut rows = W::load(tx, &keys).await?;
    let mut emit = core.pen(tx);
    let mut given = BTreeMap::new();
    for (row, ask) in locked.iter().zip(&asks) {
        let Some(answer) = answers.get(&row.key) else { continue };
        emit.caused_by(origin(row));
        rows.settle(ask, answer, &mut emit)?;
        let answer = serde_json::to_value(answer).map_err(Fault::poison)?;
        given.insert(row.key.as_str(), answer);
    }
    rows.save(tx).await?;
    store::answered(tx, A::NAME, &given).await?;
    core.announce(tx, emit).await?;
    Ok(given.len())
}

/// What is announced now is caused by the fact that led to the ask, and stays in its flow.
fn origin(row: &Locked) -> Origin {
    Origin {
        correlation: Some(row.correlation.clone()),
        causation: row.causation.and_then(|id| EventId::new(id).ok()),
        span: row.traceparent.as_deref().and_then(parse_traceparent),
    }
}

async fn commit(core: &Core, tx: Tx) -> Result<(), Fault> {
    fail::point("ask.before_settle");
    tx.commit().await?;
    fail::point("ask.after_settle");
    core.committed();
    Ok(())
}

async fn same_request(tx: &mut Tx, event: &IdempotencyKey, said: &[u8]) -> Result<bool, Fault> {
    let same = "SELECT request = $3 FROM millrace.idempotency WHERE scope = $1 AND key = $2";
    let same = sqlx::query_scalar(same).bind(&event.scope).bind(&event.key).bind(said);
    Ok(same.fetch_optional(tx.db()).await?.unwrap_or(true))
}
