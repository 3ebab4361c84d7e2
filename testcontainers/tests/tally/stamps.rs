//! What `clerk` asks outside: an office stamps every note, for a fee.

use std::time::Duration;

use super::NoRows;
use super::facts::{Book, Noted};
use axum::extract::State;
use millrace::ask::{BreakerPolicy, Client};
use millrace::contract::{Cleanup, DecodeError, Reader, Writer};
use millrace::{
    Answers, Ask, AskError, AskPolicy, Decide, Door, Emit, Envelope, Event, IdempotencyKey, Json,
    Partner, Path, Poison, Problem, Secret, Settle, Settled, Topic,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A note of this amount is stamped once for each book.
pub(crate) const ONCE: i64 = 7;
/// A note of this amount says that the one above need not be stamped.
pub(crate) const UNDO: i64 = -7;

/// Stamps, keyed by book.
pub(crate) static STAMPS: Topic = Topic {
    name: "test.stamp.events.v1",
    owner: "clerk",
    partitions: 6,
    cleanup: Cleanup::Delete { retention_ms: 86_400_000 },
    key: "book",
    readers: &[],
};

/// A note was stamped.
#[derive(Debug, Clone)]
pub(crate) struct Stamped {
    /// The book of the note.
    pub(crate) book: Book,
    /// The note.
    pub(crate) note: String,
}

/// Where the office is.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    office_url: String,
}

/// A note is to be stamped.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stamp {
    note: String,
    book: String,
}

/// The office.
pub(crate) struct Office(Client);

impl Ask for Stamp {
    const NAME: &'static str = "clerk.stamp";
    type Answer = bool;

    fn key(&self) -> String {
        format!("stamp-{}", self.note)
    }

    fn stream(&self) -> String {
        self.book.clone()
    }
}

impl Partner for Office {
    const NAME: &'static str = "office";
    const POLICY: AskPolicy = AskPolicy {
        retry_max: Duration::from_secs(1),
        breaker: BreakerPolicy { open_for: Duration::from_secs(1), ..BreakerPolicy::DEFAULT },
        ..AskPolicy::DEFAULT
    };
    type Settings = Settings;

    fn connect(settings: &Settings) -> Result<Option<Self>, String> {
        if settings.office_url.is_empty() {
            return Ok(None);
        }
        let client = Client::new(&settings.office_url, Secret::default(), Self::POLICY.deadline);
        client.map(|client| Some(Self(client)))
    }
}

impl Answers<Stamp> for Office {
    async fn ask(&self, ask: &Stamp, key: &str) -> Result<bool, AskError> {
        let fee = json!({ "order": ask.note, "amount": "1.00", "currency": "CAD" });
        let reply = self.0.post("charges", key, &fee).await?;
        match reply.status {
            200 => Ok(reply.body["status"] == "accepted"),
            status => Err(AskError::Away(format!("it answered {status}"))),
        }
    }
}

impl Decide<Noted> for NoRows {
    fn keys(_fact: &Envelope<Noted>, _keys: &mut ()) {}

    fn decide(&mut self, fact: &Envelope<Noted>, emit: &mut Emit) -> Result<(), Poison> {
        let (note, book) = (fact.id.to_string(), fact.key.0.clone());
        match fact.event.amount {
            ONCE => emit.ask(Stamp { note: book.clone(), book }),
            UNDO => emit.withdraw::<Stamp>(format!("stamp-{book}")),
            _ => emit.ask(Stamp { note, book }),
        }
        Ok(())
    }
}

impl Settle<Stamp> for NoRows {
    fn keys(_ask: &Stamp, _keys: &mut ()) {}

    fn settle(&mut self, ask: &Stamp, stamped: &bool, emit: &mut Emit) -> Result<(), Poison> {
        if *stamped {
            emit.fact(Stamped { book: Book(ask.book.clone()), note: ask.note.clone() });
        }
        Ok(())
    }
}

/// The office says by itself that a note is stamped.
#[utoipa::path(post, path = "/v1/stamps/{note}/{event}", responses((status = 200)))]
pub(crate) async fn stamped(
    State(door): State<Door>,
    Path((note, event)): Path<(String, String)>,
) -> Result<Json<Settled>, Problem> {
    let event = IdempotencyKey { key: event, scope: "office".to_owned() };
    Ok(Json(door.settle::<NoRows, Stamp>(&event, &format!("stamp-{note}"), true).await?))
}

impl Event for Stamped {
    const NAME: &'static str = "test.stamp.Stamped";
    const TOPIC: &'static Topic = &STAMPS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"Stamped","namespace":"test.stamp","fields":[{"name":"book","type":"string"},{"name":"note","type":"string"}]}"#;
    type Key = Book;

    fn key(&self) -> &Book {
        &self.book
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(&self.book.0);
        out.string(&self.note);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { book: Book(input.string()?.to_owned()), note: input.string()?.to_owned() })
    }
}
