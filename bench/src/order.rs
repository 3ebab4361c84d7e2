//! An order of three lines.

use anyhow::Result;
use schemas::{CustomerId, Money, OrderId, OrderLine, OrderPlaced, Sku, StoreId};
use uuid::Uuid;

pub(crate) fn placed() -> Result<OrderPlaced> {
    let price = |minor| anyhow::Ok(Money::new(minor, "CAD".parse()?));
    let line = |n: i64| {
        let sku = Sku::new(&format!("article-{n:05}"))?;
        anyhow::Ok(OrderLine { sku, quantity: n, unit_price: price(1990)? })
    };
    Ok(OrderPlaced {
        order_id: OrderId::new(Uuid::now_v7()),
        customer_id: CustomerId::new("customer-000042")?,
        store_id: StoreId::new("store-007")?,
        lines: (1..=3).map(line).collect::<Result<_>>()?,
        total: price(11_940)?,
    })
}
