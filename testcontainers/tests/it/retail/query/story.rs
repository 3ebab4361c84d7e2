//! The retailer with its query side: the same answers as the order view's, also while that is folded
//! again, and none of an erased order.

use anyhow::{Context, Result, ensure};
use harness::eventually;
use millrace::Running;
use millrace::contract::Event;
use schemas::{OrderId, OrderState, topics};
use serde_json::{Value, json};

use super::states::{ask, metric, stands};
use crate::retail::shop::{SOON, Shop, same};

/// Five orders, each with its beginning, its end and something between.
const FACTS_AT_LEAST: f64 = 15.0;
/// What the order view alone has.
const NOT_SHARED: [&str; 1] = ["history"];

/// A shop with a query side, and an order of each end.
async fn shop() -> Result<(Shop, Running, Vec<OrderId>)> {
    let shop = Shop::open_with(10, "60.00", |name, config| {
        if name == "orders" {
            let settings = json!({"sale_deadline_ms": 1500});
            config.service.insert(name.to_owned(), settings);
        }
    })
    .await?;
    let query = shop.world.mount(order_query::service()).await?;
    let (confirmed, rejected, refused) =
        (shop.order(1).await?, shop.order(99).await?, shop.order(9).await?);
    for order in [confirmed, rejected, refused] {
        shop.ended(order).await?;
    }
    shop.service("sales")?.hold();
    let (cancelled, expired) = (shop.order(1).await?, shop.order(1).await?);
    shop.retailer.cancel(cancelled, Some("changed my mind")).await?;
    shop.ended(expired).await?;
    shop.service("sales")?.release();
    Ok((shop, query, vec![confirmed, rejected, refused, cancelled, expired]))
}

/// An order as a service tells it.
async fn told(service: &Running, order: OrderId) -> Result<Value> {
    let mut body = ask(service, &format!("/v1/orders/{order}")).await?.body;
    let fields = body.as_object_mut().context("an order")?;
    NOT_SHARED.iter().for_each(|field| drop(fields.remove(*field)));
    Ok(body)
}

/// Waits until both tell the same of orders that are settled.
async fn until_same(shop: &Shop, query: &Running, orders: &[OrderId]) -> Result<()> {
    let view = shop.service("order-view")?;
    eventually(SOON, "both tell the same", async || {
        for order in orders {
            let asked = futures::try_join!(told(view, *order), told(query, *order));
            let (wanted, found) = asked.map_err(|error| error.to_string())?;
            if wanted != found || found["settled"] != true {
                return Err(format!("{wanted} and {found}"));
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_side_answers_as_the_order_view_does_and_never_goes_back() -> Result<()> {
    let (mut shop, query, orders) = shop().await?;
    until_same(&shop, &query, &orders).await?;
    let mut ends = vec![];
    for order in &orders {
        ends.push(stands(&query, *order).await?.0);
    }
    same(
        ends,
        ["confirmed", "rejected", "refused", "cancelled", "expired"].map(str::to_owned).into(),
    )?;
    let listed = async |service: &Running| {
        let page = ask(service, "/v1/orders?limit=200").await?.body;
        let ids = page["items"].as_array().context("items")?.iter();
        anyhow::Ok(ids.map(|item| item["order_id"].clone()).collect::<Vec<_>>())
    };
    same(listed(&query).await?, listed(shop.service("order-view")?).await?)?;
    never_goes_back(&mut shop, &query, &orders).await?;
    query.stop().await?;
    shop.close().await
}

/// The order view is put back to the beginning and folds everything again.
async fn never_goes_back(shop: &mut Shop, query: &Running, orders: &[OrderId]) -> Result<()> {
    let mut before = vec![];
    for order in orders {
        before.push(stands(query, *order).await?);
    }
    let said = states_said(shop).await?;
    let view = shop.services.remove("order-view").context("the order view")?;
    view.stop().await?;
    let group = format!("{}retail.order-view", shop.world.prefix());
    let read =
        [topics::ORDER_EVENTS, topics::STOCK_EVENTS, topics::PAYMENT_EVENTS, topics::SALE_EVENTS];
    let read = read.map(|topic| shop.world.topic(topic));
    let read: Vec<&str> = read.iter().map(String::as_str).collect();
    shop.world.ground().rewind_group(&group, &read).await?;
    let view = shop.world.mount(order_view::service()).await?;
    shop.services.insert("order-view", view);
    // Everything is folded again, and not only what came last.
    eventually(SOON, "the order view reads from the beginning", async || {
        let view = shop.service("order-view").map_err(|error| error.to_string())?;
        match metric(view, "messaging_client_consumed_messages_total").await {
            Ok(read) if read >= FACTS_AT_LEAST => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    until_same(shop, query, orders).await?;
    for (order, before) in orders.iter().zip(before) {
        same(stands(query, *order).await?, before)?;
    }
    same(states_said(shop).await?, said)
}

/// Records of the topic of states.
async fn states_said(shop: &Shop) -> Result<usize> {
    let topic = shop.world.topic(OrderState::TOPIC);
    Ok(shop.world.admin().await?.read_all(&topic).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_order_is_gone_everywhere_and_stays_gone() -> Result<()> {
    let shop = Shop::open(10, "100.00").await?;
    let query = shop.world.mount(order_query::service()).await?;
    let (order, other) = (shop.order(1).await?, shop.order(1).await?);
    for order in [order, other] {
        shop.ended(order).await?;
    }
    until_same(&shop, &query, &[order, other]).await?;
    let view = shop.service("order-view")?;
    let erase = async || order_view::erase(view.door(), order).await;
    ensure!(erase().await.is_ok_and(|erased| erased), "it is erased");
    ensure!(erase().await.is_ok_and(|erased| !erased), "it was erased before");
    eventually(SOON, "the order is gone", async || {
        match ask(&query, &format!("/v1/orders/{order}")).await {
            Ok(answer) if answer.status == 404 => Ok(()),
            Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    same(ask(view, &format!("/v1/orders/{order}")).await?.status, 404)?;
    until_same(&shop, &query, &[other]).await?;
    query.stop().await?;
    shop.close().await
}
