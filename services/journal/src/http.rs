//! The front door of the journal: an order's history, what it was at a moment and what changed
//! between two; facts of producers outside; freezing. It decides nothing itself.

mod body;
mod intake;

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Answer, Caller, Door, Fault, Json, Path, Problem, Query};
use schemas::{OrderId, OutsideNoted, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::decode::{Decoder, Said};
use crate::domain::chain::Entry;
use crate::domain::state::{self, Backwards, Line, Moment};
use crate::domain::{Frozen, Head, Heads, Refusal};
use crate::store::{self, Keys};
use body::{DiffBody, Freeze, FrozenBody, HistoryBody};

/// Entries of an order that are shown; whoever has more reads them by `millrace journal export`.
const ENTRIES_MAX: u64 = 1000;
/// Names and reasons, in characters.
const AUTHOR_CHARS_MAX: usize = 64;
const REASON_CHARS_MAX: usize = 500;

/// Of which moment an order is shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct When {
    /// As it was at this time, by what had happened then.
    #[param(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// As it was after so many entries of its journal.
    version: Option<u64>,
}

/// Two moments, each a number of entries or a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Between {
    /// The earlier one; before everything when nothing is said.
    from: Option<String>,
    /// The later one; now when nothing is said.
    to: Option<String>,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(order))
        .routes(routes!(diff))
        .routes(routes!(freeze))
        .routes(routes!(intake::note))
}

/// An order and everything that was said about it: now, at a time or after so many entries.
#[utoipa::path(
    get,
    path = "/v1/journal/orders/{order}",
    params(("order" = Uuid, Path), When),
    responses(
        (status = 200, body = HistoryBody),
        (status = 400, description = "invalid_query"),
        (status = 404, description = "unknown_order or unknown_version"),
        (status = 409, description = "history_too_long")
    )
)]
async fn order(
    State(door): State<Door>,
    Path(order): Path<OrderId>,
    Query(when): Query<When>,
) -> Result<Json<HistoryBody>, Problem> {
    let journal = Journal::read(&door, order).await?;
    let moment = match (when.at, when.version) {
        (Some(_), Some(_)) => return Err(invalid_query("give either `at` or `version`")),
        (Some(at), None) => Moment::At(at),
        (None, version) => journal.version(version)?,
    };
    Ok(Json(HistoryBody::of(order, &journal, moment)))
}

/// What changed of an order between two moments, sentence by sentence.
#[utoipa::path(
    get,
    path = "/v1/journal/orders/{order}/diff",
    params(("order" = Uuid, Path), Between),
    responses(
        (status = 200, body = DiffBody),
        (status = 400, description = "invalid_query"),
        (status = 404, description = "unknown_order or unknown_version"),
        (status = 409, description = "history_too_long")
    )
)]
async fn diff(
    State(door): State<Door>,
    Path(order): Path<OrderId>,
    Query(between): Query<Between>,
) -> Result<Json<DiffBody>, Problem> {
    let moment = |name: &str, text: Option<String>| {
        let parsed = text.map(|text| text.parse::<Moment>()).transpose();
        parsed.map_err(|wrong| invalid_query(&format!("`{name}`: {wrong}")))
    };
    let (from, to) = (moment("from", between.from)?, moment("to", between.to)?);
    let journal = Journal::read(&door, order).await?;
    let from = journal.moment(from.unwrap_or(Moment::Version(0)))?;
    let to = journal.moment(to.unwrap_or(Moment::Version(journal.head.link.length)))?;
    let sentences = state::diff(&journal.lines, from, to);
    let sentences = sentences.map_err(|backwards: Backwards| invalid_query(&backwards.to_string()));
    Ok(Json(DiffBody::of(order, &journal, from, to, sentences?)))
}

/// Freezes the journal of an order: it records on, and refuses what producers outside have to say.
#[utoipa::path(
    post,
    path = "/v1/journal/orders/{order}/freeze",
    params(("order" = Uuid, Path)),
    request_body = Freeze,
    responses(
        (status = 200, body = FrozenBody),
        (status = 404, description = "unknown_order"),
        (status = 409, description = "journal_frozen"),
        (status = 422, description = "invalid_author or invalid_reason")
    )
)]
async fn freeze(
    State(door): State<Door>,
    caller: Caller,
    Path(order): Path<OrderId>,
    Json(body): Json<Freeze>,
) -> Result<Answer, Problem> {
    text("/author", "invalid_author", &body.author, AUTHOR_CHARS_MAX)?;
    text("/reason", "invalid_reason", &body.reason, REASON_CHARS_MAX)?;
    let keys = Keys { orders: [order].into() };
    door.command::<Heads, _>(&caller, keys, |heads, emit| {
        let Freeze { author, reason } = &body;
        let frozen = Frozen { by: author.clone(), reason: reason.clone(), at: emit.now() };
        if heads.freeze(order, frozen)? {
            let (source, kind, text) = (author.clone(), "FROZEN".to_owned(), reason.clone());
            emit.fact(OutsideNoted { order_id: order, source, kind, text });
        }
        let frozen = heads.head(order).and_then(|head| head.frozen.as_ref());
        Ok(Answer::new(StatusCode::OK, &frozen.map(FrozenBody::of)))
    })
    .await
}

/// The journal of one order, read and understood.
struct Journal {
    head: Head,
    entries: Vec<(Entry, Said)>,
    lines: Vec<Line>,
}

impl Journal {
    async fn read(door: &Door, order: OrderId) -> Result<Self, Problem> {
        let (head, entries) = {
            let mut tx = door.read().await?;
            let head = store::head(&mut tx, order).await?.ok_or(Refusal::Unknown)?;
            if head.link.length > ENTRIES_MAX {
                return Err(too_long(head.link.length));
            }
            let entries = store::entries(&mut tx, order, head.link.length as i64).await?;
            (head, entries)
        };
        let mut decoder = Decoder::new(door.registry().clone());
        let (mut all, mut lines) = (vec![], vec![]);
        for entry in entries {
            let (said, line) = decoder.line(&entry).await.map_err(Fault::transient)?;
            all.push((entry, said));
            lines.push(line);
        }
        Ok(Self { head, entries: all, lines })
    }

    /// After so many entries; all of them when nothing is said.
    fn version(&self, version: Option<u64>) -> Result<Moment, Problem> {
        self.moment(Moment::Version(version.unwrap_or(self.head.link.length)))
    }

    fn moment(&self, moment: Moment) -> Result<Moment, Problem> {
        let length = self.head.link.length;
        match moment {
            Moment::Version(version) if version > length => {
                let detail = format!("The journal of this order has {length} entries.");
                Err(Problem::new(StatusCode::NOT_FOUND, "unknown_version", detail))
            }
            moment => Ok(moment),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Unknown => (StatusCode::NOT_FOUND, "unknown_order"),
            Refusal::Frozen { .. } => (StatusCode::CONFLICT, "journal_frozen"),
            Refusal::Full(_) => (StatusCode::CONFLICT, "journal_full"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

fn invalid_query(what: &str) -> Problem {
    let detail = format!("The query is not valid: {what}.");
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

fn too_long(length: u64) -> Problem {
    let detail = format!(
        "The journal of this order has {length} entries, more than the {ENTRIES_MAX} that are shown \
         at once; read it with `millrace journal export`."
    );
    Problem::new(StatusCode::CONFLICT, "history_too_long", detail)
}

fn text(pointer: &str, code: &'static str, text: &str, chars_max: usize) -> Result<(), Problem> {
    let plain = !text.chars().any(char::is_control);
    if plain && (1..=chars_max).contains(&text.chars().count()) {
        return Ok(());
    }
    let detail = format!("give 1 to {chars_max} characters without control characters");
    let problem =
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "This cannot be kept as it is.");
    Err(problem.at(pointer, detail))
}
