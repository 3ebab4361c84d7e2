//! The copy: restarted, damaged, taken back, not readable, and all alone.

use std::time::Instant;

use anyhow::{Result, ensure};
use harness::{Ground, GroundKind, Part, eventually, skipped};
use millrace::Running;
use schemas::{OrderId, OrderStatus};
use uuid::Uuid;

use super::states::{States, ask, metric, records_read, stands, until};
use crate::retail::shop::{SOON, same};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_the_checkpoint_reads_nothing_again() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let orders = states.say_many(20).await?;
    let replica = states.replica(folder.path()).await?;
    same(records_read(&replica).await?, 20.0)?;
    replica.stop().await?;
    let replica = states.replica(folder.path()).await?;
    same(records_read(&replica).await?, 0.0)?;
    same(stands(&replica, orders[7]).await?, ("placed".to_owned(), 1))?;
    states.say(orders[7], 2, OrderStatus::Paid).await?;
    until(&replica, orders[7], 2).await?;
    same(records_read(&replica).await?, 1.0)?;
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_store_is_made_anew_and_never_served() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let orders = states.say_many(20).await?;
    states.replica(folder.path()).await?.stop().await?;
    let file = folder.path().join("replica.redb");
    let length = std::fs::metadata(&file)?.len();
    std::fs::File::options().write(true).open(&file)?.set_len(length / 2)?;
    let replica = states.replica(folder.path()).await?;
    same(records_read(&replica).await?, 20.0)?;
    same(metric(&replica, "replica_rebuilds_total").await?, 1.0)?;
    for order in orders {
        same(stands(&replica, order).await?, ("placed".to_owned(), 1))?;
    }
    let second = states.replica(folder.path()).await.err().map(|error| error.to_string());
    ensure!(second.as_ref().is_some_and(|told| told.contains("in use")), "{second:?}");
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_taken_back_is_gone_and_what_cannot_be_read_is_stale() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let orders = states.say_many(3).await?;
    let replica = states.replica(folder.path()).await?;
    states.send(orders[0], 2, None).await?;
    states.send(orders[1], 2, Some(b"nonsense".to_vec())).await?;
    let never_known = OrderId::new(Uuid::now_v7());
    states.send(never_known, 1, Some(b"nonsense".to_vec())).await?;
    states.say(orders[2], 2, OrderStatus::Paid).await?;
    until(&replica, orders[2], 2).await?;
    eventually(SOON, "all records are read", async || {
        let read = records_read(&replica).await.map_err(|error| error.to_string())?;
        if read == 7.0 { Ok(()) } else { Err(read.to_string()) }
    })
    .await?;
    let gone = ask(&replica, &format!("/v1/orders/{}?version=1", orders[0])).await?;
    same((gone.status, gone.body["code"].as_str()), (404, Some("unknown_order")))?;
    let stale = ask(&replica, &format!("/v1/orders/{}", orders[1])).await?;
    same((stale.status, stale.body["version"].as_i64()), (200, Some(1)))?;
    ensure!(stale.body["stale"].as_str().is_some_and(|told| told.contains("framing")));
    let unreadable = ask(&replica, &format!("/v1/orders/{never_known}")).await?;
    same((unreadable.status, unreadable.body["code"].as_str()), (503, Some("unreadable_order")))?;
    let list = ask(&replica, "/v1/orders?customer=anna").await?;
    let listed = list.body["items"].as_array().map_or(0, Vec::len);
    same((list.status, listed), (200, 2))?;
    same(metric(&replica, "replica_stale_keys").await?, 2.0)?;
    states.say(orders[1], 3, OrderStatus::Paid).await?;
    until(&replica, orders[1], 3).await?;
    let read = ask(&replica, &format!("/v1/orders/{}", orders[1])).await?;
    ensure!(read.body.get("stale").is_none(), "{}", read.body);
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_is_what_was_asked_for_page_by_page() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let orders = states.say_many(7).await?;
    states.say(orders[3], 2, OrderStatus::Paid).await?;
    let replica = states.replica(folder.path()).await?;
    for (query, wanted) in [
        ("", 7),
        ("status=placed", 6),
        ("status=paid&customer=anna", 1),
        ("sku=mug&store=north", 7),
        ("store=south", 0),
        ("q=NORTH%20mug", 7),
        ("q=paid", 1),
        ("placed_after=2999-01-01T00:00:00Z", 0),
        ("placed_before=2999-01-01T00:00:00Z", 7),
    ] {
        let (mut seen, mut cursor) = (vec![], String::new());
        loop {
            let page = ask(&replica, &format!("/v1/orders?limit=3&{query}{cursor}")).await?;
            ensure!(page.status == 200, "{query}: {} {}", page.status, page.body);
            let items = page.body["items"].as_array().cloned().unwrap_or_default();
            seen.extend(items.iter().map(|item| item["order_id"].as_str().map(str::to_owned)));
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        ensure!((seen.len(), once.len()) == (wanted, wanted), "{query}: {seen:?}");
    }
    for wrong in ["cursor=xyz", "status=lost", "nonsense=1", "limit=x"] {
        let refused = ask(&replica, &format!("/v1/orders?{wrong}")).await?;
        same((refused.status, refused.body["code"].as_str()), (400, Some("invalid_query")))?;
    }
    let unknown = ask(&replica, &format!("/v1/orders/{}", Uuid::now_v7())).await?;
    same(unknown.status, 404)?;
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_never_sees_less_than_it_has_seen() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    let order = states.say_many(1).await?[0];
    let replica = states.replica(folder.path()).await?;
    let path = format!("/v1/orders/{order}");
    let early = ask(&replica, &format!("{path}?version=2&wait=300ms")).await?;
    same((early.status, early.body["code"].as_str()), (504, Some("version_not_here_yet")))?;
    let first = ask(&replica, &path).await?;
    let later = format!("{path}?version=2&wait=10s");
    let (waiting, said) =
        futures::join!(ask(&replica, &later), states.say(order, 2, OrderStatus::Paid));
    said?;
    let waiting = waiting?;
    same((waiting.status, waiting.body["version"].as_i64()), (200, Some(2)))?;
    ensure!(first.tag.is_some() && first.tag != waiting.tag, "{:?}", first.tag);
    // What a zombie says late changes nothing.
    states.say(order, 1, OrderStatus::Placed).await?;
    let other = states.say_many(1).await?[0];
    until(&replica, other, 1).await?;
    same(stands(&replica, order).await?, ("paid".to_owned(), 2))?;
    let client = reqwest::Client::new().get(format!("{}{path}", replica.url()));
    let known = waiting.tag.unwrap_or_default();
    same(client.header("if-none-match", known).send().await?.status().as_u16(), 304)?;
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_is_read_anew() -> Result<()> {
    let (states, folder) = (States::new().await?, tempfile::tempdir()?);
    if states.world.ground().kind() != GroundKind::Native {
        skipped("a topic made anew", "this broker makes no topics");
        return states.world.close().await;
    }
    let orders = states.say_many(30).await?;
    states.replica(folder.path()).await?.stop().await?;
    let topic = states.world.topic(schemas::topics::ORDER_STATE);
    let admin = states.world.admin().await?;
    admin.delete_topics(&[topic.as_str()]).await?;
    let spec = millrace::admin::TopicSpec::from(schemas::topics::ORDER_STATE);
    eventually(SOON, "the topic is made anew", async || {
        let spec = spec.clone().prefixed(states.world.prefix());
        states.world.ground().create_topics(&[spec]).await.map_err(|error| error.to_string())?;
        let marks = admin.watermarks(&topic).await.map_err(|error| error.to_string())?;
        if marks.iter().all(|mark| mark.high == 0) { Ok(()) } else { Err(format!("{marks:?}")) }
    })
    .await?;
    let new = states.say_many(1).await?[0];
    let replica = states.replica(folder.path()).await?;
    same(stands(&replica, new).await?.1, 1)?;
    same(ask(&replica, &format!("/v1/orders/{}", orders[0])).await?.status, 404)?;
    replica.stop().await?;
    states.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_everything_else_is_away_also_after_a_restart() -> Result<()> {
    let kind = Ground::shared().await?.kind();
    if kind != GroundKind::Native {
        skipped("reads while everything is away", "the registry of this ground is in this process");
        return Ok(());
    }
    let ground = Ground::start(kind).await?;
    let (states, folder) = (States::on(&ground).await?, tempfile::tempdir()?);
    let orders = states.say_many(10).await?;
    let replica = states.replica(folder.path()).await?;
    for part in [Part::Broker, Part::Registry] {
        ground.crash(part).await?;
    }
    eventually(SOON, "it says how old it is", async || {
        match metric(&replica, "replica_behind_seconds").await {
            Ok(behind) if behind > 4.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    serves(&replica, &orders).await?;
    replica.stop().await?;
    let begun = Instant::now();
    let replica = states.replica(folder.path()).await?;
    ensure!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    serves(&replica, &orders).await?;
    ground.restart(Part::Broker).await?;
    ground.restart(Part::Registry).await?;
    states.say(orders[0], 2, OrderStatus::Paid).await?;
    until(&replica, orders[0], 2).await?;
    replica.stop().await?;
    ground.stop().await;
    Ok(())
}

async fn serves(replica: &Running, orders: &[OrderId]) -> Result<()> {
    ensure!(replica.health().ready().is_ok(), "{:?}", replica.health().ready());
    for order in orders {
        same(stands(replica, *order).await?, ("placed".to_owned(), 1))?;
    }
    let list = ask(replica, "/v1/orders").await?;
    same(list.body["items"].as_array().map_or(0, Vec::len), orders.len())
}
