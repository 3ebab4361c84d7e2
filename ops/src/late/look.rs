//! Gathers what is known about late orders: from the order view, from the databases of the services
//! concerned, from what they say of themselves, and from their groups' offsets.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use millrace::admin::{Admin, AdminError};
use schemas::flow::STEPS;
use schemas::{OrderId, Timestamp};
use serde::Serialize;
use sqlx::types::time::OffsetDateTime;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::why::{Asking, Evidence, Parked, Why, why};
use super::{Owed, owed};
use crate::command::group;
use crate::databases::{DatabaseError, failed, open};
use crate::status::{Group, groups, statuses};
use crate::{ClientError, Endpoints, OrderFilter, OrderView, Retailer};

/// Orders asked for at the same time.
const AT_ONCE: usize = 8;

/// An order that waits for a fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Late {
    /// The order.
    pub order: OrderView,
    /// What it waits for, and why; the longest owed first.
    pub owed: Vec<(Owed, Why)>,
}

/// What one service's database knows of the orders.
#[derive(Debug, Default)]
struct Kept {
    parked: BTreeMap<String, Parked>,
    asking: BTreeMap<String, Asking>,
    unpublished: BTreeMap<String, (i64, Timestamp)>,
    said: BTreeMap<(String, String), u64>,
    fault: Option<DatabaseError>,
}

#[derive(FromRow)]
struct ParkedRow {
    key: String,
    state: String,
    since: OffsetDateTime,
    due_at: Option<OffsetDateTime>,
    fingerprint: String,
    event_id: Option<Uuid>,
    error_message: Option<String>,
}

/// Orders that are not settled and of which nothing was heard since `quiet_since`, of one page: with
/// what they owe, and the cursor of the next page.
///
/// # Errors
/// When the order view does not answer.
pub async fn late_orders(
    retailer: &Retailer,
    filter: &OrderFilter,
) -> Result<(Vec<OrderView>, Option<String>), ClientError> {
    let filter = OrderFilter { settled: Some(false), ..filter.clone() };
    let page = retailer.orders(&filter).await?;
    let views = page.items.iter().map(|order| retailer.order(order.order_id, None));
    let views: Vec<Result<OrderView, ClientError>> =
        futures::stream::iter(views).buffered(AT_ONCE).collect().await;
    let mut found = vec![];
    for view in views {
        match view {
            Ok(view) => found.push(view),
            // It was wiped by a replay since the list was made.
            Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((found, page.next_cursor))
}

/// Why each of these orders is late. `broker` says how to reach the broker, or why nobody does.
pub async fn late(
    endpoints: &Endpoints,
    broker: Result<&Admin, String>,
    orders: Vec<OrderView>,
    now: Timestamp,
) -> Vec<Late> {
    let (groups, blind) = match &broker {
        Ok(admin) => match statuses(admin, &endpoints.topic_prefix).await {
            Ok(statuses) => (Some(groups(endpoints, &statuses, now)), None),
            Err(error) => (None, Some(error.to_string())),
        },
        Err(reason) => (None, Some(reason.clone())),
    };
    let with_owed = |order: OrderView| {
        let owed = owed(&order);
        (order, owed)
    };
    let orders: Vec<(OrderView, Vec<Owed>)> = orders.into_iter().map(with_owed).collect();
    let kept = ask_databases(endpoints, &orders).await;
    let mut offsets = Offsets { endpoints, admin: broker.ok(), known: BTreeMap::new() };
    let mut late = vec![];
    for (order, owing) in orders {
        let mut reasons = vec![];
        for owed in owing {
            let mut evidence = vec![];
            for service in chain(&owed) {
                let kept = kept.get(&service);
                let group =
                    groups.as_ref().and_then(|all| all.iter().find(|it| it.service == service));
                let mut one = found(order.order_id, &owed, &service, kept, group);
                one.blind.extend(blind.clone());
                evidence.push(one);
            }
            if let Some(owing) = evidence.first_mut()
                && owing.next_offset.is_none()
            {
                owing.next_offset = offsets.next(&owed).await;
            }
            let reason = why(&owed, &evidence);
            reasons.push((owed, reason));
        }
        late.push(Late { order, owed: reasons });
    }
    late
}

/// The service that owes, and the services before it in the flow, the nearest first.
fn chain(owed: &Owed) -> Vec<String> {
    let mut services = vec![owed.by.clone()];
    let place = STEPS.iter().position(|step| step.fact.ends_with(&format!(".{}", owed.after.fact)));
    for step in STEPS.iter().take(place.map_or(0, |place| place + 1)).rev() {
        if !services.iter().any(|service| service == step.emitted_by) {
            services.push(step.emitted_by.to_owned());
        }
    }
    services
}

fn found(
    order: OrderId,
    owed: &Owed,
    service: &str,
    kept: Option<&Kept>,
    group: Option<&Group>,
) -> Evidence {
    let key = order.to_string();
    let mut evidence =
        Evidence { service: service.to_owned(), group: group.cloned(), ..Evidence::default() };
    if let Some(kept) = kept {
        evidence.parked = kept.parked.get(&key).cloned();
        evidence.asking = kept.asking.get(&key).cloned();
        evidence.unpublished = kept.unpublished.get(&key).copied();
        evidence.said = kept.said.get(&(owed.topic.clone(), key)).copied();
        evidence.blind.extend(kept.fault.iter().map(ToString::to_string));
    }
    let at = group.into_iter().flat_map(|group| &group.partitions);
    let mut at =
        at.filter(|it| it.topic == owed.after.topic && it.partition == owed.after.partition);
    evidence.next_offset = at.next().map(|it| it.offset);
    evidence
}

/// Asks each service concerned once for all orders.
async fn ask_databases(
    endpoints: &Endpoints,
    orders: &[(OrderView, Vec<Owed>)],
) -> BTreeMap<String, Kept> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (order, owing) in orders {
        for service in owing.iter().flat_map(chain) {
            keys.entry(service).or_default().insert(order.order_id.to_string());
        }
    }
    let asked = keys.into_iter().map(async |(service, keys)| {
        let keys: Vec<String> = keys.into_iter().collect();
        let kept = kept(endpoints, &service, &keys).await;
        let kept = kept.unwrap_or_else(|error| Kept { fault: Some(error), ..Kept::default() });
        (service, kept)
    });
    futures::future::join_all(asked).await.into_iter().collect()
}

async fn kept(
    endpoints: &Endpoints,
    service: &str,
    keys: &[String],
) -> Result<Kept, DatabaseError> {
    let mut db = open(endpoints, service).await?;
    let mut kept = Kept::default();
    let failed = |error: sqlx::Error| failed(service, &error);
    for row in parked(&mut db, keys).await.map_err(failed)? {
        let parked = Parked {
            state: row.state,
            since: row.since.into(),
            due_at: row.due_at.map(Timestamp::from),
            cause: row.fingerprint,
            letter: row.event_id,
            message: row.error_message.unwrap_or_default(),
        };
        kept.parked.insert(row.key, parked);
    }
    let asking: Vec<(String, String, OffsetDateTime, i32, Option<String>)> = sqlx::query_as(
        "SELECT stream, name, asked_at, attempts, error FROM millrace.ask
         WHERE answered_at IS NULL AND stream = ANY($1) ORDER BY asked_at DESC",
    )
    .bind(keys)
    .fetch_all(&mut db)
    .await
    .map_err(failed)?;
    for (key, name, since, attempts, error) in asking {
        kept.asking.insert(key, Asking { name, since: since.into(), attempts, error });
    }
    let unpublished: Vec<(String, i64, OffsetDateTime)> = sqlx::query_as(
        "SELECT key, count(*), min(recorded_at) FROM millrace.unsent WHERE key = ANY($1)
         GROUP BY key",
    )
    .bind(keys)
    .fetch_all(&mut db)
    .await
    .map_err(failed)?;
    kept.unpublished =
        unpublished.into_iter().map(|(key, count, since)| (key, (count, since.into()))).collect();
    let said: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT topic, key, version FROM millrace.stream_version WHERE key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(&mut db)
    .await
    .map_err(failed)?;
    let said = said.into_iter().map(|(topic, key, version)| ((topic, key), version.unsigned_abs()));
    kept.said = said.collect();
    Ok(kept)
}

async fn parked(db: &mut PgConnection, keys: &[String]) -> Result<Vec<ParkedRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT waits.key, waits.state, waits.since, waits.due_at, waits.fingerprint,
             head.event_id, head.error_message
         FROM millrace.parked_key AS waits
         LEFT JOIN LATERAL (
             SELECT event_id, error_message FROM millrace.parked
             WHERE parked.key = waits.key AND status IN ('dead', 'retrying')
             ORDER BY id LIMIT 1) AS head ON true
         WHERE waits.key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(db)
    .await
}

/// Committed offsets of groups, each asked for once.
struct Offsets<'a> {
    endpoints: &'a Endpoints,
    admin: Option<&'a Admin>,
    known: BTreeMap<(String, String), BTreeMap<i32, i64>>,
}

impl Offsets<'_> {
    async fn next(&mut self, owed: &Owed) -> Option<i64> {
        let asked = (owed.by.clone(), owed.after.topic.clone());
        if !self.known.contains_key(&asked) {
            // Without an answer there is one reason less to be found; the others were looked for.
            let offsets = self.ask(&asked.0, &asked.1).await.unwrap_or_default();
            self.known.insert(asked.clone(), offsets);
        }
        self.known.get(&asked)?.get(&owed.after.partition).copied()
    }

    async fn ask(&self, service: &str, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        let Some(admin) = self.admin else { return Ok(BTreeMap::new()) };
        let prefix = &self.endpoints.topic_prefix;
        let topic = format!("{prefix}{topic}");
        let offsets = admin.group_offsets(&group(prefix, service), &[&topic]).await?;
        // A group that never committed reads from the beginning.
        Ok(offsets.into_iter().map(|it| (it.partition, it.committed.unwrap_or(0))).collect())
    }
}
