//! What a redrive, a discard or a restore would do, record by record, before anything is asked of a
//! service. A repair is tried on every record that it is meant for; nothing is sent here.

use std::collections::{BTreeMap, BTreeSet};

use millrace::control::Selection;
use millrace::repair::{Repair, RepairError, view};
use millrace::{Registry, RegistryError, contract::unframe};
use serde::Serialize;
use uuid::Uuid;

use super::rows::{asked, records, waiting};
use super::{Change, Filter, Record, changes};
use crate::Endpoints;
use crate::databases::DatabaseError;

/// Records that are looked at together.
const PAGE: i64 = 500;
/// Repaired records of which a group's plan shows the difference.
const SAMPLES_MAX: usize = 3;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Which records; their state is part of it.
    pub filter: Filter,
    /// What is repaired in them.
    pub repair: Repair,
}

/// What one service would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// The service.
    pub service: String,
    /// Its records.
    pub select: Selection,
    /// How many records.
    pub records: usize,
    /// Of how many keys.
    pub keys: usize,
    /// How many records wait behind them.
    pub waiting: usize,
    /// By cause, how many records.
    pub causes: BTreeMap<String, usize>,
    /// How many of them are repaired.
    pub repaired: usize,
    /// The first of the repaired ones.
    pub samples: Vec<Sample>,
}

/// A record that would be repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// What would change.
    pub changes: Vec<Change>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A database did not answer, so that nobody knows what is meant.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The schemas cannot be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// More than one cause begins like this.
    #[error("several causes begin with {prefix}: {}", causes.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it could mean.
        causes: Vec<String>,
    },
    /// The repair does not fit a record; it is sent for all of them or for none.
    #[error("record {id} of {service} cannot be repaired like this: {fault}")]
    Misfit {
        /// Which record.
        id: String,
        /// Whose.
        service: String,
        /// What does not fit, and where.
        fault: RepairError,
    },
}

/// What every service would do; empty when nothing is meant.
///
/// # Errors
/// Any; a repair that does not fit one record fits none.
pub async fn plan(
    endpoints: &Endpoints,
    registry: &Registry,
    asked_for: &Asked,
) -> Result<Vec<GroupPlan>, PlanError> {
    let behind = waiting(endpoints).await;
    let mut plans = vec![];
    for service in asked(endpoints, &asked_for.filter) {
        let mut draft = Draft::default();
        let mut after = 0;
        loop {
            let page = records(endpoints, &service, &asked_for.filter, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, record) in &page {
                draft.take(registry, &asked_for.repair, record).await?;
            }
        }
        if draft.records > 0 {
            plans.push(draft.finish(service, &asked_for.filter, &behind));
        }
    }
    let found: BTreeSet<&String> = plans.iter().flat_map(|plan| plan.causes.keys()).collect();
    match &asked_for.filter.cause {
        Some(prefix) if found.len() > 1 => Err(PlanError::Ambiguous {
            prefix: prefix.clone(),
            causes: found.into_iter().cloned().collect(),
        }),
        _ => Ok(plans),
    }
}

/// A plan of which not every record was seen.
#[derive(Default)]
struct Draft {
    records: usize,
    keys: BTreeSet<String>,
    ids: Vec<Uuid>,
    causes: BTreeMap<String, usize>,
    repaired: usize,
    samples: Vec<Sample>,
}

impl Draft {
    async fn take(
        &mut self,
        registry: &Registry,
        repair: &Repair,
        record: &Record,
    ) -> Result<(), PlanError> {
        let letter = &record.letter;
        self.records += 1;
        self.keys.insert(letter.key.clone());
        self.ids.extend(letter.id.parse::<Uuid>());
        *self.causes.entry(letter.cause.clone()).or_default() += 1;
        if repair.is_empty() {
            return Ok(());
        }
        let misfit = |fault: RepairError| PlanError::Misfit {
            id: letter.id.clone(),
            service: letter.service.clone(),
            fault,
        };
        // What was repaired before is the base of the next repair.
        let payload = record.edited.as_ref().or(record.payload.as_ref());
        let Some(payload) = payload.map(Vec::as_slice) else { return Ok(()) };
        let (id, _) = unframe(payload).map_err(|error| misfit(error.into()))?;
        let schema = registry.schema(id).await?;
        let Some(after) = repair.payload(&schema, payload).map_err(misfit)? else { return Ok(()) };
        self.repaired += 1;
        if self.samples.len() < SAMPLES_MAX {
            let before = view(&schema, payload).map_err(misfit)?;
            let changes = changes(&before, &view(&schema, &after).map_err(misfit)?);
            self.samples.push(Sample { id: letter.id.clone(), changes });
        }
        Ok(())
    }

    fn finish(
        self,
        service: String,
        filter: &Filter,
        behind: &BTreeMap<(String, String), usize>,
    ) -> GroupPlan {
        let cause = match &filter.cause {
            // The service wants the whole of it.
            Some(_) => self.causes.keys().next().cloned(),
            None => None,
        };
        let ids = (!filter.ids.is_empty()).then_some(self.ids);
        let waits = |key: &String| behind.get(&(service.clone(), key.clone()));
        GroupPlan {
            waiting: self.keys.iter().filter_map(waits).sum(),
            service,
            select: Selection { cause, key: filter.key.clone(), ids },
            records: self.records,
            keys: self.keys.len(),
            causes: self.causes,
            repaired: self.repaired,
            samples: self.samples,
        }
    }
}
