//! Where the payment provider says by itself what became of a charge or a refund. Only what it has
//! signed is read; what it says twice is acted on once.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use millrace::ask::verify;
use millrace::{Door, IdempotencyKey, Json, Problem, Settled};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::Till;
use crate::provider::{ChargeAsk, RefundAsk, Said, charge_key, refund_key};
use crate::settings::Settings;

const SIGNATURE: &str = "provider-signature";
/// Whose ids the provider's events have.
const SCOPE: &str = "payment_provider";

/// What the provider says.
#[derive(Deserialize)]
struct Event {
    /// The same in every repetition.
    id: String,
    r#type: What,
    #[serde(flatten)]
    said: Said,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Charge,
    Refund,
}

/// What was done about an event.
#[derive(Serialize, ToSchema)]
pub(super) struct Heard {
    /// `now`, or `before` when nothing was left to do.
    #[schema(value_type = String)]
    settled: Settled,
}

/// Takes what the payment provider says of a charge or a refund.
#[utoipa::path(
    post,
    path = "/v1/provider/events",
    params(("Provider-Signature" = String, Header)),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 200, body = Heard),
        (status = 401, description = "invalid_signature"),
        (status = 404, description = "unknown_ask"),
        (status = 422, description = "invalid_body, idempotency_key_reused or unusable_answer")
    )
)]
pub(super) async fn event(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Heard>, Problem> {
    let settings = door.settings::<Settings>();
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    verify(&settings.provider_secret, signature, &body)?;
    let Event { id, r#type, said } = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", error.to_string())
    })?;
    let event = IdempotencyKey { key: id, scope: SCOPE.to_owned() };
    let settled = match r#type {
        What::Charge => {
            let answer = said.of_charge().ok_or_else(undecided)?;
            door.settle::<Till, ChargeAsk>(&event, &charge_key(said.order), answer).await?
        }
        What::Refund => {
            let answer = said.of_refund().ok_or_else(undecided)?;
            door.settle::<Till, RefundAsk>(&event, &refund_key(said.order), answer).await?
        }
    };
    Ok(Json(Heard { settled }))
}

fn undecided() -> Problem {
    let detail = "The event says nothing final, or not about which amount.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable_answer", detail)
}
