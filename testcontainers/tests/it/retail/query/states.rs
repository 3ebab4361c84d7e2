//! A world with nothing in it but states of orders, and replicas of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Ground, World, eventually};
use millrace::admin::RawRecord;
use millrace::contract::frame;
use millrace::{Event, Running, Timestamp};
use schemas::{CustomerId, OrderId, OrderState, OrderStatus, Sku, StoreId, topics};
use serde_json::Value;
use uuid::Uuid;

use crate::retail::shop::SOON;

/// States that are said by hand.
pub(super) struct States {
    pub(super) world: World,
    schema: u32,
}

/// An answer of a replica.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) tag: Option<String>,
    pub(super) body: Value,
}

impl States {
    pub(super) async fn on(ground: &Ground) -> Result<Self> {
        millrace::log::init(false);
        let world = World::on(ground)?;
        world.create_topics(&[topics::ORDER_STATE]).await?;
        world.register([(OrderState::subject(), OrderState::SCHEMA)]).await?;
        let schema = world.registry().id_of(&OrderState::subject(), OrderState::SCHEMA).await?;
        Ok(Self { world, schema })
    }

    pub(super) async fn new() -> Result<Self> {
        Self::on(&Ground::shared().await?).await
    }

    /// A replica with a folder of its own.
    pub(super) async fn replica(&self, folder: &std::path::Path) -> Result<Running> {
        let folder = folder.display().to_string();
        let change = |config: &mut millrace::Config| config.replica.dir = folder;
        self.world.mount_with(order_query::service(), change).await
    }

    /// Says where an order stands.
    pub(super) async fn say(
        &self,
        order: OrderId,
        version: u64,
        status: OrderStatus,
    ) -> Result<()> {
        let state = state(order, version, status)?;
        let payload = frame(self.schema, &state.to_datum());
        self.send(order, version, Some(payload)).await
    }

    /// Takes the state of an order back, or says something that nobody can read.
    pub(super) async fn send(
        &self,
        order: OrderId,
        version: u64,
        payload: Option<Vec<u8>>,
    ) -> Result<()> {
        let headers =
            [("ce_type", OrderState::NAME.to_owned()), ("ce_sequence", format!("{version:020}"))];
        let record = RawRecord {
            partition: None,
            key: Some(order.to_string().into_bytes()),
            payload,
            headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
        };
        let topic = self.world.topic(topics::ORDER_STATE);
        self.world.admin().await?.produce(&topic, record).await?;
        Ok(())
    }

    /// Says this many orders, each once.
    pub(super) async fn say_many(&self, count: u64) -> Result<Vec<OrderId>> {
        let orders: Vec<OrderId> = (0..count).map(|_| OrderId::new(Uuid::now_v7())).collect();
        for order in &orders {
            self.say(*order, 1, OrderStatus::Placed).await?;
        }
        Ok(orders)
    }
}

pub(super) fn state(order: OrderId, version: u64, status: OrderStatus) -> Result<OrderState> {
    let millis = order.uuid().get_timestamp().map_or(0, |at| at.to_unix().0 * 1000);
    let placed = Timestamp::from_micros(i64::try_from(millis)? * 1000);
    let unit_price = millrace::Money::parse("19.90", "CAD".parse()?)?;
    let sku = Sku::new("mug")?;
    Ok(OrderState {
        order_id: order,
        version: i64::try_from(version)?,
        status,
        settled: false,
        customer_id: Some(CustomerId::new("anna")?),
        store_id: Some(StoreId::new("north")?),
        lines: vec![schemas::OrderLine { sku, quantity: 1, unit_price }],
        total: Some(unit_price),
        placed_at: placed,
        closed_at: None,
        updated_at: placed.unwrap_or_default(),
        missing: vec![],
        reason: None,
    })
}

/// Asks a replica.
pub(super) async fn ask(replica: &Running, path: &str) -> Result<Answer> {
    let answer = reqwest::get(format!("{}{path}", replica.url())).await?;
    let status = answer.status().as_u16();
    let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = answer.bytes().await?;
    Ok(Answer { status, tag, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Where an order stands and how many facts that is, at a replica.
pub(super) async fn stands(replica: &Running, order: OrderId) -> Result<(String, i64)> {
    let Answer { status, body, .. } = ask(replica, &format!("/v1/orders/{order}")).await?;
    ensure!(status == 200, "{status}: {body}");
    let version = body["version"].as_i64().context("a version")?;
    Ok((body["status"].as_str().unwrap_or_default().to_owned(), version))
}

/// Waits until a replica knows this version of an order.
pub(super) async fn until(replica: &Running, order: OrderId, version: i64) -> Result<()> {
    eventually(SOON, "the replica knows the version", async || match stands(replica, order).await {
        Ok((_, known)) if known >= version => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// A number of the replica's own, by the beginning of its line.
pub(super) async fn metric(replica: &Running, line: &str) -> Result<f64> {
    let text = reqwest::get(format!("{}/metrics", replica.url())).await?.text().await?;
    let found = text.lines().filter(|it| it.starts_with(line));
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    Ok(found.filter_map(value).sum())
}

/// Records that a replica has read into its store.
pub(super) async fn records_read(replica: &Running) -> Result<f64> {
    metric(replica, "replica_records_total").await
}

pub(super) const A_MOMENT: Duration = Duration::from_millis(700);
