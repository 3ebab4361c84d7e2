//! A ground, a fleet, a plan, work that goes on, rest, and a verdict: all that a chaos run needs.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use harness::check::{Collector, History, NoLedgers, TRANSPORT, Verdict, judge};
use harness::fault::{Crew, Fate, Field, Fleet, Menu, Plan};
use harness::{Ground, GroundKind, World};
use millrace::Event;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::tally;
use crate::tally::facts::{NOTES, Noted, TALLIES, Tallied};

const LENGTH: Duration = Duration::from_secs(20);
const REST_MAX: Duration = Duration::from_secs(60);
/// Between two notes.
const EACH: Duration = Duration::from_millis(50);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A writer, two tallies, a spare one and a ledger, each behind a proxy towards the broker.
const CLIENTS: usize = 5;

pub(crate) async fn tell(program: &Path, seed: u64) -> Result<Verdict> {
    let ground = Ground::builder().kind(GroundKind::Native).proxied_clients(CLIENTS);
    let ground = ground.progress(|line| eprintln!("{line}")).start().await?;
    let world = World::on(&ground)?;
    world.create_topics(&[&NOTES, &TALLIES]).await?;
    let schemas = [(Noted::subject(), Noted::SCHEMA), (Tallied::subject(), Tallied::SCHEMA)];
    world.register(schemas).await?;

    // What runs, and what of it can break.
    let writer = Crew::new("writer", program).args(["writer"]);
    let tally = Crew::new("tally", program).args(["tally"]).instances(2).spares(1);
    let ledger = Crew::new("ledger", program).args(["ledger"]);
    let fleet = Fleet::start(&world, &[writer, tally, ledger]).await?;
    let field = Field::new(world, fleet)
        .door("writer", "/v1/notes")
        .reads("tally", &[NOTES.name])
        .reads("ledger", &[TALLIES.name]);

    // The same seed breaks the same things at the same times.
    let plan = Plan::random(seed, LENGTH, &Menu::of(&field));
    eprint!("{plan}");
    let stop = CancellationToken::new();
    let broken = async {
        let told = plan.run(&field, &stop).await;
        stop.cancel();
        told
    };
    let (told, worked) = tokio::join!(broken, work(&field, &stop));
    worked?;
    for step in told.iter().filter(|step| step.fate != Fate::Done) {
        eprintln!("{}: {:?}", step.step, step.fate);
    }

    // Everything is healed: now it has to come to rest, and then nothing may be wrong.
    field.until_at_rest(REST_MAX).await?;
    let services = [tally::writer(), tally::tally(), tally::ledger()];
    let collector = Collector::new(field.world(), &services, &NoLedgers).spans_may_be_missing();
    let evidence = collector.collect(&History::default(), &field.planted(), &[]).await?;
    field.close().await?;
    ground.stop().await;
    Ok(judge(&evidence, &[TRANSPORT]))
}

/// Takes notes until it is stopped. One that is not taken is none: the checker compares what the
/// services say with each other.
async fn work(field: &Field, stop: &CancellationToken) -> Result<()> {
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    let url = format!("{}/v1/notes", field.fleet().instance("writer/1")?.url());
    let mut clock = tokio::time::interval(EACH);
    for n in 0_i64.. {
        clock.tick().await;
        if stop.is_cancelled() {
            break;
        }
        let note = json!({ "book": format!("book-{}", n % 10), "amount": 1 });
        let request = http.post(&url).header("idempotency-key", Uuid::now_v7().to_string());
        drop(request.json(&note).send().await);
    }
    Ok(())
}
