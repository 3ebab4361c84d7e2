//! Redrive, discard and restore: the plan from the databases, the command to each group, and the
//! operation that comes of it.

use millrace::control::Kind;
use ops::command::command;
use ops::dead::{Asked, Filter, GroupPlan, plan};
use serde_json::Value;

use super::Dlq;
use super::read::some_database;
use crate::act::{self, Act};
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::place::Place;

/// What is to become of the records of a plan.
type Make = Box<dyn Fn(&GroupPlan) -> Kind>;

pub(super) async fn run(dlq: Dlq, place: &Place, output: Output) -> anyhow::Result<()> {
    let (asked, act, make): (Asked, Act, Make) = match dlq {
        Dlq::Redrive { which, rate, canary, set, conditions, act } => {
            let repair = millrace::repair::Repair { set, conditions };
            let asked = Asked { filter: which.filter("dead"), repair: repair.clone() };
            let make = move |plan: &GroupPlan| Kind::Redrive {
                select: plan.select.clone(),
                rate,
                canary,
                repair: repair.clone(),
            };
            (asked, act, Box::new(make))
        }
        Dlq::Discard { which, act } => {
            let asked = Asked { filter: which.filter("dead"), ..Asked::default() };
            (asked, act, Box::new(|plan| Kind::Discard { select: plan.select.clone() }))
        }
        Dlq::Restore { which, act } => {
            let asked = Asked { filter: which.filter("discarded"), ..Asked::default() };
            (asked, act, Box::new(|plan| Kind::Restore { select: plan.select.clone() }))
        }
        _ => return Ok(()),
    };
    some_database(place)?;
    let plans = plan(&place.endpoints, &place.registry(), &asked).await.map_err(Failure::from)?;
    if plans.is_empty() {
        return Err(nothing(&asked.filter).into());
    }
    let Some(author) = act::author(&act) else {
        output.list(&plans)?;
        samples(&plans, output)?;
        eprintln!("nothing was changed; add --execute and --reason to do it");
        return Ok(());
    };
    let operator = act::operator(place).await?;
    let commands = plans.iter().map(|plan| {
        let group = operator.group(&plan.service);
        (plan.service.clone(), command(&group, make(plan), &author))
    });
    act::carry_out(place, &operator, commands.collect(), output).await
}

fn nothing(filter: &Filter) -> Failure {
    let status = filter.status.first().map(String::as_str).unwrap_or_default();
    let see = match status {
        "discarded" => "see `millrace dlq list --status discarded`",
        _ => "see `millrace dlq causes`",
    };
    let what = match filter {
        Filter { cause: Some(cause), .. } => format!("of a cause {cause}…"),
        Filter { key: Some(key), .. } => format!("of the key {key}"),
        _ => "with this id".to_owned(),
    };
    Failure::NotFound(format!("no {status} letter {what} is there; {see}"))
}

/// For people: what a repair would change in the first records.
fn samples(plans: &[GroupPlan], output: Output) -> anyhow::Result<()> {
    if !output.for_people() {
        return Ok(());
    }
    for sample in plans.iter().flat_map(|plan| &plan.samples) {
        output.text(&format!("\n{}", sample.id))?;
        for change in &sample.changes {
            let none = |value: &Value| value.to_string();
            let (before, after) = (none(&change.before), none(&change.after));
            output.text(&format!("  {}: {before} -> {after}", change.pointer))?;
        }
    }
    Ok(())
}

impl Row for GroupPlan {
    const COLUMNS: &'static [&'static str] =
        &["SERVICE", "RECORDS", "KEYS", "WAITING BEHIND", "REPAIRED", "CAUSES"];

    fn id(&self) -> String {
        self.service.clone()
    }

    fn cells(&self) -> Vec<String> {
        let causes = self.causes.iter().map(|(cause, count)| format!("{cause} ({count})"));
        vec![
            self.service.clone(),
            self.records.to_string(),
            self.keys.to_string(),
            self.waiting.to_string(),
            self.repaired.to_string(),
            causes.collect::<Vec<_>>().join(", "),
        ]
    }
}
