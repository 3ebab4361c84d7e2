//! One bad record: stock tells a wrong total of one order. The order waits in each group that cannot
//! believe it, and nowhere else; every other order goes on. Then it is repaired and redriven for
//! one group after the other, as an operator does.

mod defect;
mod redrive;
mod sight;

use std::time::Instant;

use anyhow::{Context, Result};
use millrace::contract::Money;
use ops::dead::Letter;
use schemas::OrderId;
use serde_json::json;

use super::audit::few;
use super::report::Tale;
use super::stage::{Means, Shop, Stage};
use super::{facts, law};
use redrive::Redrive;
use sight::Sight;

pub(super) const ABOUT: &str =
    "One bad record: its order waits while 200 others end; repaired and redriven, it ends too.";

const QUANTITY: i64 = 2;
const OTHERS: usize = 200;
/// Who reads the fact and looks at its total.
const REFUSING: usize = 2;

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("poison", Means { on_hand: 300, funds: "10000.00" }).await?;
    let total = shop.price.times(QUANTITY)?;
    let order = wrongly_reserved(stage, &shop, total).await?;
    let letters = redrive::until_dead(stage, order, REFUSING).await?;
    let of = |service: &str| {
        let found = letters.iter().find(|letter| letter.service == service);
        found.with_context(|| format!("{service} took it"))
    };
    let (of_payments, of_orders) = (of("payments")?, of("orders")?);
    for letter in &letters {
        tale.count(format!("dead letter of {}", letter.service), &letter.error_message);
        let what = format!("what is not as it was in the dead letter of {}", letter.service);
        tale.expect(&what, [""; 0], sight::changed(stage, letter).await?);
    }
    let others = others_end(stage, tale, &shop, order).await?;
    stage.until_quiet().await?;
    let before = Sight::of(stage, &of_payments.id).await?;

    let paid = redriven_for_payments(stage, tale, order, of_payments, total).await?;
    let taken = redrive::carry_out(stage, of_orders, total).await?;
    let view = stage.until_ended(order).await?;
    let published = stage.until_quiet().await?;
    tale.expect("status in the end", "confirmed", &view.status);
    Sight::of(stage, &of_payments.id).await?.against(&before, tale);
    for (letter, redrive) in [(of_payments, paid), (of_orders, taken)] {
        told(stage, tale, letter, &redrive, total).await?;
    }
    let breaches = others
        .iter()
        .chain([&order])
        .flat_map(|order| law::breaches(&published.of_order(*order)).into_iter());
    tale.expect("breaches of the flow", [""; 0], few(&breaches.collect::<Vec<_>>()));
    all_is_right(stage, tale, &shop, order).await
}

/// Stock is held while the order is placed, so that the defect is there before the order.
async fn wrongly_reserved(stage: &Stage, shop: &Shop, total: Money) -> Result<OrderId> {
    stage.hold("stock")?;
    let placed = async {
        let order = stage.check_out(shop, QUANTITY).await?;
        defect::plant(stage, shop, order, QUANTITY, total).await?;
        anyhow::Ok(order)
    };
    let placed = placed.await;
    stage.release("stock")?;
    let order = placed?;
    let said = stage.until_said(order, "StockReserved").await;
    defect::mend(stage).await?;
    said.map(|()| order)
}

/// Nothing else waits for the order that waits.
async fn others_end(
    stage: &Stage,
    tale: &mut Tale,
    shop: &Shop,
    order: OrderId,
) -> Result<Vec<OrderId>> {
    let begun = Instant::now();
    let others = stage.place(shop, OTHERS).await?;
    let ends = stage.until_all_ended(&others).await?;
    let took = format!("{OTHERS} in {} ms", begun.elapsed().as_millis());
    tale.count("other orders that ended meanwhile", took);
    tale.expect("other orders meanwhile", json!({ "confirmed": OTHERS }), ends);
    tale.expect("the order meanwhile", json!({ "placed": 1 }), stage.statuses(&[order]).await?);
    Ok(others)
}

/// The order is paid and sold, but for orders all of that comes behind the bad record. Sales is
/// held for a moment, so that it is known in which order.
async fn redriven_for_payments(
    stage: &Stage,
    tale: &mut Tale,
    order: OrderId,
    letter: &Letter,
    total: Money,
) -> Result<Redrive> {
    stage.hold("sales")?;
    let paid = async {
        let redrive = redrive::carry_out(stage, letter, total).await?;
        sight::until_kept(stage, order, 2).await?;
        anyhow::Ok(redrive)
    };
    let paid = paid.await;
    stage.release("sales")?;
    let kept = sight::until_kept(stage, order, 3).await?;
    let waiting = ["dead StockReserved", "waiting PaymentAccepted", "waiting SaleConfirmed"];
    tale.expect("what waits in orders, in this order", waiting, kept);
    let still = stage.statuses(&[order]).await?;
    tale.expect("the order while its sale waits", json!({ "placed": 1 }), still);
    paid
}

/// What the operator saw before and after.
async fn told(
    stage: &Stage,
    tale: &mut Tale,
    letter: &Letter,
    redrive: &Redrive,
    total: Money,
) -> Result<()> {
    let service = &letter.service;
    let repair = [json!("/total/amount"), json!(defect::WRONG_MINOR), json!(total.minor())];
    tale.expect(&format!("repair for {service}"), [repair], &redrive.changes);
    tale.expect(&format!("redrive for {service}"), "done: 1 of 1, 0 failed", &redrive.end);
    let audit = redrive.audit(stage).await?;
    tale.expect(&format!("audit of {service}"), ["issued", "accepted", "finished"], audit);
    Ok(())
}

async fn all_is_right(stage: &Stage, tale: &mut Tale, shop: &Shop, order: OrderId) -> Result<()> {
    let facts = stage.facts(order).await?;
    tale.order(order, "confirmed, after two redrives", &facts);
    let way =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    tale.expect("facts", way, facts::names(&facts));
    let after = stage.state(shop).await?;
    let sold = QUANTITY + i64::try_from(OTHERS)?;
    tale.effect("available", shop.on_hand, after.available);
    tale.expect("available", shop.on_hand - sold, after.available);
    tale.expect("balance", shop.funds.minus(shop.price.times(sold)?)?, after.balance);
    Ok(())
}
