//! The writer and the tally as fleets of processes, notes that go on while something breaks, and
//! the proof that each of them counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::fault::{Crew, Field, Fleet};
use harness::{Ground, World, eventually};
use millrace::Event;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::tally::facts::{NOTES, Noted, TALLIES, Tallied};

/// Everything that happens by itself happens within this time.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// A note that gets no answer is taken again under its key.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two notes that go on.
const EACH: Duration = Duration::from_millis(20);
const BOOKS: usize = 8;
const PROGRAM: &str = env!("CARGO_BIN_EXE_tally");

/// Notes by book.
pub(crate) type Notes = BTreeMap<String, i64>;

/// A fleet of so many tallies and one spare, and one writer, ready.
pub(crate) async fn field(ground: &Ground, tallies: usize) -> Result<Field> {
    millrace::log::init(false);
    let world = World::on(ground)?;
    world.create_topics(&[&NOTES, &TALLIES]).await?;
    let schemas = [(Noted::subject(), Noted::SCHEMA), (Tallied::subject(), Tallied::SCHEMA)];
    world.register(schemas).await?;
    let writer = Crew::new("writer", PROGRAM).args(["writer"]);
    let tally = Crew::new("tally", PROGRAM).args(["tally"]).instances(tallies).spares(1);
    let fleet = Fleet::start(&world, &[writer, tally]).await?;
    let field = Field::new(world, fleet).door("writer", "/v1/notes");
    Ok(field.reads("tally", &[NOTES.name]))
}

/// Takes notes until it is stopped, each until somebody has it.
pub(crate) async fn go_on(field: &Field, stop: &CancellationToken) -> Result<Notes> {
    let mut notes = Notes::new();
    let mut clock = tokio::time::interval(EACH);
    for n in 0.. {
        clock.tick().await;
        if stop.is_cancelled() {
            break;
        }
        let book = format!("book-{}", n % BOOKS);
        note(field, &book).await?;
        *notes.entry(book).or_default() += 1;
    }
    Ok(notes)
}

/// Takes one note, under one key however often it has to ask.
pub(crate) async fn note(field: &Field, book: &str) -> Result<()> {
    let writer = field.fleet().instance("writer/1")?;
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    let (url, key) = (format!("{}/v1/notes", writer.url()), Uuid::now_v7().to_string());
    eventually(SOON, "the note is taken", async || {
        let note = json!({ "book": book, "amount": 1 });
        let answer = http.post(&url).header("idempotency-key", &key).json(&note).send().await;
        let status = answer.map_err(|error| error.to_string())?.status().as_u16();
        if status == 202 { Ok(()) } else { Err(status.to_string()) }
    })
    .await
}

/// Waits until every note is counted, and none of them twice.
pub(crate) async fn counted(field: &Field, wanted: &Notes) -> Result<()> {
    let what = format!("every note of {wanted:?} is counted");
    eventually(SOON, &what, async || {
        let found = async {
            let mut database = field.world().database("tally").await?;
            let sums: Vec<(String, i64)> =
                sqlx::query_as("SELECT book, notes FROM book").fetch_all(&mut database).await?;
            anyhow::Ok(sums.into_iter().collect::<Notes>())
        };
        let found = found.await.map_err(|error| format!("{error:#}"))?;
        if &found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// A sum was told for each note, in the order of each book.
pub(crate) async fn told_in_order(field: &Field, notes: &Notes) -> Result<()> {
    let count = usize::try_from(notes.values().sum::<i64>())?;
    let sums = async || -> Result<()> {
        let topic = field.world().topic(&TALLIES);
        let records = field.world().admin().await?.read_all(&topic).await?;
        crate::delivery::gapless(&records, count)
    };
    eventually(SOON, "every sum is told, in order", async || {
        sums().await.map_err(|error| format!("{error:#}"))
    })
    .await
}

/// The sum of a counter over the instances of a service that run.
pub(crate) async fn counter(field: &Field, service: &str, name: &str) -> Result<f64> {
    let mut sum = 0.0;
    for instance in field.fleet().of(service) {
        if instance.runs().await {
            let text = instance.metrics().await?;
            let lines = text.lines().filter(|line| line.starts_with(name));
            sum +=
                lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
    }
    Ok(sum)
}

/// Waits until a service's group has so many members.
pub(crate) async fn members(field: &Field, service: &str, wanted: usize) -> Result<()> {
    let group = format!("{}test.{service}", field.world().prefix());
    let admin = field.world().admin().await?;
    eventually(SOON, &format!("{group} has {wanted} members"), async || {
        let found = admin.group(&group).await.map_err(|error| error.to_string())?;
        if found.members == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
}

/// Every instance of a service that runs says that it is ready.
pub(crate) async fn all_ready(field: &Field) -> Result<()> {
    for instance in field.fleet().instances() {
        if instance.runs().await {
            instance.until_ready().await?;
        }
        ensure!(instance.is_spare() || instance.runs().await, "{} is gone", instance.name());
    }
    Ok(())
}
