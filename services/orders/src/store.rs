//! Carts, articles and orders in Postgres: one statement for each table and batch. It decides
//! nothing and announces nothing.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Timestamp, Tx, WorkingSet};
use schemas::{CustomerId, Money, OrderId, OrderLine, Sku, StoreId};
use sqlx::FromRow;
use sqlx::types::Json;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Cart, Desk, Lines, NewOrder, Order, Product, Status, Step};
use crate::planted;
use crate::settings::Settings;

/// The rows a batch needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Carts that change; what is known of the articles in them is loaded too.
    pub carts: BTreeSet<Uuid>,
    /// Articles whose price is needed.
    pub skus: BTreeSet<Sku>,
    /// Orders that change.
    pub orders: BTreeSet<OrderId>,
}

#[derive(FromRow)]
struct OrderRow {
    order_id: Uuid,
    customer_id: String,
    store_id: String,
    total: i64,
    currency: String,
    status: String,
    stock: String,
    payment: String,
    sale: String,
    deadline: Option<OffsetDateTime>,
    closed_at: Option<OffsetDateTime>,
}

const READ_CARTS: &str = "SELECT cart_id, customer_id, store_id, lines, order_id FROM cart
     WHERE cart_id = ANY($1)";

const LOCK_CARTS: &str = "SELECT cart_id, customer_id, store_id, lines, order_id FROM cart
     WHERE cart_id = ANY($1) ORDER BY cart_id FOR UPDATE";

type CartRow = (Uuid, String, String, Json<BTreeMap<Sku, i64>>, Option<Uuid>);

impl WorkingSet for Desk {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let carts = load_carts(tx, &keys.carts, LOCK_CARTS).await?;
        let in_carts = carts.values().flat_map(|cart| cart.lines.as_map().keys());
        let skus: BTreeSet<&Sku> = keys.skus.iter().chain(in_carts).collect();
        let products = load_products(tx, &skus).await?;
        let orders = load_orders(tx, &keys.orders).await?;
        Ok(Self::new(tx.settings::<Settings>(), carts, products, orders))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        save_carts(tx, &self.changed_carts().collect::<Vec<_>>()).await?;
        save_products(tx, &self.changed_products().collect::<Vec<_>>()).await?;
        insert_orders(tx, self.new_orders()).await?;
        update_orders(tx, &self.changed_orders().collect::<Vec<_>>()).await
    }
}

/// A cart and what is known of its articles, without locking anything.
pub async fn cart(tx: &mut Tx, id: Uuid) -> Result<Desk, Fault> {
    let carts = load_carts(tx, &[id].into(), READ_CARTS).await?;
    let skus = carts.values().flat_map(|cart| cart.lines.as_map().keys()).collect();
    let products = load_products(tx, &skus).await?;
    Ok(Desk::new(tx.settings::<Settings>(), carts, products, BTreeMap::new()))
}

/// Orders whose step is too late by the database's clock, except those somebody works on.
pub async fn due(tx: &mut Tx, limit: i64) -> Result<BTreeSet<OrderId>, Fault> {
    let now = tx.now().datetime();
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM orders WHERE deadline <= $1
         ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(tx.db())
    .await?;
    Ok(ids.into_iter().map(OrderId::new).collect())
}

async fn load_carts(
    tx: &mut Tx,
    ids: &BTreeSet<Uuid>,
    select: &'static str,
) -> Result<BTreeMap<Uuid, Cart>, Fault> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<CartRow> = sqlx::query_as(select)
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .fetch_all(tx.db())
        .await?;
    let cart = |(id, customer, store, lines, order): CartRow| {
        let cart = Cart {
            customer: CustomerId::new(&customer).map_err(Fault::poison)?,
            store: StoreId::new(&store).map_err(Fault::poison)?,
            lines: Lines::stored(lines.0),
            order: order.map(OrderId::new),
        };
        Ok((id, cart))
    };
    rows.into_iter().map(cart).collect()
}

/// Articles are read as they are now and not locked: a price that changes a moment later is a
/// later price.
async fn load_products(
    tx: &mut Tx,
    skus: &BTreeSet<&Sku>,
) -> Result<BTreeMap<Sku, Product>, Fault> {
    if skus.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String, i64, String, bool)> = sqlx::query_as(
        "SELECT sku, name, price, currency, withdrawn FROM product WHERE sku = ANY($1)",
    )
    .bind(skus.iter().map(|sku| sku.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.db())
    .await?;
    let product = |(sku, name, price, currency, withdrawn): (String, String, i64, String, bool)| {
        let price = money(price, &currency)?;
        Ok((Sku::new(&sku).map_err(Fault::poison)?, Product { name, price, withdrawn }))
    };
    rows.into_iter().map(product).collect()
}

async fn load_orders(
    tx: &mut Tx,
    ids: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Order>, Fault> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<OrderRow> = sqlx::query_as(
        "SELECT order_id, customer_id, store_id, total, currency, status, stock, payment, sale,
             deadline, closed_at
         FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(tx.db())
    .await?;
    let order = |row: OrderRow| Ok((OrderId::new(row.order_id), Order::try_from(row)?));
    rows.into_iter().map(order).collect()
}

impl TryFrom<OrderRow> for Order {
    type Error = Fault;

    fn try_from(row: OrderRow) -> Result<Self, Fault> {
        let unknown = || Fault::poison("an order has a state that this version does not know");
        let step = |name: &str| Step::named(name).ok_or_else(unknown);
        Ok(planted::order(Self {
            customer: CustomerId::new(&row.customer_id).map_err(Fault::poison)?,
            store: StoreId::new(&row.store_id).map_err(Fault::poison)?,
            total: money(row.total, &row.currency)?,
            status: Status::named(&row.status).ok_or_else(unknown)?,
            stock: step(&row.stock)?,
            payment: step(&row.payment)?,
            sale: step(&row.sale)?,
            deadline: row.deadline.map(Timestamp::from),
            closed_at: row.closed_at.map(Timestamp::from),
        }))
    }
}

/// A cart that exists was loaded and is locked; a new one has an id nobody else has.
async fn save_carts(tx: &mut Tx, carts: &[(Uuid, &Cart)]) -> Result<(), Fault> {
    if carts.is_empty() {
        return Ok(());
    }
    let values = || carts.iter().map(|(_, cart)| cart);
    sqlx::query(
        "INSERT INTO cart (cart_id, customer_id, store_id, lines, order_id)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::uuid[])
         ON CONFLICT (cart_id) DO UPDATE SET lines = EXCLUDED.lines, order_id = EXCLUDED.order_id",
    )
    .bind(carts.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(values().map(|cart| cart.customer.as_str()).collect::<Vec<_>>())
    .bind(values().map(|cart| cart.store.as_str()).collect::<Vec<_>>())
    .bind(values().map(|cart| Json(cart.lines.as_map())).collect::<Vec<_>>())
    .bind(values().map(|cart| cart.order.map(OrderId::uuid)).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Rows are sorted by article, so that two batches lock in the same order.
async fn save_products(tx: &mut Tx, products: &[(&Sku, &Product)]) -> Result<(), Fault> {
    if products.is_empty() {
        return Ok(());
    }
    let values = || products.iter().map(|(_, product)| product);
    sqlx::query(
        "INSERT INTO product (sku, name, price, currency, withdrawn)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[])
         ON CONFLICT (sku) DO UPDATE SET name = EXCLUDED.name, price = EXCLUDED.price,
             currency = EXCLUDED.currency, withdrawn = EXCLUDED.withdrawn",
    )
    .bind(products.iter().map(|(sku, _)| sku.as_str()).collect::<Vec<_>>())
    .bind(values().map(|product| product.name.as_str()).collect::<Vec<_>>())
    .bind(values().map(|product| planted::price(product.price.minor())).collect::<Vec<_>>())
    .bind(values().map(|product| product.price.currency().to_string()).collect::<Vec<_>>())
    .bind(values().map(|product| product.withdrawn).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

async fn insert_orders(tx: &mut Tx, orders: &[NewOrder]) -> Result<(), Fault> {
    if orders.is_empty() || planted::lost() {
        return Ok(());
    }
    let facts = || orders.iter().map(|new| &new.placed);
    let lines = |new: &NewOrder| Json::<Vec<OrderLine>>(new.placed.lines.clone());
    sqlx::query(
        "INSERT INTO orders (order_id, customer_id, store_id, reference, lines, total, currency,
             placed_at, deadline, status, stock, payment, sale)
         SELECT *, 'placed', 'pending', 'pending', 'pending'
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::bigint[],
             $7::text[], $8::timestamptz[], $9::timestamptz[])",
    )
    .bind(facts().map(|placed| placed.order_id.uuid()).collect::<Vec<_>>())
    .bind(facts().map(|placed| placed.customer_id.as_str()).collect::<Vec<_>>())
    .bind(facts().map(|placed| placed.store_id.as_str()).collect::<Vec<_>>())
    .bind(orders.iter().map(|new| new.reference.as_deref()).collect::<Vec<_>>())
    .bind(orders.iter().map(lines).collect::<Vec<_>>())
    .bind(facts().map(|placed| placed.total.minor()).collect::<Vec<_>>())
    .bind(facts().map(|placed| placed.total.currency().to_string()).collect::<Vec<_>>())
    .bind(orders.iter().map(|new| new.placed_at.datetime()).collect::<Vec<_>>())
    .bind(orders.iter().map(|new| datetime(new.order.deadline)).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// A changed order was loaded, so its row is locked.
async fn update_orders(tx: &mut Tx, orders: &[(OrderId, &Order)]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let values = || orders.iter().map(|(_, order)| order);
    sqlx::query(
        "UPDATE orders SET status = new.status, stock = new.stock, payment = new.payment,
             sale = new.sale, deadline = new.deadline, closed_at = new.closed_at
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
             $6::timestamptz[], $7::timestamptz[])
             AS new (order_id, status, stock, payment, sale, deadline, closed_at)
         WHERE orders.order_id = new.order_id",
    )
    .bind(orders.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
    .bind(values().map(|order| order.status.as_str()).collect::<Vec<_>>())
    .bind(values().map(|order| order.stock.as_str()).collect::<Vec<_>>())
    .bind(values().map(|order| planted::payment(order.payment).as_str()).collect::<Vec<_>>())
    .bind(values().map(|order| order.sale.as_str()).collect::<Vec<_>>())
    .bind(values().map(|order| datetime(order.deadline)).collect::<Vec<_>>())
    .bind(values().map(|order| datetime(order.closed_at)).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

fn datetime(moment: Option<Timestamp>) -> Option<OffsetDateTime> {
    moment.map(Timestamp::datetime)
}

fn money(minor: i64, currency: &str) -> Result<Money, Fault> {
    Ok(Money::new(minor, currency.parse().map_err(Fault::poison)?))
}
