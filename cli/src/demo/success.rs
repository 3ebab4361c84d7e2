//! The good way: a cart becomes an order, and the order becomes a sale.

use anyhow::Result;
use schemas::{OrderConfirmed, SaleId};

use super::facts;
use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const ABOUT: &str = "A cart is checked out, reserved, paid and sold.";

const QUANTITY: i64 = 2;

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("success", Means { on_hand: 10, funds: "100.00" }).await?;
    let before = stage.state(&shop).await?;
    let order = stage.check_out(&shop, QUANTITY).await?;
    let view = stage.until_ended(order).await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;

    tale.order(order, &view.status, &facts);
    after.against(&before, &shop, tale);
    tale.expect("status", "confirmed", &view.status);
    let way =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    tale.expect("facts", way, facts::names(&facts));
    tale.expect("available", before.available - QUANTITY, after.available);
    tale.expect("reserved", before.reserved + QUANTITY, after.reserved);
    let left = before.balance.minus(shop.price.times(QUANTITY)?)?;
    tale.expect("balance", left, after.balance);
    let sale = facts.iter().find_map(|fact| fact.decoded::<OrderConfirmed>());
    tale.expect("sale", Some(SaleId::of(order)), sale.map(|confirmed| confirmed.sale_id));
    Ok(())
}
