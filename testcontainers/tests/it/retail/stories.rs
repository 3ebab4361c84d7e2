//! An order's ways, told by what the doors show afterwards.

use anyhow::{Result, ensure};
use harness::eventually;
use schemas::topics;

use super::Shop;
use super::shop::{SOON, history, same};

#[tokio::test(flavor = "multi_thread")]
async fn s1_54_an_order_succeeds_in_five_steps_seen_on_the_projection() -> Result<()> {
    let shop = Shop::open(10, "100.00").await?;
    let order = shop.order(2).await?;
    let view = shop.ended(order).await?;
    same(view.status.as_str(), "confirmed")?;
    let steps =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    same(history(&view), steps.to_vec())?;
    shop.until(8, 2, "60.20").await?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_55_insufficient_stock_attempts_no_payment() -> Result<()> {
    let shop = Shop::open(1, "100.00").await?;
    let order = shop.order(2).await?;
    let view = shop.ended(order).await?;
    same(view.status.as_str(), "rejected")?;
    same(view.missing.len(), 1)?;
    same(shop.facts(topics::PAYMENT_EVENTS, order).await?, 0)?;
    shop.until(1, 0, "100.00").await?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_56_an_insufficient_balance_releases_the_stock() -> Result<()> {
    let shop = Shop::open(10, "5.00").await?;
    let order = shop.order(3).await?;
    let view = shop.ended(order).await?;
    same(view.status.as_str(), "refused")?;
    shop.until(10, 0, "5.00").await?;
    same(shop.facts(topics::SALE_EVENTS, order).await?, 0)?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_57_a_stopped_service_catches_up_on_its_return() -> Result<()> {
    let mut shop = Shop::open(10, "100.00").await?;
    let Some(sales) = shop.services.remove("sales") else { anyhow::bail!("no sales") };
    sales.stop().await?;
    let orders = [shop.order(1).await?, shop.order(1).await?];
    shop.until(8, 2, "60.20").await?;
    for order in orders {
        let view = eventually(SOON, "the view knows the order", async || {
            shop.retailer.order(order, None).await.map_err(|error| error.to_string())
        });
        let view = view.await?;
        ensure!(!view.has_ended(), "{} without a sale", view.status);
    }
    let sales = shop.world.mount(sales::service()).await?;
    shop.services.insert("sales", sales);
    for order in orders {
        same(shop.ended(order).await?.status.as_str(), "confirmed")?;
    }
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_58_parallel_orders_for_the_last_units_never_sell_one_twice() -> Result<()> {
    let shop = Shop::open(7, "1000.00").await?;
    let placing = (0..20).map(|_| shop.order(1));
    let orders = futures::future::try_join_all(placing).await?;
    let mut confirmed = 0;
    for order in orders {
        let view = shop.ended(order).await?;
        match view.status.as_str() {
            "confirmed" => confirmed += 1,
            "rejected" => {}
            other => anyhow::bail!("{order} is {other}"),
        }
    }
    same(confirmed, 7)?;
    shop.until(0, 7, "860.70").await?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_gives_everything_back_and_stays_cancelled() -> Result<()> {
    let shop = Shop::open(10, "100.00").await?;
    shop.service("sales")?.hold();
    let order = shop.order(2).await?;
    shop.until(8, 2, "60.20").await?;
    shop.retailer.cancel(order, Some("changed my mind")).await?;
    shop.service("sales")?.release();
    shop.until(10, 0, "100.00").await?;
    let view = shop.ended(order).await?;
    same(view.status.as_str(), "cancelled")?;
    let again = shop.retailer.cancel(order, None).await.err().map(|error| error.to_string());
    ensure!(again.is_some_and(|told| told.contains("order_closed")));
    shop.close().await
}
