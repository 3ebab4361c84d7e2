//! The journal in Postgres: heads are locked in the order of their keys, entries are only added, each
//! with one statement for a batch. It decides nothing.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use millrace::contract::headers_to_json;
use millrace::{Fault, Tx, WorkingSet};
use schemas::OrderId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::domain::chain::{Entry, Link, Page};
use crate::domain::{Head, Heads};
use rows::{Columns, HeadRow};
pub(crate) use rows::{ENTRY, EntryRow};

/// The journals a command is about.
#[derive(Debug, Default)]
pub struct Keys {
    /// Their orders.
    pub orders: BTreeSet<OrderId>,
}

impl WorkingSet for Heads {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        lock(tx, keys.orders.iter().map(|order| order.uuid()).collect()).await.map(Self::new)
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        let frozen: Vec<_> = self.changed().collect();
        if frozen.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE head SET frozen_by = new.by, frozen_reason = new.reason, frozen_at = new.at
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
                 AS new (order_id, by, reason, at)
             WHERE head.order_id = new.order_id",
        )
        .bind(frozen.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
        .bind(frozen.iter().map(|(_, frozen)| frozen.by.as_str()).collect::<Vec<_>>())
        .bind(frozen.iter().map(|(_, frozen)| frozen.reason.as_str()).collect::<Vec<_>>())
        .bind(frozen.iter().map(|(_, frozen)| frozen.at.datetime()).collect::<Vec<_>>())
        .execute(tx.db())
        .await?;
        Ok(())
    }
}

/// Headers as an entry keeps them.
pub(crate) fn headers(headers: &millrace::contract::Headers) -> String {
    String::from_utf8_lossy(&headers_to_json(headers)).into_owned()
}

/// Binds pages to the chains of their orders, in the order in which they are given.
pub async fn append(tx: &mut Tx, pages: Vec<Page>) -> Result<(), Fault> {
    let orders: BTreeSet<Uuid> = pages.iter().map(|page| page.order.uuid()).collect();
    let heads = lock(tx, orders.into_iter().collect()).await?;
    let mut links: BTreeMap<OrderId, (u64, Link)> = BTreeMap::new();
    let mut entries = Vec::with_capacity(pages.len());
    for page in pages {
        let known = || heads.get(&page.order).map_or(Link::default(), |head| head.link);
        let (_, link) = links.entry(page.order).or_insert_with(|| (known().length, known()));
        entries.push(link.append(page));
    }
    move_heads(tx, &links).await?;
    insert(tx, &entries).await
}

/// What is known of an order's journal beside its entries.
pub async fn head(tx: &mut Tx, order: OrderId) -> Result<Option<Head>, Fault> {
    let row: Option<HeadRow> = sqlx::query_as(
        "SELECT order_id, length, hash, frozen_by, frozen_reason, frozen_at FROM head
         WHERE order_id = $1",
    )
    .bind(order.uuid())
    .fetch_optional(tx.db())
    .await?;
    row.map(|row| Ok(row.head()?.1)).transpose()
}

/// The first entries of an order, at most `limit`.
pub async fn entries(tx: &mut Tx, order: OrderId, limit: i64) -> Result<Vec<Entry>, Fault> {
    // The columns are a constant of ours.
    let select = format!("SELECT {ENTRY} FROM entry WHERE order_id = $1 ORDER BY seq LIMIT $2");
    let rows: Vec<EntryRow> = sqlx::query_as(AssertSqlSafe(select))
        .bind(order.uuid())
        .bind(limit)
        .fetch_all(tx.db())
        .await?;
    rows.into_iter().map(|row| row.entry().map_err(Fault::poison)).collect()
}

/// Rows are locked in key order, so that two transactions lock in the same one.
async fn lock(tx: &mut Tx, orders: Vec<Uuid>) -> Result<BTreeMap<OrderId, Head>, Fault> {
    let rows: Vec<HeadRow> = sqlx::query_as(
        "SELECT order_id, length, hash, frozen_by, frozen_reason, frozen_at FROM head
         WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(orders)
    .fetch_all(tx.db())
    .await?;
    rows.into_iter().map(HeadRow::head).collect()
}

/// Two members of the group may learn of a new order by different topics at the same time: there is
/// no row to lock yet, and the second one begins again.
async fn move_heads(tx: &mut Tx, links: &BTreeMap<OrderId, (u64, Link)>) -> Result<(), Fault> {
    let moved = sqlx::query(
        "INSERT INTO head AS old (order_id, length, hash, appended)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[])
         ON CONFLICT (order_id) DO UPDATE SET length = EXCLUDED.length, hash = EXCLUDED.hash,
             appended = EXCLUDED.appended
         WHERE old.length + EXCLUDED.appended = EXCLUDED.length",
    )
    .bind(links.keys().map(|order| order.uuid()).collect::<Vec<_>>())
    .bind(links.values().map(|(_, link)| link.length as i64).collect::<Vec<_>>())
    .bind(links.values().map(|(_, link)| link.hash.as_bytes()).collect::<Vec<_>>())
    .bind(links.values().map(|(before, link)| (link.length - before) as i64).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if moved < links.len() as u64 {
        return Err(Fault::transient(
            "another transaction has begun the journal of the same order",
        ));
    }
    Ok(())
}

async fn insert(tx: &mut Tx, entries: &[Entry]) -> Result<(), Fault> {
    let columns = Columns::of(entries);
    sqlx::query(
        r#"INSERT INTO entry (order_id, seq, event_id, name, topic, "partition", "offset", schema_id,
               payload, headers, producer, version, correlation_id, causation_id, occurred_at,
               recorded_at, previous, hash)
           SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[],
               $6::int[], $7::bigint[], $8::bigint[], $9::bytea[], $10::text[], $11::text[],
               $12::bigint[], $13::text[], $14::uuid[], $15::timestamptz[], $16::timestamptz[],
               $17::bytea[], $18::bytea[])"#,
    )
    .bind(columns.order_id)
    .bind(columns.seq)
    .bind(columns.event_id)
    .bind(columns.name)
    .bind(columns.topic)
    .bind(columns.partition)
    .bind(columns.offset)
    .bind(columns.schema_id)
    .bind(columns.payload)
    .bind(columns.headers)
    .bind(columns.producer)
    .bind(columns.version)
    .bind(columns.correlation_id)
    .bind(columns.causation_id)
    .bind(columns.occurred_at)
    .bind(columns.recorded_at)
    .bind(columns.previous)
    .bind(columns.hash)
    .execute(tx.db())
    .await?;
    Ok(())
}
