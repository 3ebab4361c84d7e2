//! Asking a partner outside: committed first, called once however many could, settled once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::eventually;
use harness::partner::{Behaviour, Provider};
use millrace::{Config, Event, Running};
use serde_json::json;

use super::order::gapless;
use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::NOTES;
use crate::tally::stamps::{ONCE, STAMPS, Stamped, UNDO};

/// A bench with the topic and the schema of stamps, and an office.
pub(super) async fn office() -> Result<(Bench, Provider)> {
    let bench = Bench::new().await?;
    bench.world.create_topics(&[&STAMPS]).await?;
    bench.world.register([(Stamped::subject(), Stamped::SCHEMA)]).await?;
    Ok((bench, Provider::start("no events")?))
}

/// Waits until every note is stamped, and asserts that each was stamped and paid once.
pub(super) async fn until_stamped(bench: &Bench, office: &Provider, count: usize) -> Result<()> {
    eventually(SOON, "every note is stamped", async || {
        let records = bench.records(&STAMPS).await.map_err(|error| error.to_string())?;
        let seen: BTreeSet<_> = records.iter().filter_map(|it| it.header("ce_id")).collect();
        if seen.len() >= count { Ok(()) } else { Err(format!("{} of {count}", seen.len())) }
    })
    .await?;
    let stamped = bench.records(&STAMPS).await?;
    gapless(&stamped, count)?;
    let notes = bench.records(&NOTES).await?;
    let notes: BTreeSet<&str> = notes.iter().filter_map(|note| note.header("ce_id")).collect();
    let causes: BTreeSet<&str> =
        stamped.iter().filter_map(|stamp| stamp.header("ce_causationid")).collect();
    ensure!(notes == causes, "a stamp is caused by its note");
    for note in notes {
        let (paid, _) = office.moved(note);
        ensure!(paid == 1, "note {note} was paid {paid} times");
    }
    Ok(())
}

fn at(office: &Provider) -> impl Fn(&mut Config) {
    let settings = json!({ "office_url": office.url() });
    move |config| drop(config.service.insert("clerk".to_owned(), settings.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_call_a_partner_once_for_each_ask() -> Result<()> {
    let (bench, office) = office().await?;
    office.behave(Behaviour { slow: Duration::from_millis(50), ..Behaviour::default() });
    let writer = bench.world.mount(tally::writer()).await?;
    let clerks = [
        bench.world.mount_with(tally::clerk(), at(&office)).await?,
        bench.world.mount_with(tally::clerk(), at(&office)).await?,
    ];
    for n in 0..40 {
        bench.note(&writer, &format!("book-{}", n % 8), 1).await?;
    }
    until_stamped(&bench, &office, 40).await?;
    let calls = office.calls().len();
    // A busy machine may repeat a few; without leases each instance would call for every note.
    ensure!(calls < 60, "{calls} calls for 40 notes");
    for service in clerks.into_iter().chain([writer]) {
        service.stop().await?;
    }
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_without_a_partner_waits_for_one() -> Result<()> {
    let (bench, office) = office().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let clerk = bench.world.mount(tally::clerk()).await?;
    bench.note(&writer, "book", 1).await?;
    until_pending(&bench, &clerk, 1).await?;
    clerk.stop().await?;
    let clerk = bench.world.mount_with(tally::clerk(), at(&office)).await?;
    until_stamped(&bench, &office, 1).await?;
    clerk.stop().await?;
    writer.stop().await?;
    bench.world.close().await
}

/// Waits until a service says that so many asks wait.
async fn until_pending(bench: &Bench, clerk: &Running, count: usize) -> Result<()> {
    let wanted = format!(" {count}");
    eventually(SOON, "the asks are counted", async || {
        let metrics = bench.metrics(clerk).await.map_err(|error| error.to_string())?;
        match metrics.lines().find(|line| line.starts_with("asks_pending{")) {
            Some(line) if line.ends_with(&wanted) => Ok(()),
            other => Err(format!("{other:?}, wanted {count}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_twice_is_asked_once_and_what_was_never_called_can_be_withdrawn()
-> Result<()> {
    let (bench, office) = office().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let clerk = bench.world.mount(tally::clerk()).await?;
    for (book, amount) in [("kept", ONCE), ("undone", ONCE), ("kept", ONCE), ("undone", UNDO)] {
        bench.note(&writer, book, amount).await?;
    }
    eventually(SOON, "every note is handled", async || {
        let handled = "SELECT count(*) FROM millrace.inbox";
        let handled = bench.count("clerk", handled).await.map_err(|error| error.to_string())?;
        if handled == 4 { Ok(()) } else { Err(format!("{handled} of 4")) }
    })
    .await?;
    until_pending(&bench, &clerk, 1).await?;
    clerk.stop().await?;
    let clerk = bench.world.mount_with(tally::clerk(), at(&office)).await?;
    until_pending(&bench, &clerk, 0).await?;
    let called: BTreeSet<String> = office.calls().into_iter().map(|call| call.key).collect();
    ensure!(called == BTreeSet::from(["stamp-kept".to_owned()]), "{called:?}");
    clerk.stop().await?;
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_by_many_ways_at_once_is_settled_once() -> Result<()> {
    let (bench, office) = office().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let clerk = bench.world.mount_with(tally::clerk(), at(&office)).await?;
    office.down();
    bench.note(&writer, "kept", ONCE).await?;
    until_pending(&bench, &clerk, 1).await?;
    office.up()?;
    // While the worker asks, the office itself says it twenty times over, as ten events.
    let http = reqwest::Client::new();
    let say = |n: usize| {
        let url = format!("{}/v1/stamps/kept/event-{}", clerk.url(), n % 10);
        let request = http.post(url);
        async move { Ok::<_, anyhow::Error>(request.send().await?.json::<String>().await?) }
    };
    let told = futures::future::try_join_all((0..20).map(say)).await?;
    let now = told.iter().filter(|told| *told == "now").count();
    ensure!(now <= 1 && told.iter().all(|told| told == "now" || told == "before"), "{told:?}");
    until_pending(&bench, &clerk, 0).await?;
    bench.until_sent("clerk", 1).await?;
    let facts = bench.count("clerk", "SELECT count(*) FROM millrace.outbox").await?;
    ensure!(facts == 1, "{facts} stamps for one note");
    let unknown = http.post(format!("{}/v1/stamps/nobody/e", clerk.url())).send().await?;
    ensure!(unknown.status().as_u16() == 404, "{}", unknown.status());
    clerk.stop().await?;
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_outside_stays_in_the_trace_of_its_fact() -> Result<()> {
    let (bench, office) = office().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let clerk = bench.world.mount_with(tally::clerk(), at(&office)).await?;
    bench.note(&writer, "book", 1).await?;
    until_stamped(&bench, &office, 1).await?;
    let records = bench.records(&STAMPS).await?;
    let traceparent = records[0].header("traceparent").context("no traceparent")?;
    let trace = traceparent.split('-').nth(1).context("no trace id")?.to_owned();
    eventually(SOON, "the trace is whole", async || {
        let spans = bench.world.traces().of_trace(&trace);
        let parents: BTreeMap<&str, &str> =
            spans.iter().map(|span| (span.span_id.as_str(), span.name.as_str())).collect();
        let below = |name: &str| {
            let span = spans.iter().find(|span| span.name == name)?;
            parents.get(span.parent.as_deref()?).copied()
        };
        let found = (below("ask clerk.stamp"), below("create test.stamp.events.v1"));
        let decided = Some("process test.note.events.v1");
        if found == (decided, decided) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await?;
    clerk.stop().await?;
    writer.stop().await?;
    bench.world.close().await
}
