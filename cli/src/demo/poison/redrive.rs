//! What an operator does about a dead letter, by the same library as the command line: find it,
//! see what a repair would change, ask for the redrive, follow it to its end.

use std::time::Duration;

use anyhow::{Result, bail};
use harness::eventually;
use millrace::contract::Money;
use millrace::control::Kind;
use millrace::repair::Repair;
use ops::command::{Author, Operator, command, topics};
use ops::dead::{self, Asked, Change, Filter, Letter};
use ops::operation::operation;
use schemas::OrderId;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::demo::stage::Stage;

const SOON: Duration = Duration::from_secs(30);

/// A redrive that has ended.
pub(super) struct Redrive {
    id: Uuid,
    /// Place, old and new value of everything that the repair changed.
    pub(super) changes: Vec<[Value; 3]>,
    /// State and numbers of the operation.
    pub(super) end: String,
}

/// A record of the audit, as far as it matters here.
#[derive(Deserialize)]
struct Told {
    id: Uuid,
    event: String,
}

/// Waits until the order is parked in so many groups, and answers the dead letters.
pub(super) async fn until_dead(
    stage: &Stage,
    order: OrderId,
    groups: usize,
) -> Result<Vec<Letter>> {
    let key = Some(order.to_string());
    let filter = Filter { key, status: vec!["dead".to_owned()], ..Filter::default() };
    eventually(SOON, "the order has its dead letters", async || {
        let found = dead::letters(stage.retailer().endpoints(), &filter, 10).await;
        if found.letters.len() == groups { Ok(found.letters) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// Gives every dead letter of this cause the right total, and redrives it for its group.
pub(super) async fn carry_out(stage: &Stage, letter: &Letter, total: Money) -> Result<Redrive> {
    let endpoints = stage.retailer().endpoints();
    let repair = Repair {
        set: vec![format!("$.total.amount={}", total.minor()).parse()?],
        conditions: vec!["$.total.amount<0".parse()?],
    };
    let (cause, status) = (Some(letter.cause.clone()), vec!["dead".to_owned()]);
    let filter = Filter { cause, status, ..Filter::default() };
    let asked = Asked { filter, repair: repair.clone() };
    let plans = dead::plan(endpoints, &stage.registry().await, &asked).await?;
    let [plan] = plans.as_slice() else { bail!("one group has this cause, not {plans:?}") };
    let kind = Kind::Redrive { select: plan.select.clone(), rate: None, canary: None, repair };
    let author = Author { by: "the demo".to_owned(), reason: "the total was wrong".to_owned() };
    let operator = Operator::new(stage.log().admin().clone(), stage.log().prefix());
    let command = command(&operator.group(&plan.service), kind, &author);
    let id = command.operator.id;
    operator.send(&command).await?;
    let ended = eventually(SOON, "the redrive ends", async || {
        match operation(endpoints, &plan.service, id).await {
            Ok(Some(found)) if found.has_ended() => Ok(found),
            other => Err(format!("{other:?}")),
        }
    });
    let ended = ended.await?;
    let end =
        format!("{}: {} of {}, {} failed", ended.state, ended.done, ended.total, ended.failed);
    let row = |it: &Change| [it.pointer.clone().into(), it.before.clone(), it.after.clone()];
    let changes = plan.samples.iter().flat_map(|sample| &sample.changes).map(row).collect();
    Ok(Redrive { id, changes, end })
}

impl Redrive {
    /// What the audit says of it, once it says that it has ended.
    pub(super) async fn audit(&self, stage: &Stage) -> Result<Vec<String>> {
        let topic = format!("{}{}", stage.log().prefix(), topics().audit);
        eventually(SOON, "the audit knows the end", async || {
            let records = stage.log().admin().read_all(&topic).await;
            let records = records.map_err(|error| error.to_string())?;
            let told = records.iter().filter_map(|record| {
                let told: Told = serde_json::from_slice(record.payload.as_deref()?).ok()?;
                (told.id == self.id).then_some(told.event)
            });
            let told: Vec<String> = told.collect();
            match told.last() {
                Some(last) if last == "finished" => Ok(told),
                _ => Err(format!("{told:?}")),
            }
        })
        .await
    }
}
