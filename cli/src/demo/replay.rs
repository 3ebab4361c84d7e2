//! The order view is read again from the beginning: its group is reset with the field's own tool,
//! and the rebuilt view is the old one. Damage that was done to it on purpose is gone.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use harness::eventually;
use millrace::admin::To;
use schemas::OrderId;
use sqlx::PgPool;

use super::facts::OF_ORDERS;
use super::report::Tale;
use super::stage::{Means, Stage};
use super::{audit, facts};

pub(super) const ABOUT: &str = "The order view's group is reset: the rebuilt view is the old one.";

const VIEW: &str = "order-view";
const REBUILT: Duration = Duration::from_secs(20);
const LEFT: Duration = Duration::from_secs(15);
/// Apache's own class behind `kafka-consumer-groups.sh`.
const TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let t0 = std::time::Instant::now();
    let shop = stage.shop("replay", Means { on_hand: 4, funds: "50.00" }).await?;
    eprintln!("T shop {:?}", t0.elapsed());
    // Confirmed, refused and rejected: the view of different ends.
    let orders = [1, 3, 5].map(async |quantity| {
        let order = stage.check_out(&shop, quantity).await?;
        stage.until_ended(order).await?;
        anyhow::Ok(order)
    });
    let orders = try_join_all(orders).await?;
    eprintln!("T orders {:?}", t0.elapsed());
    let published = stage.until_quiet().await?;
    let database = &stage.books(VIEW)?.database;
    let view = stage.view(orders[0]).await?;
    let (before, rows) = digest(database).await?;

    eprintln!("T quiet {:?}", t0.elapsed());
    stage.unmount(VIEW).await?;
    eprintln!("T unmounted {:?}", t0.elapsed());
    damage(database, orders[0]).await?;
    let (damaged, _) = digest(database).await?;
    let how = reset(stage).await?;
    eprintln!("T reset {:?}", t0.elapsed());
    stage.mount(VIEW).await?;
    eprintln!("T mounted {:?}", t0.elapsed());
    let rebuilt = eventually(REBUILT, "the view is rebuilt", async || {
        let seen = digest(database).await.map_err(|error| error.to_string())?;
        let (now, _) = &seen;
        if *now == before { Ok(seen) } else { Err(format!("{seen:?}")) }
    });
    let after = match rebuilt.await {
        Ok(seen) => seen,
        Err(_) => digest(database).await?,
    };

    eprintln!("T rebuilt {:?}", t0.elapsed());
    tale.order(
        orders[0],
        format!("{}, reset by {how}", view.status),
        &stage.facts(orders[0]).await?,
    );
    let of_orders = OF_ORDERS.map(|topic| topic.name);
    let facts = published.facts.iter().filter(|fact| of_orders.contains(&fact.topic)).count();
    tale.effect("facts folded again", 0, facts);
    tale.effect("rows of the view", rows, after.1);
    tale.expect_that("the damage is seen in the digest", damaged != before, &damaged);
    tale.expect("digest of the view", &before, &after.0);
    tale.expect("an order of the view", view, stage.view(orders[0]).await?);
    let positions = audit::positions(database).await?;
    let behind = published.facts.iter().filter(|fact| {
        let place = (fact.topic.to_owned(), fact.partition);
        of_orders.contains(&fact.topic) && positions.get(&place).is_none_or(|at| *at <= fact.offset)
    });
    tale.expect("facts not folded again", 0, behind.count());
    let seen = stage.facts(orders[0]).await?;
    let history = stage.view(orders[0]).await?.history.len();
    tale.expect("facts in the history of the order", facts::names(&seen).len(), history);
    Ok(())
}

/// A fingerprint of the view, and how many rows it has.
async fn digest(database: &PgPool) -> Result<(String, i64)> {
    let digest = order_view::digest(&mut *database.acquire().await?).await?;
    let rows = sqlx::query_scalar("SELECT count(*) FROM order_view").fetch_one(database).await?;
    Ok((digest, rows))
}

/// Changes a row behind the view's back: only folding again can repair it.
async fn damage(database: &PgPool, order: OrderId) -> Result<()> {
    let damage = "UPDATE order_view SET status = 'rejected' WHERE order_id = $1";
    let damaged = sqlx::query(damage).bind(order.uuid()).execute(database).await?;
    ensure!(damaged.rows_affected() == 1, "order {order} is not in the view");
    Ok(())
}

/// Puts the group at the beginning of every topic, and says with what.
async fn reset(stage: &Stage) -> Result<&'static str> {
    let log = stage.log();
    let group = format!("{}retail.{VIEW}", log.prefix());
    let ground = stage.ground().await;
    let Some(lib) = ground.kafka_lib_dir() else {
        let topics = OF_ORDERS.map(|topic| log.on_broker(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        log.admin().reset_group(&group, &topics, To::Earliest).await?;
        return Ok("offsets committed for its group");
    };
    eventually(LEFT, "the group has no members", async || {
        let group = log.admin().group(&group).await.map_err(|error| error.to_string())?;
        if group.members == 0 { Ok(()) } else { Err(format!("{group:?}")) }
    })
    .await?;
    eprintln!("empty");
    with_tool(lib, ground.bootstrap_servers(), &group).await?;
    Ok("kafka-consumer-groups")
}

async fn with_tool(lib: &Path, bootstrap: &str, group: &str) -> Result<()> {
    let tool = tokio::process::Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp"])
        .arg(lib.join("*"))
        .args([TOOL, "--bootstrap-server", bootstrap, "--group", group])
        .args(["--reset-offsets", "--to-earliest", "--all-topics", "--execute"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tool.await.context("starting Apache's tool for groups")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    // The tool exits with 0 also when it refuses: only the table of new offsets is a success.
    ensure!(output.status.success() && text.contains("NEW-OFFSET"), "the tool refuses: {said}");
    Ok(())
}
