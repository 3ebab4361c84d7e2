//! Every fault on a real ground of its own: it is injected, notes go on, it is healed, and every
//! note counts once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::check::{Collector, History, NoLedgers, TRANSPORT, judge};
use harness::fault::{BadEvent, EventFault, Fate, Fault, Field, Menu, Outcome, Plan};
use harness::{Ground, GroundKind, eventually};
use millrace::Event;
use millrace::admin::RawRecord;
use millrace::contract::frame;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::tally;
use crate::tally::facts::{Book, NOTES, Noted};
use crate::tally::sums::POISON;

use super::notes::{self, Notes};

/// One of each kind, in the order in which they happen.
const FAULTS: [&str; 26] = [
    "process kill tally/1",
    "process freeze tally/1",
    "process restart tally/1",
    "process join tally/3",
    "network tally/1 kafka refuse",
    "network tally/1 kafka cut 200B",
    "network tally/1 kafka half-open",
    "network tally/2 kafka one-way",
    "network tally/1 postgres cut 60B",
    "network tally/1 postgres half-open",
    "network tally/1 registry refuse",
    "network writer/1 kafka slow 50ms 65536B/s",
    "broker crash",
    "broker freeze",
    "broker restart",
    "broker rewind tally",
    "database crash",
    "database restart",
    "database freeze tally",
    "database close tally",
    "database exhaust tally",
    "database terminate tally",
    "database slow tally",
    "database lock tally millrace.outbox",
    "registry crash",
    "operator rewind-live tally",
];

/// Those that need no broker of their own to show that healing leaves nothing behind.
const ILL: [&str; 5] = [
    "registry status 429",
    "registry garbage",
    "registry slow 1.000s",
    "registry freeze",
    "http deep-json writer/1",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_healed_and_loses_nothing() -> Result<()> {
    let ground = Ground::builder().kind(GroundKind::Native).proxied_clients(4).start().await?;
    let field = notes::field(&ground, 2).await?;
    let mut taken = Notes::new();
    for text in FAULTS.into_iter().chain(ILL) {
        let fault: Fault = text.parse()?;
        let outcome = fault.inject(&field).await.with_context(|| text)?;
        ensure!(outcome == Outcome::Injected, "{text}: {outcome:?}");
        // The writer may be cut off as well: then this note is taken after the healing.
        let (noted, healed) = tokio::join!(notes::note(&field, text), heal_soon(&fault, &field));
        noted.with_context(|| text)?;
        healed.with_context(|| text)?;
        *taken.entry(text.to_owned()).or_default() += 1;
        notes::counted(&field, &taken).await.with_context(|| text)?;
        notes::all_ready(&field).await.with_context(|| text)?;
    }
    notes::told_in_order(&field, &taken).await?;
    field.close().await?;
    ground.stop().await;
    Ok(())
}

async fn heal_soon(fault: &Fault, field: &Field) -> Result<()> {
    let mut clock = tokio::time::interval(Duration::from_millis(700));
    clock.tick().await;
    clock.tick().await;
    fault.heal(field).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_record_becomes_its_dead_letter_and_redriving_twice_changes_nothing() -> Result<()>
{
    let ground = Ground::shared().await?;
    let field = notes::field(&ground, 2).await?;
    let schema = field.world().registry().id_of(&Noted::subject(), Noted::SCHEMA).await?;
    let field =
        field.absurd(move |_, key| Some(absurd(schema, key))).commands("test.ops.commands.v1");
    let taken = Notes::from([("good".to_owned(), 1)]);
    notes::note(&field, "good").await?;
    notes::counted(&field, &taken).await?;
    for bad in BadEvent::ALL {
        let fault = Fault::Event(EventFault { bad, topic: NOTES.name.to_owned() });
        let outcome = fault.inject(&field).await.with_context(|| fault.to_string())?;
        ensure!(outcome == Outcome::Injected, "{fault}: {outcome:?}");
    }
    let kinds = BadEvent::ALL.len();
    all_are_dead_letters(&field, kinds).await?;
    let redriven: Fault = "operator redrive-twice tally".parse()?;
    ensure!(redriven.inject(&field).await? == Outcome::Injected);
    until_obeyed(&field, 2).await?;
    all_are_dead_letters(&field, kinds).await?;
    notes::counted(&field, &taken).await?;
    field.close().await
}

/// Waits until so many redrives have come to an end.
async fn until_obeyed(field: &Field, wanted: i64) -> Result<()> {
    let over = "SELECT count(*) FROM millrace.operation
                WHERE kind = 'redrive' AND state NOT IN ('running', 'paused')";
    let mut database = field.world().database("tally").await?;
    eventually(notes::SOON, "the redrives are over", async || {
        let count: Result<i64, sqlx::Error> =
            sqlx::query_scalar(over).fetch_one(&mut database).await;
        let count = count.map_err(|error| error.to_string())?;
        if count == wanted { Ok(()) } else { Err(format!("{count} are")) }
    })
    .await
}

async fn all_are_dead_letters(field: &Field, kinds: usize) -> Result<()> {
    field.until_at_rest(notes::SOON).await?;
    let services = [tally::writer(), tally::tally()];
    let collector = Collector::new(field.world(), &services, &NoLedgers).spans_may_be_missing();
    let evidence = collector.collect(&History::default(), &field.planted(), &[]).await?;
    let verdict = judge(&evidence, &[TRANSPORT]);
    ensure!(verdict.is_clean(), "{verdict}");
    let letters = verdict.rulings.iter().find(|ruling| ruling.id == "I11").context("I11")?;
    ensure!(letters.looked >= kinds, "{verdict}");
    Ok(())
}

/// A note that can be read, and whose amount no decision accepts.
fn absurd(schema: u32, key: &str) -> RawRecord {
    let note = Noted { book: Book(key.to_owned()), amount: POISON };
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", Uuid::now_v7().to_string()),
        ("ce_source", "/test/writer".to_owned()),
        ("ce_type", Noted::NAME.to_owned()),
        ("ce_subject", key.to_owned()),
        ("ce_time", "2026-11-21T08:00:00Z".to_owned()),
        ("ce_sequence", format!("{:020}", 1)),
        ("ce_correlationid", key.to_owned()),
        ("content-type", "application/avro".to_owned()),
    ];
    RawRecord {
        partition: None,
        key: Some(key.as_bytes().to_vec()),
        payload: Some(frame(schema, &note.to_datum())),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_here_is_said_and_not_passed() -> Result<()> {
    let ground = Ground::shared().await?;
    let field = notes::field(&ground, 1).await?;
    let mut unknown = vec![
        // The shared ground has no listener for a client behind a proxy.
        "network tally/1 kafka refuse",
        "operator redrive-twice tally",
        "event absurd test.note.events.v1",
        "http slow-head tally/1",
    ];
    if !std::path::Path::new("/usr/lib/x86_64-linux-gnu/faketime").exists() {
        unknown.push("process skew tally/1 +3600s");
    }
    for text in &unknown {
        let outcome = text.parse::<Fault>()?.inject(&field).await?;
        ensure!(matches!(outcome, Outcome::NotHere(_)), "{text}: {outcome:?}");
    }
    let steps: String = unknown.iter().map(|text| format!("at 0ms for 0ms: {text}\n")).collect();
    let plan: Plan = format!("plan seed 0 length 1s\n{steps}").parse()?;
    for told in plan.run(&field, &CancellationToken::new()).await {
        ensure!(matches!(told.fate, Fate::NotHere(_)), "{told:?}");
    }
    field.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_stopped_heals_what_it_broke() -> Result<()> {
    let ground = Ground::shared().await?;
    let field = notes::field(&ground, 1).await?;
    let plan: Plan = "plan seed 0 length 600s\n\
                      at 0ms for 500s: database close tally\n\
                      at 0ms for 500s: process freeze tally/1\n\
                      at 400s for 1s: process kill tally/1\n"
        .parse()?;
    let stop = CancellationToken::new();
    let stopped = async {
        notes::note(&field, "stopped").await?;
        stop.cancel();
        anyhow::Ok(())
    };
    let (told, stopped) = tokio::join!(plan.run(&field, &stop), stopped);
    stopped?;
    let fates: Vec<Fate> = told.into_iter().map(|told| told.fate).collect();
    ensure!(fates == [Fate::Done, Fate::Done, Fate::NotReached], "{fates:?}");
    notes::counted(&field, &Notes::from([("stopped".to_owned(), 1)])).await?;
    notes::all_ready(&field).await?;
    field.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_offers_what_a_field_has() -> Result<()> {
    let ground = Ground::shared().await?;
    let field = notes::field(&ground, 2).await?;
    let offered: Vec<String> = Menu::of(&field).faults().map(ToString::to_string).collect();
    for text in
        ["process kill tally/2", "process join tally/3", "database lock tally millrace.outbox"]
    {
        ensure!(offered.iter().any(|it| it == text), "{text} is not among {offered:?}");
    }
    for text in ["kafka", "recreate", "wrong-schema", "absurd", "redrive", "kill tally/3"] {
        ensure!(!offered.iter().any(|it| it.contains(text)), "{text} is among {offered:?}");
    }
    field.close().await
}
