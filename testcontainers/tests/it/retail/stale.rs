//! An order of which something cannot be folded is shown as it stood before, and says so; the others
//! go on.

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::admin::RawRecord;
use ops::{ClientError, OrderFilter};
use schemas::{OrderId, topics};
use uuid::Uuid;

use super::Shop;
use super::shop::{SOON, same};

impl Shop {
    /// A record about an order that nobody can read.
    async fn garbage(&self, order: OrderId) -> Result<()> {
        let record = RawRecord {
            key: Some(order.to_string().into_bytes()),
            payload: Some(b"garbage".to_vec()),
            ..RawRecord::default()
        };
        let topic = self.world.topic(topics::ORDER_EVENTS);
        self.world.admin().await?.produce(&topic, record).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_folded_is_shown_as_stale_with_the_reason() -> Result<()> {
    let shop = Shop::open(10, "500.00").await?;
    let (order, unknown) = (shop.order(1).await?, OrderId::new(Uuid::now_v7()));
    let before = shop.ended(order).await?;
    same(before.stale.as_deref(), None)?;
    shop.garbage(order).await?;
    shop.garbage(unknown).await?;
    let stale = eventually(SOON, "the order is stale", async || {
        let view = shop.retailer.order(order, None).await.map_err(|error| error.to_string())?;
        if view.stale.is_some() { Ok(view) } else { Err("it is not".to_owned()) }
    })
    .await?;
    let reason = stale.stale.clone().unwrap_or_default();
    ensure!(reason.starts_with("header") || reason.starts_with("framing"), "{reason}");
    same((stale.status, stale.version), (before.status, before.version))?;
    let refused = eventually(SOON, "nothing can be said of the other", async || {
        match shop.retailer.order(unknown, None).await {
            Err(ClientError::NotFound { .. }) => Err("it is not known".to_owned()),
            answer => Ok(answer),
        }
    });
    let refused = refused.await?.map(|view| view.status).map_err(|error| error.to_string());
    ensure!(refused.as_ref().is_err_and(|text| text.contains("cannot be read")), "{refused:?}");

    let other = shop.order(1).await?;
    same(shop.ended(other).await?.stale.as_deref(), None)?;
    let listed = shop.retailer.orders(&OrderFilter::default()).await?.items;
    let stale: Vec<OrderId> =
        listed.iter().filter(|it| it.stale.is_some()).map(|it| it.order_id).collect();
    same(stale, vec![order])?;
    shop.close().await
}
