//! A defect of stock as it could be: of one order it announces a total that cannot be. It is put
//! into the database of stock, between its outbox and what it decided, and taken out again.

use anyhow::Result;
use millrace::Event;
use millrace::contract::{Money, frame};
use schemas::{OrderId, OrderLine, StockReserved};
use sqlx::AssertSqlSafe;

use crate::demo::stage::{Shop, Stage};

/// No shop charges less than nothing.
pub(super) const WRONG_MINOR: i64 = -5;

/// Stock will say of this order, once, that it costs less than nothing.
pub(super) async fn plant(
    stage: &Stage,
    shop: &Shop,
    order: OrderId,
    quantity: i64,
    total: Money,
) -> Result<()> {
    let unit_price = shop.price;
    let wrong = StockReserved {
        order_id: order,
        customer_id: shop.customer.clone(),
        store_id: shop.store.clone(),
        lines: vec![OrderLine { sku: shop.sku.clone(), quantity, unit_price }],
        total: Money::new(WRONG_MINOR, total.currency()),
    };
    let registry = stage.registry().await;
    let schema = registry.id_of(&StockReserved::subject(), StockReserved::SCHEMA).await?;
    let payload = frame(schema, &wrong.to_datum());
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = StockReserved::NAME;
    let defect = format!(
        r"CREATE FUNCTION defect() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN NEW.payload := '\x{hex}'::bytea; RETURN NEW; END $$;
          CREATE TRIGGER defect BEFORE INSERT ON millrace.outbox FOR EACH ROW
          WHEN (NEW.key = '{order}' AND NEW.name = '{name}') EXECUTE FUNCTION defect()"
    );
    // Everything in it is ours: hexadecimal digits, an id and the name of a fact.
    let database = &stage.books("stock")?.database;
    sqlx::raw_sql(AssertSqlSafe(defect)).execute(database).await?;
    Ok(())
}

/// Stock is as it was.
pub(super) async fn mend(stage: &Stage) -> Result<()> {
    let database = &stage.books("stock")?.database;
    sqlx::raw_sql("DROP FUNCTION defect() CASCADE").execute(database).await?;
    Ok(())
}
