//! Levels, reservations and the ledger in Postgres: one statement for each table and batch. It
//! decides nothing and announces nothing.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Tx, WorkingSet};
use schemas::{OrderId, ReleasedLine, Sku, StoreId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::{Entry, Level, Place, Reservation, Shelf, State};
use crate::planted;

/// The rows a batch needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Orders whose reservation is decided on; the places it holds are loaded with it.
    pub orders: BTreeSet<OrderId>,
    /// Places an order may take from.
    pub places: BTreeSet<Place>,
    /// Places that receive goods, and are made when they are new.
    pub receiving: BTreeSet<Place>,
}

impl WorkingSet for Shelf {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let reservations = load_reservations(tx, &keys.orders).await?;
        let held = reservations.values().flat_map(|reservation| {
            let place = |line: &ReleasedLine| (reservation.store.clone(), line.sku.clone());
            reservation.lines.iter().map(place).collect::<Vec<_>>()
        });
        let places = keys.places.iter().chain(&keys.receiving).cloned().chain(held).collect();
        make_levels(tx, &keys.receiving).await?;
        let levels = load_levels(tx, &places).await?;
        Ok(Self::new(levels, reservations))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        let levels = self.changed_levels().collect::<Vec<_>>();
        save_levels(tx, &planted::levels(levels, self.entries())).await?;
        save_reservations(tx, &self.changed_reservations().collect::<Vec<_>>()).await?;
        save_entries(tx, &planted::entries(self.entries())).await
    }
}

/// What one store has of one article; nothing when it never had any.
pub async fn level(tx: &mut Tx, place: &Place) -> Result<Level, Fault> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT on_hand, reserved FROM level WHERE store_id = $1 AND sku = $2")
            .bind(place.0.as_str())
            .bind(place.1.as_str())
            .fetch_optional(tx.db())
            .await?;
    Ok(row.map(|(on_hand, reserved)| Level { on_hand, reserved }).unwrap_or_default())
}

/// The levels of a store in the order of their articles, after the given one.
pub async fn levels(
    tx: &mut Tx,
    store: &StoreId,
    after: Option<&Sku>,
    limit: i64,
) -> Result<Vec<(Sku, Level)>, Fault> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT sku, on_hand, reserved FROM level
         WHERE store_id = $1 AND sku > $2 ORDER BY sku LIMIT $3",
    )
    .bind(store.as_str())
    .bind(after.map_or("", Sku::as_str))
    .bind(limit)
    .fetch_all(tx.db())
    .await?;
    let level = |(sku, on_hand, reserved): (String, i64, i64)| {
        let sku = Sku::new(&sku).map_err(Fault::poison)?;
        Ok((sku, Level { on_hand, reserved }))
    };
    rows.into_iter().map(level).collect()
}

async fn load_reservations(
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Reservation>, Fault> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
    let rows: Vec<(Uuid, String, String, Json<Vec<ReleasedLine>>)> = sqlx::query_as(
        "SELECT order_id, state, store_id, lines FROM reservation
         WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(tx.db())
    .await?;
    let reservation = |(id, state, store, lines): (Uuid, String, String, Json<_>)| {
        let state = State::named(&state).ok_or_else(|| Fault::poison("unknown state"))?;
        let store = StoreId::new(&store).map_err(Fault::poison)?;
        let state = planted::state(state);
        Ok((OrderId::new(id), Reservation { state, store, lines: lines.0 }))
    };
    rows.into_iter().map(reservation).collect()
}

/// A level must exist to be locked, so that two receipts of a new article add up.
async fn make_levels(tx: &mut Tx, places: &BTreeSet<Place>) -> Result<(), Fault> {
    if places.is_empty() {
        return Ok(());
    }
    let (stores, skus) = columns(places);
    sqlx::query(
        "INSERT INTO level (store_id, sku, on_hand, reserved)
         SELECT store_id, sku, 0, 0 FROM unnest($1::text[], $2::text[]) AS place (store_id, sku)
         ORDER BY store_id, sku ON CONFLICT DO NOTHING",
    )
    .bind(stores)
    .bind(skus)
    .execute(tx.db())
    .await?;
    Ok(())
}

async fn load_levels(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, Level>, Fault> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (stores, skus) = columns(places);
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT store_id, sku, on_hand, reserved FROM level
         WHERE (store_id, sku) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         ORDER BY store_id, sku FOR UPDATE OF level",
    )
    .bind(stores)
    .bind(skus)
    .fetch_all(tx.db())
    .await?;
    let level = |(store, sku, on_hand, reserved): (String, String, i64, i64)| {
        let store = StoreId::new(&store).map_err(Fault::poison)?;
        let sku = Sku::new(&sku).map_err(Fault::poison)?;
        let reserved = planted::reserved(reserved);
        Ok(((store, sku), Level { on_hand, reserved }))
    };
    rows.into_iter().map(level).collect()
}

/// A changed level was loaded, so its row exists and is locked.
async fn save_levels(tx: &mut Tx, levels: &[(&Place, Level)]) -> Result<(), Fault> {
    if levels.is_empty() {
        return Ok(());
    }
    let (stores, skus) = columns(levels.iter().map(|(place, _)| *place));
    sqlx::query(
        "UPDATE level SET on_hand = new.on_hand, reserved = new.reserved
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
             AS new (store_id, sku, on_hand, reserved)
         WHERE level.store_id = new.store_id AND level.sku = new.sku",
    )
    .bind(stores)
    .bind(skus)
    .bind(levels.iter().map(|(_, level)| level.on_hand).collect::<Vec<_>>())
    .bind(levels.iter().map(|(_, level)| level.reserved).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// A reservation that another transaction has decided in the meantime is not overwritten: the
/// only change a row ever sees is from reserved to released.
async fn save_reservations(
    tx: &mut Tx,
    reservations: &[(OrderId, &Reservation)],
) -> Result<(), Fault> {
    if reservations.is_empty() {
        return Ok(());
    }
    let values = || reservations.iter().map(|(_, reservation)| reservation);
    let written = sqlx::query(
        "INSERT INTO reservation AS old (order_id, state, store_id, lines)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[])
         ON CONFLICT (order_id) DO UPDATE SET state = EXCLUDED.state
         WHERE old.state = 'reserved' AND EXCLUDED.state = 'released'",
    )
    .bind(reservations.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
    .bind(values().map(|reservation| reservation.state.as_str()).collect::<Vec<_>>())
    .bind(values().map(|reservation| reservation.store.as_str()).collect::<Vec<_>>())
    .bind(values().map(|reservation| Json(&reservation.lines)).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if written < reservations.len() as u64 {
        return Err(Fault::transient("another transaction has decided on the same order"));
    }
    Ok(())
}

async fn save_entries(tx: &mut Tx, entries: &[Entry]) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    let (stores, skus) = columns(entries.iter().map(|entry| &entry.place));
    sqlx::query(
        "INSERT INTO stock_ledger (cause, store_id, sku, kind, order_id, on_hand, reserved)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[],
             $6::bigint[], $7::bigint[])",
    )
    .bind(entries.iter().map(|entry| entry.cause).collect::<Vec<_>>())
    .bind(stores)
    .bind(skus)
    .bind(entries.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.order.map(OrderId::uuid)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.on_hand).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.reserved).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

fn columns<'a>(places: impl IntoIterator<Item = &'a Place>) -> (Vec<&'a str>, Vec<&'a str>) {
    places.into_iter().map(|(store, sku)| (store.as_str(), sku.as_str())).unzip()
}
