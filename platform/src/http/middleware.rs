//! What surrounds every handler: who asks, its span and duration, limits of size and time, and
//! the last word on errors. A handler never sees half a body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use millrace_contract::TraceContext;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::Place;
use super::{Caller, Problem};
use crate::config;
use crate::telemetry::{Metrics, Tracing, parse_traceparent, traceparent};

/// A request that asks for news in this way takes as long as it wants to wait.
const WAIT: &str = "wait=";
const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_MAX: usize = 128;
const TRACEPARENT: &str = "traceparent";
/// Tells the client in which trace its request was handled.
const TRACERESPONSE: &str = "traceresponse";
/// Label of requests that match no route.
const NO_ROUTE: &str = "unmatched";

/// What the middleware needs of its service.
pub(super) struct Guard {
    pub(super) service: &'static str,
    pub(super) limits: config::Http,
    pub(super) metrics: Metrics,
    pub(super) tracing: Tracing,
    /// Routes of the platform itself: probes leave no spans.
    pub(super) untraced: &'static [&'static str],
    /// Places for requests to the service's own routes.
    pub(super) places: Semaphore,
}

/// Serves one request under the limits, as a span, and answers errors as problems.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = known(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(NO_ROUTE, |matched| matched.as_str());
    let path = request.uri().path().to_owned();
    let tracing = match guard.untraced.contains(&route) {
        true => &Tracing::off(),
        false => &guard.tracing,
    };
    let parent = header_text(request.headers(), TRACEPARENT).and_then(parse_traceparent);
    let mut span = tracing.server(method, route, parent);
    let context = span.context();
    let request_id = request_id(request.headers());
    let span_context = context.is_valid().then(|| context.clone());
    let trace_id = span_context.as_ref().map(|context| context.trace_id().to_string());
    let caller = Caller::new(span_context.clone(), request_id.clone());
    request.extensions_mut().insert(caller);
    let around = opentelemetry::Context::new().with_remote_span_context(context);
    let logged =
        tracing::error_span!("request", service = guard.service, route, trace_id, request_id);
    let place = match guard.untraced.contains(&route) {
        true => None,
        false => Some(guard.places.try_acquire()),
    };
    let handled = async {
        match place {
            Some(Err(_)) => crowded(),
            _ => limited(&guard.limits, request, next).await,
        }
    };
    let handled = handled.instrument(logged);
    let answer = handled.with_context(around).await;
    let mut answer = explained(answer, &Place { path: &path, trace_id: trace_id.as_deref() });
    let id = HeaderValue::from_str(&request_id).expect("checked to be visible ASCII");
    answer.headers_mut().insert(REQUEST_ID, id);
    if let Some(TraceContext(text)) = span_context.as_ref().map(traceparent) {
        let text = HeaderValue::from_str(&text).expect("a trace context is hexadecimal");
        answer.headers_mut().insert(TRACERESPONSE, text);
    }
    let status = answer.status().as_u16();
    span.answered(status);
    guard.metrics.http(method, route, status, begun.elapsed());
    answer
}

/// Refused before anything of it is read: whoever is in already is finished first.
fn crowded() -> Response {
    let detail = "The service has more to do than it can. Try again.";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
    closing(problem.retry_after(1))
}

/// Reads the whole body, then runs the handler, both against the clock.
async fn limited(limits: &config::Http, request: Request, next: Next) -> Response {
    let waits = request.uri().query().is_some_and(|query| query.contains(WAIT));
    let patience = if waits { limits.request_timeout } else { limits.answer_timeout };
    let handled = async {
        let (parts, body) = request.into_parts();
        let body = match whole(body, limits.body_bytes_max, limits.body_timeout).await {
            Ok(body) => body,
            Err(problem) => return closing(problem),
        };
        let answer = next.run(Request::from_parts(parts, Body::from(body)));
        tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| late())
    };
    let handled = AssertUnwindSafe(handled).catch_unwind();
    match tokio::time::timeout(limits.request_timeout, handled).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => late(),
    }
}

fn late() -> Response {
    let detail = "The request took too long and was given up.";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail).into_response()
}

async fn whole(body: Body, bytes_max: usize, deadline: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(deadline, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("The body is larger than {bytes_max} bytes.");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Ok(Err(_)) => {
            let detail = "The body ended before it was complete.";
            Err(Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", detail))
        }
        Err(_) => {
            let detail = format!("The body did not arrive within {deadline:?}.");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail))
        }
    }
}

/// The rest of the body is on its way and nobody reads it: this connection is done.
fn closing(problem: Problem) -> Response {
    let mut answer = problem.into_response();
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Tells a problem its path and trace, and makes one of any error that is not JSON already.
fn explained(mut answer: Response, place: &Place<'_>) -> Response {
    let status = answer.status();
    if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        return problem.render(Some(place), answer);
    }
    let json = header_text(answer.headers(), header::CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.contains("json"));
    if json || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    Problem::of_status(status).render(Some(place), answer)
}

/// The client's id when it is harmless in a log, else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match header_text(headers, REQUEST_ID).filter(harmless) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().to_string(),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Methods as labels: a made-up one is no series of its own.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
