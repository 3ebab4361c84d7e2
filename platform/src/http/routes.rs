//! The router of a service: its own routes, and those every service has.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use super::middleware::{Guard, guard};
use super::openapi::described;
use super::problem::page;
use super::{Json, Path, Problem};
use crate::config;
use crate::health::Health;
use crate::telemetry::{Metrics, Tracing};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OWN: [&str; 7] =
    ["/livez", "/readyz", "/startupz", "/metrics", "/openapi.json", "/problems/{code}", "/version"];

#[derive(Serialize)]
struct Version {
    service: &'static str,
    version: &'static str,
}

/// `/readyz?verbose`: every condition by name, `ok` or the reason why not.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    conditions: BTreeMap<String, String>,
}

/// The whole HTTP interface of a service.
#[expect(clippy::too_many_arguments, reason = "called once, where a service is mounted")]
pub(crate) fn router<S>(
    name: &'static str,
    about: &'static str,
    routes: OpenApiRouter<S>,
    state: S,
    health: Health,
    metrics: Metrics,
    tracing: Tracing,
    limits: &config::Http,
) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let (own, document) = routes.split_for_parts();
    let document = Arc::new(described(name, about, document));
    let (ready, started, shown) = (health.clone(), health, metrics.clone());
    let version = env!("CARGO_PKG_VERSION");
    let limits = limits.clone();
    let places = Semaphore::new(limits.requests_max);
    let layer = Arc::new(Guard { service: name, limits, metrics, tracing, untraced: &OWN, places });
    own.with_state(state)
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(async move |query: RawQuery| readyz(&ready, &query)))
        .route("/startupz", get(async move || startupz(&started)))
        .route(
            "/metrics",
            get(async move || ([(header::CONTENT_TYPE, OPENMETRICS)], shown.encode())),
        )
        .route("/openapi.json", get(async move || Json(document.as_ref()).into_response()))
        .route("/problems/{code}", get(async |Path(code): Path<String>| explained(&code)))
        .route("/version", get(async move || Json(Version { service: name, version })))
        .layer(axum::middleware::from_fn_with_state(layer, guard))
}

fn readyz(health: &Health, RawQuery(query): &RawQuery) -> Response {
    let ready = health.ready();
    if query.as_deref().is_some_and(|query| query.starts_with("verbose")) {
        let state =
            |(name, reason): (String, Option<String>)| (name, reason.unwrap_or("ok".into()));
        let mut conditions: BTreeMap<_, _> = health.conditions().into_iter().map(state).collect();
        conditions.extend(ready.clone().err().unwrap_or_default());
        let status = if ready.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        return (status, Json(Readiness { ready: ready.is_ok(), conditions })).into_response();
    }
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(_) => not_yet("not_ready", "The service is not ready; ask /readyz?verbose why."),
    }
}

fn startupz(health: &Health) -> Response {
    match health.started() {
        true => "started\n".into_response(),
        false => not_yet("not_started", "The service has not been ready yet."),
    }
}

fn explained(code: &str) -> Response {
    match page(code) {
        Some(text) => text.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn not_yet(code: &'static str, detail: &str) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1).into_response()
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
