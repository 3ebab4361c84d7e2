//! The JSON that goes in and out of the front door. It decides nothing.

use schemas::history::{Facts, Status, Summary};
use schemas::{CustomerId, Money, OrderId, OrderLine, ShortLine, StoreId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Journal;
use crate::decode::Said;
use crate::domain::Frozen;
use crate::domain::chain::Entry;
use crate::domain::state::{self, Moment};

/// Why a journal is to be frozen.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Freeze {
    /// Who freezes it, 1 to 64 characters.
    pub(super) author: String,
    /// Why, 1 to 500 characters.
    pub(super) reason: String,
}

/// Who froze a journal, why and when.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FrozenBody {
    by: String,
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// An order at a moment, and everything that was said about it until then.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    /// How many entries its journal has now.
    length: u64,
    /// The end of its chain now: 64 hexadecimal digits.
    hash: String,
    /// Who froze it, if anybody did.
    frozen: Option<FrozenBody>,
    /// How many of its entries this moment knows.
    version: usize,
    /// What they amount to; null before the first fact of the order.
    state: Option<StateBody>,
    /// Why there is no state.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// In the order in which they were recorded.
    entries: Vec<EntryBody>,
}

/// What the facts of an order amount to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateBody {
    #[schema(value_type = String)]
    status: Status,
    #[schema(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    #[schema(value_type = Vec<Object>)]
    lines: Vec<OrderLine>,
    #[schema(value_type = Option<Object>)]
    total: Option<Money>,
    #[schema(value_type = Option<String>, format = DateTime)]
    placed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(value_type = Vec<Object>)]
    missing: Vec<ShortLine>,
    reason: Option<String>,
    /// It has ended, and nothing that was done for it is still to be undone.
    settled: bool,
    /// How many facts of the order are known.
    facts: usize,
}

/// An entry of the journal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryBody {
    /// Its place, from 1.
    seq: u64,
    event_id: Uuid,
    /// Full name of the fact.
    fact: String,
    producer: String,
    topic: String,
    partition: i32,
    offset: i64,
    schema_id: u32,
    /// Its place among the facts of this order in its topic, from 1.
    version: u64,
    correlation_id: String,
    causation_id: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    /// The hash of the entry, 64 hexadecimal digits.
    hash: String,
    /// What it says; null when its bytes cannot be read.
    #[schema(value_type = Option<Object>)]
    data: Value,
    /// Why its bytes cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// What changed between two moments.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DiffBody {
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    from: SideBody,
    to: SideBody,
    /// One for each entry in between, in the order in which they were recorded.
    sentences: Vec<String>,
}

/// One of two moments.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SideBody {
    /// How many entries it knows.
    version: usize,
    /// Where the order stood; null before its first fact.
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
}

impl FrozenBody {
    pub(super) fn of(frozen: &Frozen) -> Self {
        Self { by: frozen.by.clone(), reason: frozen.reason.clone(), at: frozen.at }
    }
}

impl HistoryBody {
    pub(super) fn of(order_id: OrderId, journal: &Journal, moment: Moment) -> Self {
        let facts = state::facts(&journal.lines, moment);
        let knows = |entry: &Entry| {
            let line = journal.lines.iter().find(|line| line.seq == entry.seq);
            line.is_some_and(|line| moment.knows(line))
        };
        let shown = journal.entries.iter().filter(|(entry, _)| knows(entry));
        Self {
            order_id,
            length: journal.head.link.length,
            hash: journal.head.link.hash.to_string(),
            frozen: journal.head.frozen.as_ref().map(FrozenBody::of),
            version: state::known(&journal.lines, moment),
            note: facts.is_none().then(|| nothing(journal)),
            state: facts.as_ref().map(StateBody::of),
            entries: shown.map(|(entry, said)| EntryBody::of(entry, said)).collect(),
        }
    }
}

/// Why there is no state at a moment.
fn nothing(journal: &Journal) -> String {
    let facts = journal.lines.iter().filter(|line| matches!(line.said, state::Said::Fact(_)));
    match facts.map(|line| line.occurred_at).min() {
        Some(first) => {
            format!("Nothing had happened to this order yet; its first fact is of {first}.")
        }
        None => "No fact of this order itself is recorded.".to_owned(),
    }
}

impl StateBody {
    fn of(facts: &Facts) -> Self {
        let summary = facts.summary();
        let Summary { status, customer, store, lines, total, missing, reason, settled, .. } =
            summary;
        Self {
            status,
            customer_id: customer,
            store_id: store,
            lines,
            total,
            placed_at: summary.placed_at,
            closed_at: summary.closed_at,
            updated_at: summary.updated_at,
            missing,
            reason,
            settled,
            facts: facts.iter().len(),
        }
    }
}

impl EntryBody {
    fn of(entry: &Entry, said: &Said) -> Self {
        let page = &entry.page;
        let unreadable = match said {
            Said::Unreadable(why) => Some(why.clone()),
            Said::Fact(_) | Said::Other(_) => None,
        };
        Self {
            seq: entry.seq,
            event_id: page.event_id,
            fact: page.name.clone(),
            producer: page.producer.clone(),
            topic: page.topic.clone(),
            partition: page.partition,
            offset: page.offset,
            schema_id: page.schema_id,
            version: page.version,
            correlation_id: page.correlation.clone(),
            causation_id: page.causation,
            occurred_at: page.occurred_at,
            recorded_at: page.recorded_at,
            hash: entry.hash.to_string(),
            data: said.json(),
            unreadable,
        }
    }
}

impl DiffBody {
    pub(super) fn of(
        order_id: OrderId,
        journal: &Journal,
        from: Moment,
        to: Moment,
        sentences: Vec<String>,
    ) -> Self {
        let side = |moment| SideBody {
            version: state::known(&journal.lines, moment),
            status: state::facts(&journal.lines, moment).map(|facts| facts.summary().status),
        };
        Self { order_id, from: side(from), to: side(to), sentences }
    }
}
