//! The intake of producers outside: what they say is checked against its schema and published as a
//! fact, which the journal then reads back as every other.

use axum::extract::State;
use axum::http::StatusCode;
use millrace::contract::JsonView;
use millrace::{Answer, Caller, Door, Event, IdempotencyKey, Json, Problem, Timestamp};
use schemas::{EVENTS, OrderId, OutsideNoted};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::text;
use crate::domain::Heads;
use crate::store::Keys;

/// Names and texts, in characters.
const NAME_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2000;

/// A fact of a producer outside.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEvent {
    /// Its full name: `retail.outside.OutsideNoted`.
    r#type: String,
    /// The order it is about.
    key: String,
    /// When it happened; now when nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
    /// What it says, in the form of its schema.
    #[schema(value_type = Object)]
    data: Value,
}

/// Where the fact can be seen as soon as it is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Noted {
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    /// The journal of its order.
    follow: String,
}

/// Takes a fact of a producer outside, checked against its schema, once for each key.
#[utoipa::path(
    post,
    path = "/v1/events",
    params(("Idempotency-Key" = String, Header)),
    request_body = NewEvent,
    responses(
        (status = 202, body = Noted),
        (status = 404, description = "unknown_order"),
        (status = 409, description = "journal_frozen or journal_full"),
        (status = 422, description = "unknown_type, invalid_data, wrong_key, invalid_time or invalid_text")
    )
)]
pub(super) async fn note(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(body): Json<NewEvent>,
) -> Result<Answer, Problem> {
    let event = read(&body)?;
    let order = event.order_id;
    let keys = Keys { orders: [order].into() };
    door.command_once::<Heads>(&caller, &key, &("event", &body), keys, |heads, emit| {
        heads.note(order)?;
        let happened = body.occurred_at.unwrap_or(emit.now());
        if happened > emit.now() {
            let detail = format!("it is later than now, {}", emit.now());
            return Err(unfit("invalid_time").at("/occurred_at", detail));
        }
        emit.fact_of(event.clone(), happened);
        let follow = format!("/v1/journal/orders/{order}");
        Ok(Answer::accepted(&follow, &Noted { order_id: order, follow: follow.clone() }))
    })
    .await
}

/// The fact of a body, or every reason why it is none.
fn read(body: &NewEvent) -> Result<OutsideNoted, Problem> {
    let topic = EVENTS.iter().find(|event| event.name == body.r#type).map(|event| event.topic);
    match topic {
        _ if body.r#type == OutsideNoted::NAME => {}
        Some(topic) => {
            let detail = format!("only {} says this; give {}", topic.owner, OutsideNoted::NAME);
            return Err(unfit("unknown_type").at("/type", detail));
        }
        None => {
            let detail = format!("there is no such type; give {}", OutsideNoted::NAME);
            return Err(unfit("unknown_type").at("/type", detail));
        }
    }
    let view = JsonView::new(OutsideNoted::SCHEMA).map_err(|_| Problem::internal())?;
    let misfit =
        |pointer: &str, detail: String| unfit("invalid_data").at(format!("/data{pointer}"), detail);
    let datum = view.write(&body.data).map_err(|it| misfit(&it.pointer, it.detail))?;
    let event = OutsideNoted::from_datum(&datum).map_err(|it| misfit("", it.to_string()))?;
    if body.key != event.order_id.to_string() {
        let detail = format!("the key of this fact is its order_id, {}", event.order_id);
        return Err(unfit("wrong_key").at("/key", detail));
    }
    text("/data/source", "invalid_text", &event.source, NAME_CHARS_MAX)?;
    text("/data/kind", "invalid_text", &event.kind, NAME_CHARS_MAX)?;
    text("/data/text", "invalid_text", &event.text, TEXT_CHARS_MAX)?;
    if event.kind == "FROZEN" {
        let detail = "an order is frozen at /v1/journal/orders/{order}/freeze";
        return Err(unfit("invalid_text").at("/data/kind", detail));
    }
    Ok(event)
}

fn unfit(code: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "This is no fact that can be taken.")
}
