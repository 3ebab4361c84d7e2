//! Notes through the writer's front door, at a rate or as fast as it goes, and what became of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt;
use harness::{Ground, World, eventually};
use millrace::{Event, Running};
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use crate::tally::facts::{NOTES, Noted, TALLIES, Tallied};

/// Requests on their way at the same time.
const AT_ONCE: usize = 32;

/// A world with its topics and schemas.
pub(crate) async fn world(ground: &Ground) -> Result<World> {
    let world = World::on(ground)?;
    world.create_topics(&[&NOTES, &TALLIES]).await?;
    let schemas = [(Noted::subject(), Noted::SCHEMA), (Tallied::subject(), Tallied::SCHEMA)];
    world.register(schemas).await?;
    Ok(world)
}

/// A client that gives up idle connections before the door does: a door that closes one while a
/// request is on its way to it answers nothing.
fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2)).build()?)
}

/// Takes a note; it must be accepted.
pub(crate) async fn note(
    http: &reqwest::Client,
    writer: &str,
    book: &str,
    amount: i64,
) -> Result<()> {
    send(http, writer, &json!({ "book": book, "amount": amount })).await
}

async fn send(http: &reqwest::Client, writer: &str, note: &serde_json::Value) -> Result<()> {
    let answer = http
        .post(format!("{writer}/v1/notes"))
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .json(note)
        .send()
        .await?;
    ensure!(answer.status() == 202, "{}", answer.status());
    Ok(())
}

/// The same note in so many books, by one command.
pub(crate) async fn many(writer: &Running, name: &str, count: usize, amount: i64) -> Result<()> {
    let note = json!({ "book": name, "amount": amount, "copies": count });
    send(&client()?, writer.url(), &note).await
}

/// Notes at a steady rate, whatever becomes of the earlier ones; how many were accepted.
pub(crate) async fn steady(
    writer: &Running,
    name: &str,
    rate: u32,
    time: Duration,
) -> Result<usize> {
    let http = client()?;
    let (url, name) = (writer.url().to_owned(), name.to_owned());
    let count = (time.as_secs_f64() * f64::from(rate)) as usize;
    let began = tokio::time::Instant::now();
    let send = |n: usize| {
        let (http, url, book) = (http.clone(), url.clone(), format!("{name}-{n}"));
        async move {
            tokio::time::sleep_until(began + Duration::from_secs_f64(n as f64 / f64::from(rate)))
                .await;
            note(&http, &url, &book, 1).await
        }
    };
    let all: Vec<Result<()>> =
        futures::stream::iter((0..count).map(send)).buffered(AT_ONCE * 8).collect().await;
    all.into_iter().try_for_each(|sent| sent)?;
    Ok(count)
}

/// So many notes of different books, as fast as it goes.
pub(crate) async fn burst(writer: &Running, name: &str, count: usize, amount: i64) -> Result<()> {
    let http = client()?;
    let send = |n: usize| {
        let (http, url) = (http.clone(), writer.url().to_owned());
        let book = format!("{name}-{n}");
        async move { note(&http, &url, &book, amount).await }
    };
    let all: Vec<Result<()>> =
        futures::stream::iter((0..count).map(send)).buffer_unordered(AT_ONCE).collect().await;
    all.into_iter().try_for_each(|sent| sent)
}

/// Waits until a question to a service's database has this answer; how long it took.
pub(crate) async fn until(
    world: &World,
    service: &str,
    sql: &'static str,
    wanted: i64,
    deadline: Duration,
) -> Result<Duration> {
    let began = Instant::now();
    eventually(deadline, sql, async || {
        let mut db = world.database(service).await.map_err(|error| error.to_string())?;
        let found = sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut db).await;
        let found = found.map_err(|error| error.to_string())?;
        if found >= wanted { Ok(()) } else { Err(format!("{found} of {wanted}")) }
    })
    .await?;
    Ok(began.elapsed())
}

/// The 99th percentile of the time from announcement to effect of the notes of these books.
pub(crate) async fn p99(world: &World, name: &str) -> Result<f64> {
    let mut writer = world.database("writer").await?;
    let sent = sqlx::query("SELECT event_id, recorded_at FROM millrace.outbox WHERE key LIKE $1")
        .bind(format!("{name}-%"))
        .fetch_all(&mut writer)
        .await?;
    let mut tally = world.database("tally").await?;
    let handled = sqlx::query("SELECT event_id, recorded_at FROM millrace.inbox")
        .fetch_all(&mut tally)
        .await?;
    let handled: HashMap<Uuid, time::OffsetDateTime> =
        handled.iter().map(|row| (row.get(0), row.get(1))).collect();
    let took = |row: &sqlx::postgres::PgRow| {
        let at: time::OffsetDateTime = row.get(1);
        Some((*handled.get(&row.get(0))? - at).as_seconds_f64())
    };
    let mut all: Vec<f64> = sent.iter().filter_map(took).collect();
    ensure!(all.len() == sent.len() && !all.is_empty(), "{} of {}", all.len(), sent.len());
    all.sort_by(f64::total_cmp);
    Ok(all[(all.len() * 99) / 100])
}
