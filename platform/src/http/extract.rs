//! What handlers take from a request. Every refusal is a problem with a stable code.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry::trace::SpanContext;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use sha2::{Digest, Sha256};

use super::Problem;

/// Longest idempotency key in characters.
const IDEMPOTENCY_KEY_MAX: usize = 128;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const API_KEY: &str = "x-api-key";
const ANONYMOUS: &str = "anonymous";

/// Who asks, as far as it matters to what happens next.
#[derive(Debug, Clone)]
pub struct Caller {
    span: Option<SpanContext>,
    request_id: String,
}

/// A body of JSON, and an answer of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// Parameters in the path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

/// Parameters in the query.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// The key under which a command acts once, from the header `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The client's token: 1 to 128 visible ASCII characters.
    pub key: String,
    /// Whose token it is: a fingerprint of the API key, or `anonymous`.
    pub scope: String,
}

impl Caller {
    pub(crate) fn new(span: Option<SpanContext>, request_id: String) -> Self {
        Self { span, request_id }
    }

    /// Nobody outside: the process itself.
    pub fn inside() -> Self {
        Self { span: None, request_id: String::new() }
    }

    /// The span that what happens next is a child of.
    pub(crate) fn span(&self) -> Option<SpanContext> {
        self.span.clone()
    }

    /// The client's `X-Request-Id`, or one made here; echoed in the answer.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a handler runs outside the router that knows its caller");
            Problem::internal()
        })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "The body must be JSON: send Content-Type: application/json.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_media_type", detail));
        }
        if request.headers().get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            let detail = "The body must be sent as it is, without Content-Encoding.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_encoding", detail));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| Problem::of_status(rejection.status()))?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(rejection)) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_path",
                format!("The path is not valid: {}.", rejection.kind()),
            )),
            Err(rejection) => {
                tracing::error!(%rejection, "a handler takes a path its route does not have");
                Err(Problem::internal())
            }
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            let detail = "The query is not valid: no text may have the character U+0000.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
        }
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail = format!("The query is not valid: {}.", rejection.body_text());
                Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            let detail = "Send a header Idempotency-Key that is new for each new command.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", detail));
        };
        let key = value.to_str().ok().filter(|_| values.next().is_none()).and_then(token);
        let Some(key) = key else {
            let detail =
                "Idempotency-Key must be 1 to 128 visible ASCII characters, quoted or bare.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", detail));
        };
        Ok(Self { key, scope: scope(&parts.headers) })
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// `"token"` or `token`; a quote inside is a sign of a broken client.
fn token(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&bare.len());
    let visible = bare.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    (fits && visible).then(|| bare.to_owned())
}

/// The API key itself is a secret and is not written beside the stored answer.
fn scope(headers: &HeaderMap) -> String {
    match headers.get(API_KEY) {
        Some(key) => {
            let digest = Sha256::digest(key.as_bytes());
            digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        }
        None => ANONYMOUS.to_owned(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value: Result<T, _> = serde_path_to_error::deserialize(&mut input);
    let value = value.map_err(|error| {
        let pointer = pointer(error.path());
        refusal(error.inner(), Some(pointer))
    })?;
    input.end().map_err(|error| refusal(&error, None))?;
    match has_nul(bytes) {
        true => Err(unfit("The body has a text with the character U+0000, which is not stored.")),
        false => Ok(value),
    }
}

/// Whether a text of this JSON has the character that the database does not store. JSON knows it
/// only as an escape, and a backslash before an escape is an escape itself.
fn has_nul(json: &[u8]) -> bool {
    let escapes = json.windows(6).enumerate().filter(|(_, bytes)| bytes == b"\\u0000");
    let slashes = |at: usize| json[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    escapes.into_iter().any(|(at, _)| slashes(at) % 2 == 0)
}

fn unfit(detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail)
}

fn refusal(error: &serde_json::Error, pointer: Option<String>) -> Problem {
    match error.classify() {
        Category::Data => {
            let problem = unfit("The body is JSON but not what this command takes.");
            match pointer {
                Some(pointer) => problem.at(pointer, plain(error)),
                None => problem,
            }
        }
        _ => {
            let detail = format!("The body is not JSON: {error}.");
            Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
        }
    }
}

/// The text of an error without its place in the input.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}
