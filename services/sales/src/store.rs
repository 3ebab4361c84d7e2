//! Sales in Postgres: one statement for a batch. It decides nothing and announces nothing.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Timestamp, Tx, WorkingSet};
use schemas::{CustomerId, Money, OrderId, OrderLine, SaleId, StoreId};
use sqlx::FromRow;
use sqlx::types::Json;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Sale, Sales, Sold, State};
use crate::planted;

/// The rows a batch needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Orders whose sale is decided on.
    pub orders: BTreeSet<OrderId>,
}

#[derive(FromRow)]
struct SaleRow {
    order_id: Uuid,
    state: String,
    customer_id: String,
    store_id: String,
    lines: Option<Json<Vec<OrderLine>>>,
    total: Option<i64>,
    currency: Option<String>,
    confirmed_at: Option<OffsetDateTime>,
    cancelled_at: Option<OffsetDateTime>,
}

impl WorkingSet for Sales {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let rows: Vec<SaleRow> = sqlx::query_as(
            "SELECT order_id, state, customer_id, store_id, lines, total, currency, confirmed_at,
                 cancelled_at
             FROM sale WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
        )
        .bind(keys.orders.iter().map(|order| order.uuid()).collect::<Vec<_>>())
        .fetch_all(tx.db())
        .await?;
        let sale = |row: SaleRow| Ok((OrderId::new(row.order_id), Sale::try_from(row)?));
        let sales = rows.into_iter().map(sale).collect::<Result<BTreeMap<_, _>, Fault>>()?;
        Ok(Self::new(sales))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        save_sales(tx, &self.changed().filter(planted::kept).collect::<Vec<_>>()).await
    }
}

/// One sale; `None` when nothing was sold under this id.
pub async fn sale(tx: &mut Tx, id: SaleId) -> Result<Option<(OrderId, Sale)>, Fault> {
    let row: Option<SaleRow> = sqlx::query_as(
        "SELECT order_id, state, customer_id, store_id, lines, total, currency, confirmed_at,
             cancelled_at
         FROM sale WHERE sale_id = $1 AND state <> 'tombstone'",
    )
    .bind(id.uuid())
    .fetch_optional(tx.db())
    .await?;
    row.map(|row| Ok((OrderId::new(row.order_id), Sale::try_from(row)?))).transpose()
}

/// The sales of a store, the latest order first, before the given order.
pub async fn of_store(
    tx: &mut Tx,
    store: &StoreId,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<(OrderId, Sale)>, Fault> {
    let rows: Vec<SaleRow> = sqlx::query_as(
        "SELECT order_id, state, customer_id, store_id, lines, total, currency, confirmed_at,
             cancelled_at
         FROM sale WHERE store_id = $1 AND state <> 'tombstone' AND order_id < $2
         ORDER BY order_id DESC LIMIT $3",
    )
    .bind(store.as_str())
    .bind(before.map_or(Uuid::max(), OrderId::uuid))
    .bind(limit)
    .fetch_all(tx.db())
    .await?;
    rows.into_iter().map(|row| Ok((OrderId::new(row.order_id), Sale::try_from(row)?))).collect()
}

impl TryFrom<SaleRow> for Sale {
    type Error = Fault;

    fn try_from(row: SaleRow) -> Result<Self, Fault> {
        let sold = match (row.lines, row.total, row.currency, row.confirmed_at) {
            (Some(lines), Some(total), Some(currency), Some(at)) => {
                let total = Money::new(total, currency.parse().map_err(Fault::poison)?);
                Some(Sold { lines: lines.0, total, at: at.into() })
            }
            _ => None,
        };
        let state = match (row.state.as_str(), sold, row.cancelled_at) {
            ("confirmed", Some(sold), None) => State::Confirmed(sold),
            ("cancelled", Some(sold), Some(at)) => State::Cancelled(sold, at.into()),
            ("tombstone", None, None) => State::Tombstone,
            _ => return Err(Fault::poison("a sale has a state that this version does not know")),
        };
        let customer = CustomerId::new(&row.customer_id).map_err(Fault::poison)?;
        let store = StoreId::new(&row.store_id).map_err(Fault::poison)?;
        Ok(Self { customer, store, state })
    }
}

/// The facts of an order come by several topics, so two members of the group may decide on it at
/// the same time. The first to write wins and the other repeats: the only change a row ever sees
/// is from confirmed to cancelled.
async fn save_sales(tx: &mut Tx, sales: &[(OrderId, &Sale)]) -> Result<(), Fault> {
    if sales.is_empty() {
        return Ok(());
    }
    let values = || sales.iter().map(|(_, sale)| sale);
    let sold: Vec<Option<&Sold>> = values().map(|sale| sale.state.sold()).collect();
    let currency = |sold: &Sold| sold.total.currency().to_string();
    let cancelled_at = |sale: &&Sale| sale.state.cancelled_at().map(Timestamp::datetime);
    let written = sqlx::query(
        "INSERT INTO sale AS old (order_id, sale_id, state, customer_id, store_id, lines, total,
             currency, confirmed_at, cancelled_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],
             $6::jsonb[], $7::bigint[], $8::text[], $9::timestamptz[], $10::timestamptz[])
         ON CONFLICT (order_id) DO UPDATE
         SET state = EXCLUDED.state, cancelled_at = EXCLUDED.cancelled_at
         WHERE old.state = 'confirmed' AND EXCLUDED.state = 'cancelled'",
    )
    .bind(sales.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
    .bind(sales.iter().map(|(order, _)| SaleId::of(*order).uuid()).collect::<Vec<_>>())
    .bind(values().map(|sale| sale.state.as_str()).collect::<Vec<_>>())
    .bind(values().map(|sale| sale.customer.as_str()).collect::<Vec<_>>())
    .bind(values().map(|sale| sale.store.as_str()).collect::<Vec<_>>())
    .bind(sold.iter().map(|sold| sold.map(|sold| Json(&sold.lines))).collect::<Vec<_>>())
    .bind(
        sold.iter()
            .map(|sold| sold.map(|sold| planted::total(sold.total.minor())))
            .collect::<Vec<_>>(),
    )
    .bind(sold.iter().map(|sold| sold.map(currency)).collect::<Vec<_>>())
    .bind(sold.iter().map(|sold| sold.map(|sold| sold.at.datetime())).collect::<Vec<_>>())
    .bind(values().map(cancelled_at).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if written < sales.len() as u64 {
        return Err(Fault::transient("another transaction has decided on the same order"));
    }
    Ok(())
}
