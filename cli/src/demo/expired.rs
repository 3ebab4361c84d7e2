//! Payments never answers: the deadline of the step closes the order, and what was done is undone.
//! When payments comes back, it finds an order that has ended.

use anyhow::Result;
use schemas::{CancelledBy, OrderCancelled, OrderId};
use serde_json::json;

use super::report::Tale;
use super::stage::{Means, Shop, Stage};
use super::{facts, law};

pub(super) const ABOUT: &str = "Payments is silent: the deadline ends the order and undoes it.";

/// Long enough for stock to reserve on a busy machine, short enough to be waited for.
const PAYMENT_DEADLINE_MS: u64 = 1500;
const DEADLINE: &str = "payment_deadline_ms";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("expired", Means { on_hand: 10, funds: "100.00" }).await?;
    let usual = stage.set("orders", vec![(DEADLINE, json!(PAYMENT_DEADLINE_MS))]).await?;
    stage.hold("payments")?;
    let told = silent(stage, tale, &shop).await;
    stage.release("payments")?;
    let order = told?;

    stage.until_quiet().await?;
    stage.set("orders", usual).await?;
    let view = stage.view(order).await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;
    tale.order(order, &view.status, &facts);
    tale.expect("status when payments is back", "expired", &view.status);
    tale.expect("breaches of the flow", [""; 0], law::breaches(&facts));
    tale.expect("balance", shop.funds, after.balance);
    tale.expect("available", shop.on_hand, after.available);
    tale.expect("reserved", 0, after.reserved);
    Ok(())
}

/// The order ends while payments says nothing at all.
async fn silent(stage: &Stage, tale: &mut Tale, shop: &Shop) -> Result<OrderId> {
    let before = stage.state(shop).await?;
    let order = stage.check_out(shop, 2).await?;
    stage.until_said(order, "StockReserved").await?;
    let view = stage.until_ended(order).await?;
    stage.until_said(order, "StockReleased").await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(shop).await?;
    after.against(&before, shop, tale);
    tale.expect("status", "expired", &view.status);
    let by = facts.iter().find_map(|fact| fact.decoded::<OrderCancelled>()).map(|fact| fact.by);
    tale.expect("ended by", Some(CancelledBy::Deadline), by);
    let way = ["OrderPlaced", "StockReserved", "OrderCancelled", "StockReleased"];
    tale.expect("facts while payments is silent", way, facts::names(&facts));
    tale.expect("stock and money while payments is silent", &before, &after);
    Ok(order)
}
