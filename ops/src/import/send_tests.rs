//! Sending: bounded, interruptible, and safe to do again.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::super::{FileFormat, Kind, read};
use super::*;
use crate::Endpoints;

const AT: &str = "2026-11-20T10:15:00Z";

/// Services that remember what they are told.
#[derive(Default)]
struct Shop {
    /// Bodies by idempotency key.
    requests: Mutex<HashMap<String, Value>>,
    /// How many requests are being answered, and how many at most were.
    busy: Mutex<(usize, usize)>,
    /// Articles that are not sold.
    unknown: Option<&'static str>,
    /// How often they do not answer before they do.
    away: AtomicU64,
    /// How often an article is unknown to orders before it is known.
    lag: AtomicU64,
}

impl Shop {
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.requests.lock().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }
}

async fn take(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let away = shop.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if away.is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let lag = shop.lag.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if lag.is_ok() {
        let problem = json!({ "code": "unknown_sku", "detail": "No.", "errors": [] });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response();
    }
    {
        let mut busy = shop.busy.lock().unwrap();
        busy.0 += 1;
        busy.1 = busy.1.max(busy.0);
    }
    tokio::task::yield_now().await;
    shop.busy.lock().unwrap().0 -= 1;
    let lines = body["lines"].as_array().or(body["receipts"].as_array());
    let unknown = lines
        .into_iter()
        .flatten()
        .position(|line| shop.unknown.is_some_and(|unknown| line["sku"] == unknown));
    if let Some(n) = unknown {
        let place =
            json!({ "pointer": format!("/receipts/{n}/sku"), "detail": "is no sku of ours" });
        let problem = json!({ "code": "no_such_sku", "detail": "No.", "errors": [place] });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response();
    }
    let key = headers["idempotency-key"].to_str().unwrap().trim_matches('"').to_owned();
    let before = shop.requests.lock().unwrap().insert(key.clone(), body.clone());
    assert!(before.is_none_or(|before| before == body), "one key, one body");
    let placed = json!({ "order_id": key, "status": "placed", "follow": "/" });
    (StatusCode::ACCEPTED, Json(placed)).into_response()
}

async fn product(Path(sku): Path<String>) -> Json<Value> {
    Json(json!({ "withdrawn": sku == "p-9" }))
}

async fn view(Path(order): Path<String>) -> Json<Value> {
    Json(json!({
        "order_id": order, "status": "confirmed", "customer_id": "c-1", "store_id": "s-1",
        "lines": [], "total": null, "placed_at": AT, "closed_at": "2026-11-20T10:15:00.25Z",
        "updated_at": AT, "missing": [], "reason": null, "settled": true, "version": 2,
        "history": [],
    }))
}

async fn open(shop: Arc<Shop>) -> Retailer {
    let routes = axum::Router::new()
        .route("/v1/orders", post(take))
        .route("/v1/orders/{order}", get(view))
        .route("/v1/products/{sku}", get(product))
        .route("/v1/stock-receipts", post(take))
        .with_state(shop);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut endpoints = Endpoints::default();
    endpoints.services.values_mut().for_each(|service| service.clone_from(&url));
    Retailer::new(endpoints)
}

fn orders(count: usize) -> Checked {
    let line = |n| format!("o-{n},c-1,s-1,p-{n},1,{AT}\n");
    let lines: String = (0..count).map(line).collect();
    let text = format!("order_ref,customer,store,sku,quantity,placed_at\n{lines}");
    read(Kind::Orders, FileFormat::Csv, text.as_bytes()).unwrap()
}

fn stock(count: usize) -> Checked {
    let lines: String = (0..count).map(|n| format!("s-1,p-{n},1\n")).collect();
    let text = format!("store,sku,quantity\n{lines}");
    read(Kind::Stock, FileFormat::Csv, text.as_bytes()).unwrap()
}

fn options(in_flight: usize, follow: bool) -> Options {
    Options { in_flight, follow: follow.then_some(Duration::from_secs(30)), reference: None }
}

async fn run(file: Checked, retailer: &Retailer, options: &Options) -> (Report, Vec<RefusedRow>) {
    let (stop, refused) = (CancellationToken::new(), Mutex::new(vec![]));
    let tell = |row| refused.lock().unwrap().push(row);
    let report = send(file, retailer, options, &Progress::default(), &stop, &tell).await;
    (report, refused.into_inner().unwrap())
}

#[tokio::test]
async fn a_file_that_is_sent_twice_has_the_same_keys() {
    let shop = Arc::new(Shop::default());
    let retailer = open(shop.clone()).await;
    for file in [orders, stock] {
        let (first, _) = run(file(30), &retailer, &options(8, false)).await;
        let keys = shop.keys();
        let (second, _) = run(file(30), &retailer, &options(8, false)).await;
        assert_eq!((first.taken, second.taken), (30, 30));
        assert_eq!(shop.keys(), keys);
    }
}

#[tokio::test]
async fn another_delivery_has_other_keys() {
    let shop = Arc::new(Shop::default());
    let retailer = open(shop.clone()).await;
    run(stock(5), &retailer, &options(8, false)).await;
    run(stock(6), &retailer, &options(8, false)).await;
    let named = Options { reference: Some("monday".to_owned()), ..options(8, false) };
    run(stock(5), &retailer, &named).await;
    assert_eq!(shop.keys().len(), 3);
}

#[tokio::test]
async fn no_more_orders_are_on_their_way_than_allowed() {
    let shop = Arc::new(Shop::default());
    let retailer = open(shop.clone()).await;
    run(orders(200), &retailer, &options(4, false)).await;
    let most = shop.busy.lock().unwrap().1;
    assert!((1..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn followed_orders_are_counted_by_their_end() {
    let retailer = open(Arc::new(Shop::default())).await;
    let (report, _) = run(orders(20), &retailer, &options(8, true)).await;
    let times = Times { p50_ms: 250, p95_ms: 250, max_ms: 250 };
    let confirmed = Outcome { outcome: "confirmed".to_owned(), orders: 20, times };
    assert_eq!(report.outcomes, [confirmed]);
}

#[tokio::test]
async fn a_refused_order_is_told_by_its_line_and_the_others_go_on() {
    let retailer = open(Arc::new(Shop { unknown: Some("p-3"), ..Shop::default() })).await;
    let (report, refused) = run(orders(10), &retailer, &options(2, false)).await;
    assert_eq!((report.taken, report.refused), (9, 1));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].line, 5);
    assert!(refused[0].reason.contains("no_such_sku"), "{}", refused[0].reason);
}

#[tokio::test]
async fn every_row_of_a_refused_request_is_told() {
    let retailer = open(Arc::new(Shop { unknown: Some("p-600"), ..Shop::default() })).await;
    let (report, refused) = run(stock(1100), &retailer, &options(1, false)).await;
    assert_eq!((report.taken, report.refused), (600, 500));
    let lines: Vec<u64> = refused.iter().map(|row| row.line).collect();
    assert_eq!(lines, (502..1002).collect::<Vec<_>>());
    assert_eq!(refused[100].reason, "is no sku of ours");
    assert_eq!(refused[0].reason, "was sent together with line 602, which is wrong");
}

#[tokio::test]
async fn a_service_that_is_away_for_a_moment_is_waited_for() {
    let retailer = open(Arc::new(Shop { away: 3.into(), ..Shop::default() })).await;
    let (report, refused) = run(orders(10), &retailer, &options(1, false)).await;
    assert_eq!((report.taken, refused.len()), (10, 0));
}

#[tokio::test]
async fn an_article_that_only_the_catalogue_knows_yet_is_waited_for() {
    let retailer = open(Arc::new(Shop { lag: 5.into(), ..Shop::default() })).await;
    let (report, _) = run(orders(5), &retailer, &options(1, false)).await;
    assert_eq!((report.taken, report.refused), (5, 0));
}

#[tokio::test]
async fn an_article_that_is_not_sold_is_refused_at_once() {
    let retailer = open(Arc::new(Shop { lag: u64::MAX.into(), ..Shop::default() })).await;
    let mut file = orders(10);
    let Rows::Orders(orders) = &mut file.rows else { panic!() };
    orders.drain(..9);
    let (report, refused) = run(file, &retailer, &options(1, false)).await;
    assert_eq!((report.taken, report.refused, refused[0].line), (0, 1, 11));
}

#[tokio::test]
async fn a_service_that_stays_away_ends_the_sending() {
    let retailer = open(Arc::new(Shop { away: u64::MAX.into(), ..Shop::default() })).await;
    let retailer = retailer.with_patience(Duration::from_millis(20));
    let (report, _) = run(orders(10), &retailer, &options(2, false)).await;
    assert!(matches!(report.failure, Some(ClientError::Unreachable { .. })));
    assert_eq!(report.taken, 0);
}

#[tokio::test]
async fn nothing_more_is_sent_after_the_stop() {
    let shop = Arc::new(Shop::default());
    let retailer = open(shop.clone()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let report =
        send(orders(10), &retailer, &options(2, false), &Progress::default(), &stop, &|_| ()).await;
    assert_eq!((report.taken, report.failure), (0, None));
    assert!(shop.keys().is_empty());
}

#[test]
fn times_are_by_nearest_rank() {
    let all = |times: &[u32]| Times::of(&mut times.to_vec());
    assert_eq!(all(&[]), Times::default());
    assert_eq!(all(&[7]), Times { p50_ms: 7, p95_ms: 7, max_ms: 7 });
    let hundred: Vec<u32> = (1..=100).rev().collect();
    assert_eq!(all(&hundred), Times { p50_ms: 50, p95_ms: 95, max_ms: 100 });
}
