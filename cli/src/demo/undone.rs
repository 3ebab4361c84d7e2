//! Orders that fail by themselves: too little stock, or a payment that is refused. What was done
//! before the failure is undone to the unit.

use anyhow::Result;
use schemas::{OrderRefused, RefusalReason};

use super::facts::{self, Fact};
use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const NO_STOCK: &str = "The store has too little: rejected, and no payment attempted.";
pub(super) const PAYMENT_REFUSED: &str = "The customer has too little: the goods are back.";

pub(super) async fn no_stock(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("no-stock", Means { on_hand: 1, funds: "100.00" }).await?;
    let before = stage.state(&shop).await?;
    let order = stage.check_out(&shop, 2).await?;
    let view = stage.until_ended(order).await?;
    // When everything has come to rest, payments has had its chance.
    stage.until_quiet().await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;

    tale.order(order, &view.status, &facts);
    after.against(&before, &shop, tale);
    tale.expect("status", "rejected", &view.status);
    let way = ["OrderPlaced", "StockUnavailable", "OrderRejected"];
    tale.expect("facts", way, facts::names(&facts));
    tale.expect("facts by payments", 0, said_by("payments", &facts));
    tale.expect("stock and money", &before, &after);
    Ok(())
}

pub(super) async fn payment_refused(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("payment-refused", Means { on_hand: 10, funds: "5.00" }).await?;
    let before = stage.state(&shop).await?;
    let order = stage.check_out(&shop, 3).await?;
    let view = stage.until_ended(order).await?;
    stage.until_said(order, "StockReleased").await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;

    tale.order(order, &view.status, &facts);
    after.against(&before, &shop, tale);
    tale.expect("status", "refused", &view.status);
    // Orders and stock both hear of the refusal, so their answers come in any order.
    let way = ["OrderPlaced", "OrderRefused", "PaymentRefused", "StockReleased", "StockReserved"];
    tale.expect("facts", way, facts::sorted_names(&facts));
    let refused = facts.iter().find_map(|fact| fact.decoded::<OrderRefused>());
    let reason = refused.map(|refused| refused.reason);
    tale.expect("reason", Some(RefusalReason::InsufficientFunds), reason);
    tale.expect("stock and money", &before, &after);
    Ok(())
}

fn said_by(service: &str, facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| fact.producer == service).count()
}
