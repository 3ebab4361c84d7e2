//! The order view is read again from the beginning: its group is reset with the field's own tool,
//! and the rebuilt view is the old one. Damage that was done to it on purpose is gone.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use harness::eventually;
use millrace::admin::GroupOffset;
use schemas::OrderId;
use sqlx::PgPool;

use super::facts::{self, OF_ORDERS};
use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const ABOUT: &str = "The order view's group is reset: the rebuilt view is the old one.";

const VIEW: &str = "order-view";
pub(super) const REBUILT: Duration = Duration::from_secs(20);
pub(super) const LEFT: Duration = Duration::from_secs(15);
/// Apache's own class behind `kafka-consumer-groups.sh`.
const TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("replay", Means { on_hand: 4, funds: "50.00" }).await?;
    // Confirmed, refused and rejected: the view of different ends.
    let orders = [1, 3, 5].map(async |quantity| {
        let order = stage.check_out(&shop, quantity).await?;
        stage.until_ended(order).await?;
        anyhow::Ok(order)
    });
    let orders = try_join_all(orders).await?;
    stage.until_quiet().await?;
    let facts = stage.facts(orders[0]).await?;
    let records = stage.log().read(&OF_ORDERS).await?.len();
    let database = &stage.books(VIEW)?.database;
    let view = stage.view(orders[0]).await?;
    let (before, rows) = digest(database).await?;

    stage.unmount(VIEW).await?;
    damage(database, orders[0]).await?;
    let (damaged, _) = digest(database).await?;
    let how = reset(stage).await?;
    let to_read = lag(stage).await?;
    stage.mount(VIEW).await?;
    // The group commits what is folded, so at its end everything is.
    eventually(REBUILT, "the group reads to the end", async || match lag(stage).await {
        Ok(0) => Ok(()),
        lag => Err(format!("{lag:?}")),
    })
    .await?;
    let (after, rows_after) = digest(database).await?;

    tale.order(orders[0], format!("{}, reset by {how}", view.status), &facts);
    tale.count("records read again", to_read);
    tale.effect("rows of the view", rows, rows_after);
    tale.expect("records before the group when it was reset", records, to_read);
    tale.expect_that("the damage shows in the digest", damaged != before, &damaged);
    tale.expect("digest of the rebuilt view", &before, &after);
    tale.expect("an order of the view", &view, stage.view(orders[0]).await?);
    let history: Vec<&str> = view.history.iter().map(|happened| happened.fact.as_str()).collect();
    tale.expect("history of the order", facts::names(&facts), history);
    Ok(())
}

/// How many records the group has before it.
async fn lag(stage: &Stage) -> Result<usize> {
    let (admin, topics) = (stage.log().admin(), topics(stage));
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let offsets = admin.group_offsets(&group(stage), &topics).await?;
    let mut lag = 0;
    for topic in topics {
        for mark in admin.watermarks(topic).await? {
            let here =
                |offset: &&GroupOffset| offset.topic == topic && offset.partition == mark.partition;
            let committed = offsets.iter().find(here).and_then(|offset| offset.committed);
            lag += usize::try_from(mark.high - committed.unwrap_or(mark.low)).unwrap_or_default();
        }
    }
    Ok(lag)
}

fn group(stage: &Stage) -> String {
    format!("{}retail.{VIEW}", stage.log().prefix())
}

fn topics(stage: &Stage) -> [String; 4] {
    OF_ORDERS.map(|topic| stage.log().on_broker(topic))
}

/// A fingerprint of the view, and how many rows it has.
pub(super) async fn digest(database: &PgPool) -> Result<(String, i64)> {
    let digest = order_view::digest(&mut *database.acquire().await?).await?;
    let rows = sqlx::query_scalar("SELECT count(*) FROM order_view").fetch_one(database).await?;
    Ok((digest, rows))
}

/// Changes a row behind the view's back: only folding again can repair it.
pub(super) async fn damage(database: &PgPool, order: OrderId) -> Result<()> {
    let damage = "UPDATE order_view SET status = 'rejected' WHERE order_id = $1";
    let damaged = sqlx::query(damage).bind(order.uuid()).execute(database).await?;
    ensure!(damaged.rows_affected() == 1, "order {order} is not in the view");
    Ok(())
}

/// Puts the group at the beginning of every topic, and says with what.
async fn reset(stage: &Stage) -> Result<&'static str> {
    let (admin, group, ground) = (stage.log().admin(), group(stage), stage.ground().await);
    let Some(lib) = ground.kafka_lib_dir() else {
        let topics = topics(stage);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        ground.rewind_group(&group, &topics).await?;
        return Ok("offsets committed for its group");
    };
    eventually(LEFT, "the group has no members", async || {
        let group = admin.group(&group).await.map_err(|error| error.to_string())?;
        if group.members == 0 { Ok(()) } else { Err(format!("{group:?}")) }
    })
    .await?;
    with_tool(lib, ground.bootstrap_servers(), &group).await?;
    Ok("kafka-consumer-groups")
}

pub(super) async fn with_tool(lib: &Path, bootstrap: &str, group: &str) -> Result<()> {
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
