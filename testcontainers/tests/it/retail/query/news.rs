//! Server-sent events: nothing is lost between two replicas, and there is a bound.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use millrace::Running;
use schemas::{OrderId, OrderStatus};
use serde_json::Value;
use tokio::time::timeout;

use super::states::{A_MOMENT, States, ask};
use crate::retail::shop::{SOON, same};

/// A client of events.
struct Listener {
    answer: reqwest::Response,
    text: String,
}

struct Heard {
    id: String,
    event: String,
    order: String,
    version: Option<i64>,
}

impl Listener {
    async fn open(replica: &Running, path: &str, last: Option<&str>) -> Result<Self> {
        let mut request = reqwest::Client::new().get(format!("{}{path}", replica.url()));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        Ok(Self { answer, text: String::new() })
    }

    async fn next(&mut self) -> Result<Heard> {
        timeout(SOON, async {
            loop {
                if let Some(heard) = self.take() {
                    return Ok(heard);
                }
                match self.answer.chunk().await? {
                    Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk)?),
                    None => bail!("the stream ended"),
                }
            }
        })
        .await
        .context("no event")?
    }

    fn take(&mut self) -> Option<Heard> {
        while let Some((block, rest)) = self.text.clone().split_once("\n\n") {
            self.text = rest.to_owned();
            let field = |name: &str| {
                let start = format!("{name}: ");
                let line = block.lines().find_map(|line| line.strip_prefix(&start));
                line.unwrap_or_default().to_owned()
            };
            let data: Value = serde_json::from_str(&field("data")).unwrap_or_default();
            if let Some(order) = data["order_id"].as_str() {
                let (order, version) = (order.to_owned(), data["version"].as_i64());
                return Some(Heard { id: field("id"), event: field("event"), order, version });
            }
        }
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_go_on_at_another_replica_without_a_loss() -> Result<()> {
    let states = States::new().await?;
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let first = states.replica(folders[0].path()).await?;
    let second = states.replica(folders[1].path()).await?;
    let mut listener = Listener::open(&first, "/v1/orders/events", None).await?;
    let orders = states.say_many(30).await?;
    let mut heard: BTreeMap<String, i64> = BTreeMap::new();
    let mut last = String::new();
    while heard.len() < 12 {
        let news = listener.next().await?;
        same(news.event.as_str(), "order")?;
        heard.insert(news.order, news.version.unwrap_or_default());
        last = news.id;
    }
    drop(listener);
    for order in &orders[..10] {
        states.say(*order, 2, OrderStatus::Paid).await?;
    }
    let mut listener = Listener::open(&second, "/v1/orders/events", Some(&last)).await?;
    let wanted = wanted(&orders);
    while heard != wanted {
        let news = listener.next().await?;
        let version = news.version.unwrap_or_default();
        let before = heard.insert(news.order, version).unwrap_or_default();
        ensure!(before < version, "{before} again as {version}");
    }
    states.send(orders[0], 3, None).await?;
    let erased = listener.next().await?;
    same((erased.event.as_str(), erased.order), ("erased", orders[0].to_string()))?;
    first.stop().await?;
    second.stop().await?;
    states.world.close().await
}

fn wanted(orders: &[OrderId]) -> BTreeMap<String, i64> {
    let version = |at: usize| if at < 10 { 2 } else { 1 };
    orders.iter().enumerate().map(|(at, order)| (order.to_string(), version(at))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_one_order_begin_with_its_state_and_end_with_the_service() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let orders = states.say_many(2).await?;
    let replica = states.replica(folder.path()).await?;
    let path = format!("/v1/orders/{}/events", orders[0]);
    let mut listener = Listener::open(&replica, &path, None).await?;
    let now = listener.next().await?;
    same(now.version, Some(1))?;
    states.say(orders[1], 2, OrderStatus::Paid).await?;
    states.say(orders[0], 2, OrderStatus::Paid).await?;
    let next = listener.next().await?;
    same((next.order.clone(), next.version), (orders[0].to_string(), Some(2)))?;
    let mut again = Listener::open(&replica, &path, Some(&now.id)).await?;
    same(again.next().await?.version, Some(2))?;
    let mut nothing = Listener::open(&replica, &path, Some(&next.id)).await?;
    ensure!(timeout(A_MOMENT, nothing.next()).await.is_err(), "it was seen before");
    let wrong = reqwest::Client::new().get(format!("{}{path}", replica.url()));
    let wrong = wrong.header("last-event-id", "yesterday").send().await?;
    same(wrong.status().as_u16(), 400)?;
    let unknown = OrderId::new(uuid::Uuid::now_v7());
    same(ask(&replica, &format!("/v1/orders/{unknown}/events")).await?.status, 404)?;
    let (stopped, ended) = futures::join!(replica.stop(), listener.next());
    stopped?;
    ensure!(ended.is_err(), "the stream goes on");
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_beyond_the_bound_is_sent_elsewhere() -> Result<()> {
    let states = States::new().await?;
    let change = |config: &mut millrace::Config| config.replica.subscribers_max = 1;
    let replica = states.world.mount_with(order_query::service(), change).await?;
    let listener = Listener::open(&replica, "/v1/orders/events", None).await?;
    let refused = ask(&replica, "/v1/orders/events").await?;
    same((refused.status, refused.body["code"].as_str()), (503, Some("too_many_subscribers")))?;
    drop(listener);
    replica.stop().await?;
    states.world.close().await
}
