//! A client that is not sure repeats its checkout under the same key: one order, one answer.

use anyhow::Result;
use futures::future::try_join_all;
use ops::{ClientError, OrderFilter};
use uuid::Uuid;

use super::facts;
use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const ABOUT: &str = "The same checkout many times, also at once: one order.";

const AT_ONCE: usize = 8;

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("duplicate-checkout", Means { on_hand: 10, funds: "100.00" }).await?;
    let before = stage.state(&shop).await?;
    let cart = stage.fill_cart(&shop, 1).await?;
    let key = Uuid::now_v7();
    let at_once = (0..AT_ONCE).map(|_| stage.retailer().check_out(cart, key));
    let mut answers = try_join_all(at_once).await?;
    answers.push(stage.retailer().check_out(cart, key).await?);
    let order = answers[0].order_id;
    let view = stage.until_ended(order).await?;
    answers.push(stage.retailer().check_out(cart, key).await?);
    let another = match stage.retailer().check_out(cart, Uuid::now_v7()).await {
        Err(ClientError::Refused { status, code, .. }) => format!("{status} {code}"),
        other => format!("{other:?}"),
    };
    stage.until_quiet().await?;
    let facts = stage.facts(order).await?;
    let after = stage.state(&shop).await?;

    tale.order(order, &view.status, &facts);
    after.against(&before, &shop, tale);
    let all: Vec<_> = answers.iter().map(|answer| answer.order_id).collect();
    tale.expect("answers", vec![order; AT_ONCE + 2], all);
    let of_customer = OrderFilter { customer: Some(shop.customer), ..OrderFilter::default() };
    let page = stage.retailer().orders(&of_customer).await?;
    let orders: Vec<_> = page.items.iter().map(|order| order.order_id).collect();
    tale.expect("orders of the customer", [order], orders);
    tale.expect("another key on the same cart", "409 cart_checked_out", another);
    let way =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    tale.expect("facts", way, facts::names(&facts));
    tale.expect("available", before.available - 1, after.available);
    tale.expect("balance", before.balance.minus(shop.price)?, after.balance);
    Ok(())
}
