//! The one form of an error (RFC 9457). What went wrong inside is logged, not told.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{PartialSchema, ToSchema};

use crate::Fault;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Seconds after which a client may try again when something of ours is away.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Longest code that a page is made for.
const CODE_BYTES_MAX: usize = 64;

/// An answer of 400 or more as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<Entry>,
    retry_after: Option<u32>,
}

/// One place in the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemEntry)]
struct Entry {
    /// JSON pointer into the body, or the name of a parameter.
    pointer: String,
    /// What is wrong there.
    detail: String,
}

/// What is known only where the request is.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    /// `None` where no trace is kept.
    pub(crate) trace_id: Option<&'a str>,
}

/// The body on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Body9457<'a> {
    /// `/problems/<code>`
    r#type: String,
    /// The code in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// Path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// Stable name of the problem, for programs.
    code: &'a str,
    /// The trace this request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    /// Every place that is wrong.
    #[serde(skip_serializing_if = "<[Entry]>::is_empty")]
    errors: &'a [Entry],
}

impl Problem {
    /// A problem with a stable code in `snake_case` and a sentence about this case.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let (code, detail) = (code.into(), detail.into());
        Self { status, code, detail, errors: vec![], retry_after: None }
    }

    /// Adds a place in the request that is wrong.
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(Entry { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Tells the client to try again after this many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 503: something of ours is away, the same request may succeed soon.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        problem.retry_after(RETRY_AFTER_SECONDS)
    }

    /// 500: our fault.
    pub fn internal() -> Self {
        let detail = "The request could not be handled. The fault is ours and has been logged.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The problem of an answer that says no more than its status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(status, "not_found", "There is nothing at this path.")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "The path does not take this method.")
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable("Try again."),
            status if status.is_server_error() => Self { status, ..Self::internal() },
            status => {
                let reason = status.canonical_reason().unwrap_or("Unknown status");
                let code = reason.to_lowercase().replace([' ', '-'], "_").replace('\'', "");
                Self::new(status, code, format!("{reason}."))
            }
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn to_json(&self, place: Option<&Place<'_>>) -> Vec<u8> {
        let body = Body9457 {
            r#type: format!("/problems/{}", self.code),
            title: title(&self.code),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: place.map(|place| place.path),
            code: &self.code,
            trace_id: place.and_then(|place| place.trace_id),
            errors: &self.errors,
        };
        serde_json::to_vec(&body).expect("a problem is text and numbers")
    }

    /// Puts this problem in place of a response's body and keeps the other headers.
    pub(crate) fn render(&self, place: Option<&Place<'_>>, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        *response.body_mut() = Body::from(self.to_json(place));
        response
    }
}

/// The page that `type` of a problem leads to; `None` when this can be no code.
pub(super) fn page(code: &str) -> Option<String> {
    let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(part);
    fits.then(|| format!("{}\n\n{}\n", title(code), advice(code)))
}

/// What a client can do about a problem of the platform; a service's own are explained where they
/// happen.
fn advice(code: &str) -> &'static str {
    match code {
        "malformed_json" => "Send a body that is JSON; `detail` says where it ends to be so.",
        "invalid_body" => "Send what /openapi.json says of this path; `errors` has every place.",
        "invalid_path" => "Correct the parameter of the path that `detail` names.",
        "invalid_query" => "Correct the parameter of the query that `detail` names.",
        "unsupported_encoding" => "Send the body as it is, without Content-Encoding.",
        "unsupported_media_type" => "Send the body with Content-Type: application/json.",
        "body_too_large" => "Send less at once: divide the request into smaller ones.",
        "incomplete_body" | "slow_body" | "timeout" | "idempotency_key_in_use" => {
            "Try again with the same Idempotency-Key: what was done already is not done twice."
        }
        "idempotency_key_missing" => "Send a header Idempotency-Key, new for each new command.",
        "idempotency_key_invalid" => "Send a key of 1 to 128 visible ASCII characters, once.",
        "idempotency_key_reused" => "Send a new key with a request that is not the one before.",
        "not_found" => "Compare the path with /openapi.json.",
        "method_not_allowed" => "Use one of the methods that the header Allow names.",
        "unavailable" | "overloaded" | "not_ready" | "not_started" => {
            "Wait as long as the header Retry-After says, then try again; /readyz?verbose tells why."
        }
        "internal" => "The fault is ours: report the `trace_id` of the answer.",
        _ => "Read `detail` and `errors` of the answer: they say what to change in this request.",
    }
}

fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl IntoResponse for Problem {
    /// Leaves itself in the response, so that path and trace can be added where they are known.
    fn into_response(self) -> Response {
        let mut response = self.render(None, Response::default());
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient(cause) => {
                tracing::warn!(%cause, "request not handled: infrastructure is away");
                Self::unavailable("The service cannot reach what it needs. Try again.")
            }
            Fault::Poison(cause) => {
                tracing::error!(%cause, "request not handled");
                Self::internal()
            }
        }
    }
}

impl PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Body9457::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn schemas(
        schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
    ) {
        schemas.push(("ProblemEntry".to_owned(), Entry::schema()));
    }
}
