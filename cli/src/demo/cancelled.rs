//! The customer cancels when the goods are reserved, the payment is taken and the sale is recorded,
//! but the news of it has not reached orders: everything is undone.

use anyhow::Result;
use schemas::{OrderId, PaymentRefunded, SaleCancelled};

use super::facts;
use super::report::Tale;
use super::stage::{Means, Shop, Stage};

pub(super) const ABOUT: &str = "Cancelled after the payment: refunded, unsold, goods back.";

const QUANTITY: i64 = 2;

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let means = Means { on_hand: 10, funds: "100.00" };
    let shop = stage.shop("cancelled-after-payment", means).await?;
    let before = stage.state(&shop).await?;
    stage.hold("orders")?;
    let told = interrupted(stage, tale, &shop).await;
    stage.release("orders")?;
    let order = told?;

    let view = stage.until_ended(order).await?;
    for fact in ["StockReleased", "PaymentRefunded", "SaleCancelled"] {
        stage.until_said(order, fact).await?;
    }
    stage.until_quiet().await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;

    tale.order(order, &view.status, &facts);
    after.against(&before, &shop, tale);
    tale.expect("status", "cancelled", &view.status);
    let way = [
        "OrderCancelled",
        "OrderPlaced",
        "PaymentAccepted",
        "PaymentRefunded",
        "SaleCancelled",
        "SaleConfirmed",
        "StockReleased",
        "StockReserved",
    ];
    tale.expect("facts", way, facts::sorted_names(&facts));
    let total = shop.price.times(QUANTITY)?;
    let refund = facts.iter().find_map(|fact| fact.decoded::<PaymentRefunded>());
    tale.expect("refunded", Some(total), refund.map(|refund| refund.amount));
    let unsold = facts.iter().find_map(|fact| fact.decoded::<SaleCancelled>());
    tale.expect("unsold", Some(total), unsold.map(|unsold| unsold.total));
    tale.expect("stock and money", &before, &after);
    Ok(())
}

/// While orders hears nothing, everyone else goes on to the end.
async fn interrupted(stage: &Stage, tale: &mut Tale, shop: &Shop) -> Result<OrderId> {
    let order = stage.check_out(shop, QUANTITY).await?;
    stage.until_said(order, "SaleConfirmed").await?;
    let meanwhile = stage.state(shop).await?;
    let paid = meanwhile.balance.plus(shop.price.times(QUANTITY)?)?;
    tale.expect("paid before the cancellation", shop.funds, paid);
    tale.expect("reserved before the cancellation", QUANTITY, meanwhile.reserved);
    let answer = stage.retailer().cancel(order, Some("changed my mind")).await?;
    tale.expect("answer to the cancellation", "cancelled", answer.status);
    Ok(order)
}
