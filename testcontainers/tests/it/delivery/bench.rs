//! What the tests of the delivery contract stand on: a world with the three small services' topics
//! and schemas, and the questions asked of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Ground, World, eventually};
use millrace::admin::{RawRecord, Record};
use millrace::{Event, Running, Topic};
use serde_json::json;
use sqlx::Row;

use crate::tally;
use crate::tally::facts::{Book, NOTES, Noted, TALLIES, Tallied};

/// Everything that happens by itself happens within this time.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// A world of notes and sums.
pub(super) struct Bench {
    pub(super) world: World,
    http: reqwest::Client,
    /// The registry's id of the schema of notes.
    noted: u32,
    /// What processes of its services write.
    pub(super) logs: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new() -> Result<Self> {
        Self::on(&Ground::shared().await?).await
    }

    pub(super) async fn on(ground: &Ground) -> Result<Self> {
        millrace::log::init(false);
        let world = World::on(ground)?;
        world.create_topics(&[&NOTES, &TALLIES]).await?;
        let schemas = [(Noted::subject(), Noted::SCHEMA), (Tallied::subject(), Tallied::SCHEMA)];
        world.register(schemas).await?;
        let noted = world.registry().id_of(&Noted::subject(), Noted::SCHEMA).await?;
        Ok(Self { world, http: reqwest::Client::new(), noted, logs: tempfile::tempdir()? })
    }

    /// Takes a note through the writer's front door; the answer's status and body.
    pub(super) async fn post(
        &self,
        writer: &Running,
        key: &str,
        book: &str,
        amount: i64,
    ) -> Result<(u16, serde_json::Value)> {
        let answer = self
            .http
            .post(format!("{}/v1/notes", writer.url()))
            .header("Idempotency-Key", key)
            .json(&json!({ "book": book, "amount": amount }))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Takes a note that must be accepted, under a key of its own.
    pub(super) async fn note(&self, writer: &Running, book: &str, amount: i64) -> Result<()> {
        let key = uuid::Uuid::now_v7().to_string();
        let (status, body) = self.post(writer, &key, book, amount).await?;
        ensure!(status == 202, "{status}: {body}");
        Ok(())
    }

    /// Sum and number of notes of each book, as `tally` has them.
    pub(super) async fn sums(&self) -> Result<BTreeMap<String, (i64, i64)>> {
        let mut db = self.world.database("tally").await?;
        let rows = sqlx::query("SELECT book, total, notes FROM book").fetch_all(&mut db).await?;
        Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
    }

    /// Waits until `tally` has these numbers of notes, and asserts that it has no more.
    pub(super) async fn until_notes(&self, wanted: &BTreeMap<String, i64>) -> Result<()> {
        eventually(SOON, "every note is in its sum", async || {
            let sums = self.sums().await.map_err(|error| error.to_string())?;
            let notes: BTreeMap<String, i64> =
                sums.into_iter().map(|(book, (_, notes))| (book, notes)).collect();
            if &notes == wanted { Ok(()) } else { Err(format!("{notes:?}, wanted {wanted:?}")) }
        })
        .await
    }

    /// Every record of a topic, by partition and offset.
    pub(super) async fn records(&self, topic: &Topic) -> Result<Vec<Record>> {
        Ok(self.world.admin().await?.read_all(&self.world.topic(topic)).await?)
    }

    /// The dead letters of `tally`.
    pub(super) async fn letters(&self) -> Result<Vec<Record>> {
        let topic = format!("{}{}", self.world.prefix(), tally::tally().dead_letters());
        Ok(self.world.admin().await?.read_all(&topic).await?)
    }

    /// Waits until `tally` has so many dead letters.
    pub(super) async fn until_letters(&self, count: usize) -> Result<Vec<Record>> {
        eventually(SOON, "every dead letter is there", async || {
            let letters = self.letters().await.map_err(|error| error.to_string())?;
            match letters.len() == count {
                true => Ok(letters),
                false => Err(format!("{} of {count}", letters.len())),
            }
        })
        .await
    }

    /// Puts a record on a topic as it is.
    pub(super) async fn put(&self, topic: &Topic, record: RawRecord) -> Result<(i32, i64)> {
        Ok(self.world.admin().await?.produce(&self.world.topic(topic), record).await?)
    }

    /// A note as its owner would publish it, under a new identity.
    pub(super) fn raw_note(&self, book: &str, version: u64, amount: i64) -> RawRecord {
        let note = Noted { book: Book(book.to_owned()), amount };
        let headers = [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", uuid::Uuid::now_v7().to_string()),
            ("ce_source", "/test/writer".to_owned()),
            ("ce_type", Noted::NAME.to_owned()),
            ("ce_subject", book.to_owned()),
            ("ce_time", "2026-11-21T08:00:00Z".to_owned()),
            ("ce_sequence", format!("{version:020}")),
            ("ce_correlationid", book.to_owned()),
            ("content-type", "application/avro".to_owned()),
        ];
        RawRecord {
            partition: None,
            key: Some(book.as_bytes().to_vec()),
            payload: Some(millrace::contract::frame(self.noted, &note.to_datum())),
            headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
        }
    }

    /// How many notes `tally` has handled.
    pub(super) async fn handled(&self) -> Result<i64> {
        self.count("tally", "SELECT COALESCE(sum(notes), 0)::bigint FROM book").await
    }

    /// Waits until a service has said that so many facts are sent.
    pub(super) async fn until_sent(&self, service: &str, count: i64) -> Result<()> {
        eventually(SOON, "every fact is said to be sent", async || {
            let sent = "SELECT (SELECT count(*) FROM millrace.outbox)
                    - (SELECT count(*) FROM millrace.unsent)";
            let sent = self.count(service, sent).await.map_err(|error| error.to_string())?;
            if sent == count { Ok(()) } else { Err(format!("{sent} of {count}")) }
        })
        .await
    }

    /// What a service tells of itself.
    pub(super) async fn metrics(&self, service: &Running) -> Result<String> {
        Ok(reqwest::get(format!("{}/metrics", service.url())).await?.text().await?)
    }

    /// A number from a service's database.
    pub(super) async fn count(&self, service: &str, sql: &'static str) -> Result<i64> {
        let mut db = self.world.database(service).await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut db).await?)
    }
}

/// Waits until a service says that it is not ready.
pub(super) async fn until_unready(service: &Running) -> Result<()> {
    eventually(SOON, "it says that it is not ready", async || {
        service.health().ready().err().map(drop).ok_or_else(|| "ready".to_owned())
    })
    .await
}
