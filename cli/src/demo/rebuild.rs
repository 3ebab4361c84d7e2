//! The fold of the order view changes: another build is made beside the live one, compared, put in
//! its place, and taken back. Reads go on all the time.

use anyhow::{Context, Result};
use harness::eventually;
use millrace::control::{Build as Action, Kind};
use ops::command::{self, Author, Operator};
use ops::operation::operation;
use ops::projection::{builds, diff, rebuild};
use ops::status::statuses;
use schemas::OrderId;
use serde_json::json;

use super::report::Tale;
use super::stage::{Means, PATIENCE, Stage};

pub(super) const ABOUT: &str =
    "The fold of a view changes: build beside, compare, swap, take back; reads go on.";

const VIEW: &str = "order-view";
const WORDS: &str = "the colour is wrong";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("rebuild", Means { on_hand: 9, funds: "99.00" }).await?;
    let others = [stage.check_out(&shop, 1).await?, stage.check_out(&shop, 1).await?];
    for order in others {
        stage.until_ended(order).await?;
    }
    stage.hold("payments")?;
    let order = stage.check_out(&shop, 1).await?;
    stage.until_said(order, "StockReserved").await?;
    stage.retailer().cancel(order, Some(WORDS)).await?;
    stage.release("payments")?;
    stage.until_ended(order).await?;
    stage.until_quiet().await?;
    tale.order(order, "cancelled with words", &stage.facts(order).await?);

    // The same code with another setting folds other rows.
    let other = stage.another(VIEW, ("keep_reasons", json!(false))).await?;
    let refuses =
        eventually(PATIENCE, "it refuses to mix", async || match other.health().ready() {
            Err(why) if format!("{why:?}").contains("projection rebuild") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    refuses.await?;
    tale.expect("rows of the live build", Some(WORDS.to_owned()), reason(stage, order).await?);

    let endpoints = stage.endpoints().await;
    let admin = stage.log().admin();
    let live = builds(admin, &endpoints, VIEW).await?.remove(0);
    let codes = eventually(PATIENCE, "both codes give a sign", async || {
        let said =
            statuses(admin, stage.log().prefix()).await.map_err(|error| error.to_string())?;
        let codes = said.iter().filter(|it| it.service == VIEW).filter_map(|it| it.fold.clone());
        let codes: std::collections::BTreeSet<String> = codes.collect();
        if codes.len() > 1 { Ok(codes) } else { Err(format!("{codes:?}")) }
    });
    let codes: Vec<String> = codes.await?.into_iter().collect();
    let action = rebuild(admin, &endpoints, VIEW, &codes, &live.fold).await?;
    act(stage, action).await?;
    let made = builds(admin, &endpoints, VIEW).await?.remove(0);
    tale.count("records folded beside the live build", made.folded);
    let found = diff(&endpoints, VIEW).await?;
    let causes: Vec<&str> = found.iter().map(|it| it.cause.as_str()).collect();
    tale.expect("what differs", vec!["facts"], causes);
    let named = found.iter().any(|it| it.examples.contains(&order.to_string()));
    tale.expect_that("the order is among those that differ", named, &found);
    tale.count("orders that differ", found.iter().map(|it| it.keys).sum::<i64>());
    tale.expect("live reads meanwhile", Some(WORDS.to_owned()), reason(stage, order).await?);

    act(stage, Action::Swap).await?;
    until_reason(stage, order, None).await?;
    tale.expect("after the swap the words are gone", None::<String>, reason(stage, order).await?);
    let more = stage.check_out(&shop, 1).await?;
    stage.until_ended(more).await?;
    act(stage, Action::Rollback).await?;
    until_reason(stage, order, Some(WORDS)).await?;
    tale.expect("taken back", Some(WORDS.to_owned()), reason(stage, order).await?);
    let seen = stage.until_ended(more).await?;
    tale.expect("what was folded by the other build alone", "confirmed", seen.status.as_str());
    other.stop().await.context("stopping the other instance")?;
    stage.until_quiet().await?;
    Ok(())
}

/// Asks for something and waits until it is done.
async fn act(stage: &Stage, action: Action) -> Result<()> {
    let author = Author { by: "the demo".to_owned(), reason: "another fold".to_owned() };
    let group = command::group(stage.log().prefix(), VIEW);
    let asked = command::command(&group, Kind::Projection { action }, &author);
    let operator = Operator::new(stage.log().admin().clone(), stage.log().prefix());
    operator.send(&asked).await?;
    let endpoints = stage.endpoints().await;
    eventually(PATIENCE, asked.kind.name(), async || {
        let found = operation(&endpoints, VIEW, asked.operator.id).await;
        let found = found.map_err(|error| error.to_string())?.ok_or("not taken up")?;
        match found.state.as_str() {
            "done" => Ok(()),
            state => Err(format!("{state}: {}", found.detail)),
        }
    })
    .await
}

/// What the order view says of why an order ended.
async fn reason(stage: &Stage, order: OrderId) -> Result<Option<String>> {
    Ok(stage.view(order).await?.reason)
}

async fn until_reason(stage: &Stage, order: OrderId, wanted: Option<&str>) -> Result<()> {
    eventually(PATIENCE, "the other rows are read", async || {
        let found = reason(stage, order).await.map_err(|error| error.to_string())?;
        if found.as_deref() == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
}
