//! Four tiny services that the delivery contract is tested on: `writer` takes notes at its front
//! door, `tally` adds them up, `ledger` is a view of the sums, `clerk` has every
//! note stamped by an office outside. They know nothing of orders, as the platform does not.

pub(crate) mod facts;
pub(crate) mod ledger;
pub(crate) mod stamps;
pub(crate) mod sums;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{
    Answer, Caller, Door, Fault, FaultPolicy, IdempotencyKey, Json, Problem, Service, Tx,
    WorkingSet,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use facts::{Book, Noted, Tallied};
use ledger::Ledger;
use sums::{Sums, TALLY_MIGRATIONS};

/// Takes notes at its front door and announces them.
pub(crate) fn writer() -> Service {
    Service::named("writer")
        .about("Takes notes.")
        .http(|| OpenApiRouter::new().routes(routes!(note)))
        .emits::<Noted>()
        .build()
}

/// Adds up the notes of each book.
pub(crate) fn tally() -> Service {
    tally_with(FaultPolicy::default())
}

/// As [`tally`], with another policy for notes that fail.
pub(crate) fn tally_with(policy: FaultPolicy) -> Service {
    Service::named("tally")
        .about("Adds up the notes of each book.")
        .migrations(&TALLY_MIGRATIONS)
        .rows::<Sums>()
        .on_with::<Noted>(policy)
        .sweeps(Duration::from_millis(50))
        .emits::<Tallied>()
        .build()
}

/// A view of the sums.
pub(crate) fn ledger() -> Service {
    ledger_of::<1>("sums")
}

/// As [`ledger`], folded by other code: so many times the sums.
pub(crate) fn ledger_of<const TIMES: i64>(code: &'static str) -> Service {
    Service::named("ledger")
        .about("Shows the sum of each book.")
        .migrations(&ledger::LEDGER_MIGRATIONS)
        .rows::<Ledger<TIMES>>()
        .folds::<Tallied>()
        .fold_code(code)
        .build_view()
}

/// Has every note stamped outside.
pub(crate) fn clerk() -> Service {
    Service::named("clerk")
        .about("Has every note stamped outside.")
        .settings::<stamps::Settings>()
        .http(|| OpenApiRouter::new().routes(routes!(stamps::stamped)))
        .rows::<NoRows>()
        .on::<Noted>()
        .asks::<stamps::Stamp, stamps::Office>()
        .emits::<stamps::Stamped>()
        .build()
}

/// A note as a client sends it.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    book: String,
    amount: i64,
    /// Into so many books at once, told apart by a number behind the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copies: Option<u16>,
}

impl Note {
    fn books(&self) -> Vec<String> {
        match self.copies {
            None => vec![self.book.clone()],
            Some(copies) => (0..copies).map(|n| format!("{}-{n}", self.book)).collect(),
        }
    }
}

/// Writer and clerk keep no rows.
pub(crate) struct NoRows;

impl WorkingSet for NoRows {
    type Keys = ();

    async fn load(_tx: &mut Tx, _keys: &()) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn save(self, _tx: &mut Tx) -> Result<(), Fault> {
        Ok(())
    }
}

/// Takes a note, once for each idempotency key.
#[utoipa::path(post, path = "/v1/notes", request_body = Note, responses((status = 202)))]
async fn note(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(note): Json<Note>,
) -> Result<Answer, Problem> {
    if note.book.is_empty() {
        let detail = "a note belongs to a book";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "book_missing", detail));
    }
    door.command_once::<NoRows>(&caller, &key, &note, (), |_rows, emit| {
        for book in note.books() {
            emit.fact(Noted { book: Book(book), amount: note.amount });
        }
        Ok(Answer::accepted("/v1/notes", &serde_json::json!({ "book": note.book })))
    })
    .await
}
