//! One seed: a new world, its plan, its orders, its rest, its verdict.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use harness::Ground;
use harness::check::{Collector, History, TRANSPORT, Verdict, judge};
use harness::fault::{Fate, Field, Plan, Told};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::report::Outcome;
use crate::{law, rest, shop};

/// Runs a seed from an empty world to its verdict.
pub(crate) async fn seed(
    ground: &Ground,
    seed: u64,
    args: &Args,
    stop: &CancellationToken,
) -> Result<Outcome> {
    let opened = tokio::select! {
        opened = shop::open(ground, args) => opened,
        () = stop.cancelled() => anyhow::bail!("stopped"),
    };
    let field = opened?;
    let outcome = in_world(&field, seed, args, stop).await;
    let closed = field.close().await;
    let outcome = outcome?;
    closed.context("closing the world")?;
    Ok(outcome)
}

async fn in_world(
    field: &Field,
    seed: u64,
    args: &Args,
    stop: &CancellationToken,
) -> Result<Outcome> {
    let plan = match &args.plan {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("reading {}", file.display()))?
            .parse()?,
        None => Plan::random(seed, args.time, &shop::menu(field, &args.only)?),
    };
    if args.verbose {
        eprint!("{plan}");
    }
    let crowd = Crowd::gather(field, seed, args.orders).await?;
    let history = History::default();
    let client = Client::new(field, &history)?;
    let healed = async {
        let told = plan.run(field, stop).await;
        (told, Instant::now())
    };
    let ((told, last_heal), ()) = tokio::join!(healed, crowd.order(&client, args.time, stop));
    if args.verbose {
        tell(&told);
    }
    let end_of_orders = Instant::now();
    let rested = tokio::select! {
        rested = rest::wait(field, args.bound) => rested,
        () = stop.cancelled() => anyhow::bail!("stopped"),
    };
    // Nothing can come to rest before the last order was asked for.
    let recovered = last_heal.max(end_of_orders).elapsed();
    let services = shop::services();
    let collector = Collector::new(field.world(), &services, &law::Books).spans_may_be_missing();
    let evidence = collector.collect(&history, &field.planted(), &[]).await?;
    let verdict = judge(&evidence, &[TRANSPORT, law::LAW]);
    let mut wrong: Vec<String> = told.iter().filter_map(wrong).collect();
    wrong.extend(rested.err().map(|error| format!("I17 live: {error:#}")));
    let mut outcome = Outcome {
        seed,
        faults: told.iter().filter(|told| told.fate == Fate::Done).count(),
        not_here: told.iter().filter(|told| matches!(told.fate, Fate::NotHere(_))).count(),
        orders: placed(&history),
        violations: verdict.violations() + wrong.len(),
        broken: verdict.broken().into_iter().map(str::to_owned).collect(),
        wrong,
        recovered_ms: u64::try_from(recovered.as_millis())?,
        evidence: None,
    };
    if outcome.violations > 0 {
        outcome.evidence = Some(keep(seed, &plan, &told, &history, &verdict)?);
        eprintln!("{verdict}");
    }
    Ok(outcome)
}

/// Orders that were taken.
fn placed(history: &History) -> usize {
    use harness::check::{Act, Step, ops};
    let entries = history.entries();
    let done = ops(&entries).into_iter().filter(|op| op.act == Act::Place);
    let done = done.filter_map(|op| match op.end {
        Some((_, Step::Ok { subject, .. })) => subject,
        _ => None,
    });
    done.collect::<std::collections::BTreeSet<String>>().len()
}

fn wrong(told: &Told) -> Option<String> {
    match &told.fate {
        Fate::Wrong(what) | Fate::Failed(what) => Some(format!("{}: {what}", told.step)),
        Fate::Done | Fate::NotHere(_) | Fate::NotReached => None,
    }
}

fn tell(all: &[Told]) {
    for told in all {
        let healing = told.healing.as_millis();
        eprintln!("{}: {:?}, healed in {healing} ms", told.step, told.fate);
    }
}

/// Keeps what shows that something is wrong.
fn keep(
    seed: u64,
    plan: &Plan,
    told: &[Told],
    history: &History,
    verdict: &Verdict,
) -> Result<PathBuf> {
    let folder =
        std::env::temp_dir().join(format!("millrace-chaos-{}/seed-{seed}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("plan.txt"), plan.to_string())?;
    let fates: String = told.iter().map(|it| format!("{}: {:?}\n", it.step, it.fate)).collect();
    std::fs::write(folder.join("fates.txt"), fates)?;
    let lines =
        history.entries().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    std::fs::write(folder.join("history.ndjson"), lines.join("\n"))?;
    std::fs::write(folder.join("verdict.json"), verdict.to_json())?;
    Ok(folder)
}
