//! The view in Postgres: one statement for a batch. It is written by folds and wipes alone.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Timestamp, Tx, View, WorkingSet};
use schemas::history::{Fact, Facts, Status, Summary};
use schemas::{CustomerId, Money, OrderId, StoreId};
use serde::Deserialize;
use serde::de::{IntoDeserializer, value};
use sqlx::types::Json;
use sqlx::types::time::OffsetDateTime;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::domain::{Orders, Said};
use crate::settings::Settings;

/// Rows that a wipe works on at a time.
const WIPE_ROWS_MAX: i64 = 500;

/// The rows a batch needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Orders that facts are about.
    pub orders: BTreeSet<OrderId>,
}

/// Which orders are listed.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only those that stand here.
    pub status: Option<Status>,
    /// Only those of this store.
    pub store: Option<StoreId>,
    /// Only those of this customer.
    pub customer: Option<CustomerId>,
    /// Only those that are settled, or only those that are not.
    pub settled: Option<bool>,
    /// Only those of which nothing was heard since.
    pub quiet_since: Option<Timestamp>,
    /// Only those before this one.
    pub before: Option<OrderId>,
}

/// An order as it is listed.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// The order.
    pub order_id: Uuid,
    /// Where it stands.
    pub status: String,
    /// Who ordered.
    pub customer_id: Option<String>,
    /// Where.
    pub store_id: Option<String>,
    total: Option<i64>,
    currency: Option<String>,
    placed_at: Option<OffsetDateTime>,
    closed_at: Option<OffsetDateTime>,
    updated_at: OffsetDateTime,
    version: i64,
}

type Row = (Uuid, i64, Json<Vec<Fact>>);

impl WorkingSet for Orders {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT order_id, revision, facts FROM order_view
             WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
        )
        .bind(keys.orders.iter().map(|order| order.uuid()).collect::<Vec<_>>())
        .fetch_all(tx.db())
        .await?;
        let said = said(tx, &keys.orders).await?;
        let orders = Orders::new(orders(rows), said);
        Ok(match tx.settings::<Settings>().keep_reasons {
            true => orders,
            false => orders.without_reasons(),
        })
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        save_said(tx, &self.newly_said().collect::<Vec<_>>()).await?;
        let known = self.changed().filter_map(|(order, revision, facts)| {
            facts.map(|facts| (order, revision, facts, facts.summary()))
        });
        save_orders(tx, &known.collect::<Vec<_>>()).await?;
        let unknown = self.changed().filter(|(_, _, facts)| facts.is_none());
        delete_orders(tx, &unknown.map(|(order, ..)| order.uuid()).collect::<Vec<_>>()).await
    }
}

impl View for Orders {
    /// What was said of orders is no part of it, and no other build has words of its own.
    const TABLES: &'static [&'static str] = &["order_view"];

    /// What was said of orders stays: it must not be taken back by what is folded first. The topics
    /// of an order have the same number of partitions and the same key, so that all facts of an
    /// order come by the same partition number.
    async fn wipe(tx: &mut Tx, topic: &str, partition: i32) -> Result<(), Fault> {
        let mut after = Uuid::nil();
        loop {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT order_id, revision, facts FROM order_view
                 WHERE partition = $1 AND order_id > $2
                 ORDER BY order_id LIMIT $3 FOR UPDATE",
            )
            .bind(partition)
            .bind(after)
            .bind(WIPE_ROWS_MAX)
            .fetch_all(tx.db())
            .await?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            let mut chunk = Orders::new(orders(rows), BTreeMap::new());
            chunk.forget(topic, partition);
            chunk.save(tx).await?;
        }
    }
}

impl Listed {
    /// What it costs.
    pub fn total(&self) -> Result<Option<Money>, Fault> {
        let pair = self.total.zip(self.currency.as_deref());
        let money = |(minor, code): (i64, &str)| Ok(Money::new(minor, code.parse()?));
        pair.map(money).transpose().map_err(|error: schemas::MoneyError| Fault::poison(error))
    }

    /// When it was placed.
    pub fn placed_at(&self) -> Option<Timestamp> {
        self.placed_at.map(Timestamp::from)
    }

    /// When it ended.
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.closed_at.map(Timestamp::from)
    }

    /// When the latest fact happened.
    pub fn updated_at(&self) -> Timestamp {
        self.updated_at.into()
    }

    /// How many facts are known.
    pub fn version(&self) -> i64 {
        self.version
    }
}

/// What is known of an order; `None` when nothing is.
pub async fn order(tx: &mut Tx, order: OrderId) -> Result<Option<Facts>, Fault> {
    let facts: Option<Json<Vec<Fact>>> =
        sqlx::query_scalar("SELECT facts FROM order_view WHERE order_id = $1")
            .bind(order.uuid())
            .fetch_optional(tx.db())
            .await?;
    Ok(facts.and_then(|facts| Facts::new(facts.0)))
}

/// Where an order stands, and how many facts of it are known; `None` when nothing is. Far cheaper than
/// the order.
pub async fn standing(tx: &mut Tx, order: OrderId) -> Result<Option<(Status, usize)>, Fault> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT status, version FROM order_view WHERE order_id = $1")
            .bind(order.uuid())
            .fetch_optional(tx.db())
            .await?;
    let standing = |(status, version): (String, i64)| {
        let status = Status::deserialize(status.into_deserializer());
        let status = status.map_err(|error: value::Error| Fault::poison(error))?;
        Ok((status, version.unsigned_abs() as usize))
    };
    row.map(standing).transpose()
}

/// Orders, the latest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Listed>, Fault> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT order_id, status, customer_id, store_id, total, currency, placed_at, closed_at,
             updated_at, version
         FROM order_view WHERE order_id < ",
    );
    query.push_bind(filter.before.map_or(Uuid::max(), OrderId::uuid));
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(store) = &filter.store {
        query.push(" AND store_id = ").push_bind(store.as_str());
    }
    if let Some(customer) = &filter.customer {
        query.push(" AND customer_id = ").push_bind(customer.as_str());
    }
    match filter.settled {
        // As the partial index says it.
        Some(false) => drop(query.push(" AND NOT settled")),
        Some(true) => drop(query.push(" AND settled")),
        None => {}
    }
    if let Some(since) = filter.quiet_since {
        query.push(" AND updated_at <= ").push_bind(since.datetime());
    }
    query.push(" ORDER BY order_id DESC LIMIT ").push_bind(limit);
    Ok(query.build_query_as().fetch_all(tx.db()).await?)
}

/// Orders behind this one, and the last of them; `None` at the end.
pub(crate) async fn behind(
    tx: &mut Tx,
    after: &str,
    limit: i64,
) -> Result<Option<(Keys, String)>, Fault> {
    let after = after.parse().unwrap_or(Uuid::nil());
    let orders: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM order_view WHERE order_id > $1 ORDER BY order_id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(tx.db())
    .await?;
    let Some(last) = orders.last().map(Uuid::to_string) else { return Ok(None) };
    Ok(Some((Keys { orders: orders.into_iter().map(OrderId::new).collect() }, last)))
}

/// A fingerprint of the whole view: equal views have equal ones, whenever and in whatever order
/// their facts were folded.
pub async fn digest(db: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT md5(coalesce(string_agg(md5(ROW(order_id, partition, status, customer_id,
             store_id, total, currency, placed_at AT TIME ZONE 'UTC',
             closed_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC', version, settled,
             facts)::text), '' ORDER BY order_id), ''))
         FROM order_view",
    )
    .fetch_one(db)
    .await
}

fn orders(rows: Vec<Row>) -> BTreeMap<OrderId, (u64, Option<Facts>)> {
    let row = |(id, revision, facts): Row| {
        (OrderId::new(id), (revision.unsigned_abs(), Facts::new(facts.0)))
    };
    rows.into_iter().map(row).collect()
}

/// A row is written only over the revision that was read, so that two members of the group that
/// learn of a new order by different topics cannot lose each other's facts.
async fn save_orders(tx: &mut Tx, orders: &[(OrderId, u64, &Facts, Summary)]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let partition = |facts: &Facts| facts.iter().map(|fact| fact.partition).min();
    let all = || orders.iter().map(|(_, _, facts, _)| facts);
    let sums = || orders.iter().map(|(_, _, _, summary)| summary);
    let datetime = |at: Option<Timestamp>| at.map(Timestamp::datetime);
    let currency = |total: Option<Money>| total.map(|total| total.currency().to_string());
    let written = sqlx::query(
        "INSERT INTO order_view AS old (order_id, partition, status, customer_id, store_id, total,
             currency, placed_at, closed_at, updated_at, version, facts, revision, settled)
         SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[],
             $6::bigint[], $7::text[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[],
             $11::bigint[], $12::jsonb[], $13::bigint[], $14::boolean[])
         ON CONFLICT (order_id) DO UPDATE SET partition = EXCLUDED.partition,
             status = EXCLUDED.status, customer_id = EXCLUDED.customer_id,
             store_id = EXCLUDED.store_id, total = EXCLUDED.total, currency = EXCLUDED.currency,
             placed_at = EXCLUDED.placed_at, closed_at = EXCLUDED.closed_at,
             updated_at = EXCLUDED.updated_at, version = EXCLUDED.version,
             facts = EXCLUDED.facts, revision = EXCLUDED.revision, settled = EXCLUDED.settled
         WHERE old.revision + 1 = EXCLUDED.revision",
    )
    .bind(orders.iter().map(|(order, ..)| order.uuid()).collect::<Vec<_>>())
    .bind(all().map(|facts| partition(facts)).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.status.as_str()).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.customer.as_ref().map(CustomerId::as_str)).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.store.as_ref().map(StoreId::as_str)).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.total.map(Money::minor)).collect::<Vec<_>>())
    .bind(sums().map(|sum| currency(sum.total)).collect::<Vec<_>>())
    .bind(sums().map(|sum| datetime(sum.placed_at)).collect::<Vec<_>>())
    .bind(sums().map(|sum| datetime(sum.closed_at)).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.updated_at.datetime()).collect::<Vec<_>>())
    .bind(all().map(|facts| facts.iter().len() as i64).collect::<Vec<_>>())
    .bind(all().map(|facts| Json(facts.as_slice())).collect::<Vec<_>>())
    .bind(orders.iter().map(|(_, revision, ..)| *revision as i64 + 1).collect::<Vec<_>>())
    .bind(sums().map(|sum| sum.settled).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if written < orders.len() as u64 {
        return Err(Fault::transient("another transaction has folded facts of the same order"));
    }
    Ok(())
}

async fn delete_orders(tx: &mut Tx, orders: &[Uuid]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM order_view WHERE order_id = ANY($1)")
        .bind(orders)
        .execute(tx.db())
        .await?;
    Ok(())
}

/// What was last said of these orders. No lock of its own: whoever works on an order has its row, or
/// fails on the revision of it.
async fn said(tx: &mut Tx, orders: &BTreeSet<OrderId>) -> Result<BTreeMap<OrderId, Said>, Fault> {
    let rows: Vec<(Uuid, Option<Vec<Uuid>>, Option<i64>)> = sqlx::query_as(
        "SELECT order_id, facts, digest FROM announced WHERE order_id = ANY($1) ORDER BY order_id",
    )
    .bind(orders.iter().map(|order| order.uuid()).collect::<Vec<_>>())
    .fetch_all(tx.db())
    .await?;
    let said = |(order, facts, digest): (Uuid, Option<Vec<Uuid>>, Option<i64>)| {
        let said = match facts.zip(digest) {
            Some((facts, digest)) => Said::State { facts: facts.into_iter().collect(), digest },
            None => Said::Erased,
        };
        (OrderId::new(order), said)
    };
    Ok(rows.into_iter().map(said).collect())
}

async fn save_said(tx: &mut Tx, said: &[(OrderId, &Said)]) -> Result<(), Fault> {
    if said.is_empty() {
        return Ok(());
    }
    let count = said.len() as u64;
    // A list of lists has to be one of lists of the same length: facts travel as JSON.
    let facts = |said: &Said| match said {
        Said::State { facts, .. } => Some(Json(facts.iter().copied().collect::<Vec<_>>())),
        Said::Erased => None,
    };
    let digest = |said: &Said| match said {
        Said::State { digest, .. } => Some(*digest),
        Said::Erased => None,
    };
    let written = sqlx::query(
        "INSERT INTO announced AS old (order_id, facts, digest)
         SELECT order_id, CASE WHEN facts IS NOT NULL THEN
             ARRAY(SELECT jsonb_array_elements_text(facts)::uuid) END, digest
         FROM unnest($1::uuid[], $2::jsonb[], $3::bigint[]) AS said (order_id, facts, digest)
         ON CONFLICT (order_id) DO UPDATE SET facts = EXCLUDED.facts, digest = EXCLUDED.digest
         WHERE old.facts IS NOT NULL",
    )
    .bind(said.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
    .bind(said.iter().map(|(_, said)| facts(said)).collect::<Vec<_>>())
    .bind(said.iter().map(|(_, said)| digest(said)).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    match written < count {
        true => Err(Fault::transient("another transaction has erased the same order")),
        false => Ok(()),
    }
}
