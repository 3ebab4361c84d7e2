//! What the client makes of answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;

/// A service that gives one answer to everything and counts how often it was asked.
struct Parrot {
    asked: AtomicU64,
    status: StatusCode,
    body: Value,
}

async fn answer(State(parrot): State<Arc<Parrot>>) -> Response {
    parrot.asked.fetch_add(1, Ordering::SeqCst);
    (parrot.status, Json(parrot.body.clone())).into_response()
}

async fn parrot(status: StatusCode, body: Value) -> (Arc<Parrot>, Retailer) {
    let parrot = Arc::new(Parrot { asked: 0.into(), status, body });
    let routes = axum::Router::new().fallback(answer).with_state(parrot.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut endpoints = Endpoints::default();
    endpoints.services.values_mut().for_each(|service| service.clone_from(&url));
    (parrot, Retailer::new(endpoints).with_patience(Duration::from_millis(300)))
}

fn sku() -> Sku {
    Sku::new("p-1").unwrap()
}

#[tokio::test]
async fn a_command_without_a_key_is_never_repeated() {
    let (parrot, retailer) = parrot(StatusCode::SERVICE_UNAVAILABLE, json!({})).await;
    let added = retailer.add_to_cart(Uuid::now_v7(), &sku(), 1).await;
    assert!(matches!(added, Err(ClientError::Unreachable { .. })), "{added:?}");
    assert_eq!(parrot.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_command_with_a_key_is_repeated_for_a_bounded_time() {
    let (parrot, retailer) = parrot(StatusCode::SERVICE_UNAVAILABLE, json!({})).await;
    let placed = retailer.check_out(Uuid::now_v7(), Uuid::now_v7()).await;
    assert!(matches!(placed, Err(ClientError::Unreachable { .. })), "{placed:?}");
    assert!(parrot.asked.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_refusal_names_every_wrong_place_and_is_not_repeated() {
    let places = json!([{ "pointer": "/lines/0/quantity", "detail": "is zero" }]);
    let problem = json!({ "code": "invalid_quantity", "detail": "No.", "errors": places });
    let (parrot, retailer) = parrot(StatusCode::UNPROCESSABLE_ENTITY, problem).await;
    let refused = retailer.check_out(Uuid::now_v7(), Uuid::now_v7()).await.unwrap_err();
    assert_eq!(refused.to_string(), "No. /lines/0/quantity: is zero (invalid_quantity)");
    assert_eq!(parrot.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_not_there_is_told_from_a_path_that_is_not_there() {
    let problem = json!({ "code": "unknown_sku", "detail": "There is no article." });
    let (_, retailer) = parrot(StatusCode::NOT_FOUND, problem).await;
    let missing = retailer.product(&sku()).await;
    assert!(matches!(missing, Err(ClientError::NotFound { .. })), "{missing:?}");
    let (_, retailer) = parrot(StatusCode::NOT_FOUND, json!("no problem+json")).await;
    let foreign = retailer.product(&sku()).await;
    assert!(matches!(foreign, Err(ClientError::Failed { .. })), "{foreign:?}");
}

#[tokio::test]
async fn an_answer_of_another_kind_is_a_failure_of_the_service() {
    let (_, retailer) = parrot(StatusCode::OK, json!({ "surprise": 1 })).await;
    let garbled = retailer.product(&sku()).await;
    assert!(matches!(garbled, Err(ClientError::Failed { .. })), "{garbled:?}");
}

#[tokio::test]
async fn nobody_at_the_port_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut endpoints = Endpoints::default();
    endpoints.services.insert("catalogue".to_owned(), url);
    let retailer = Retailer::new(endpoints).with_patience(Duration::ZERO);
    let product = retailer.product(&sku()).await;
    assert!(matches!(product, Err(ClientError::Unreachable { .. })), "{product:?}");
}
