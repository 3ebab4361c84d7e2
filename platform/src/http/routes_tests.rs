//! Tests of everything that surrounds handlers, through the whole router of a service.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use utoipa_axum::routes;

use super::*;
use crate::http::{Caller, IdempotencyKey, Query};
use crate::{Config, Fault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: String,
    quantity: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Page {
    limit: u8,
}

#[utoipa::path(post, path = "/v1/orders", responses((status = 200)))]
async fn place(Json(order): Json<Order>) -> Json<Value> {
    let total: u32 = order.lines.iter().map(|line| line.quantity).sum();
    Json(json!({ "total": total, "first": order.lines[0].sku }))
}

#[utoipa::path(get, path = "/v1/orders/{number}", params(("number" = u64, Path)), responses((status = 200)))]
async fn show(Path(number): Path<u64>, Query(page): Query<Page>) -> Json<Value> {
    Json(json!({ "number": number, "limit": page.limit }))
}

#[utoipa::path(get, path = "/v1/key", responses((status = 200)))]
async fn key(key: IdempotencyKey) -> Json<Value> {
    Json(json!({ "key": key.key, "scope": key.scope }))
}

#[utoipa::path(get, path = "/v1/caller", responses((status = 200)))]
async fn caller(caller: Caller) -> Json<Value> {
    let span = caller.span().map(|span| span.trace_id().to_string());
    Json(json!({ "trace_id": span, "request_id": caller.request_id() }))
}

#[utoipa::path(get, path = "/v1/fail/{how}", params(("how" = String, Path)), responses((status = 200)))]
async fn fail(
    State(Hands { never, .. }): State<Hands>,
    Path(how): Path<String>,
) -> Result<Json<Value>, Problem> {
    match how.as_str() {
        "panic" => panic!("planted"),
        "transient" => Err(Fault::transient("db-host:5432 refused"))?,
        "poison" => Err(Fault::poison("row 7 of secrets"))?,
        "hang" => tokio::time::sleep(never).await,
        "refused" => {
            let problem = Problem::new(StatusCode::CONFLICT, "out_of_stock", "Only 2 are left.");
            return Err(problem.at("/lines/0/quantity", "is 3"));
        }
        _ => return Err(Problem::new(StatusCode::IM_A_TEAPOT, "teapot", "short and stout")),
    }
    Ok(Json(json!({})))
}

#[utoipa::path(post, path = "/v1/any", responses((status = 200)))]
async fn any(Json(value): Json<Value>) -> Json<Value> {
    Json(value)
}

#[utoipa::path(get, path = "/v1/plain", responses((status = 200)))]
async fn plain() -> (StatusCode, &'static str) {
    (StatusCode::GONE, "gone for good")
}

/// Waits until it is let go.
#[utoipa::path(get, path = "/v1/busy", responses((status = 200)))]
async fn busy(State(hands): State<Hands>) -> &'static str {
    hands.entered.add_permits(1);
    hands.go.acquire().await.unwrap().forget();
    "done"
}

/// What the handlers of these tests share with them.
#[derive(Clone)]
struct Hands {
    never: Duration,
    entered: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

fn all() -> OpenApiRouter<Hands> {
    OpenApiRouter::new()
        .routes(routes!(place))
        .routes(routes!(show))
        .routes(routes!(key))
        .routes(routes!(caller))
        .routes(routes!(fail))
        .routes(routes!(any))
        .routes(routes!(plain))
        .routes(routes!(busy))
}

struct World {
    router: Router,
    health: Health,
    metrics: Metrics,
    hands: Hands,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl World {
    fn new() -> Self {
        Self::with(config::Http {
            body_bytes_max: 256,
            body_timeout: Duration::from_millis(50),
            request_timeout: Duration::from_millis(100),
            ..config::Http::default()
        })
    }

    fn with(limits: config::Http) -> Self {
        let (health, metrics) = (Health::new(), Metrics::new("shop", "retail.shop", "0"));
        let tracing = Tracing::start("shop", &Config::default(), "0");
        let (entered, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let hands = Hands { never: Duration::from_secs(3600), entered, go };
        let (h, m) = (health.clone(), metrics.clone());
        let router = router("shop", "Sells.", all(), hands.clone(), h, m, tracing, &limits);
        Self { router, health, metrics, hands }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, kind: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post("/v1/orders").header("content-type", kind);
        self.send(request.body(body.into()).unwrap()).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a whole problem and gives its body.
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
        assert!(body["instance"].as_str().unwrap().starts_with('/'));
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        body
    }
}

const JSON: &str = "application/json";

#[tokio::test]
async fn a_good_request_is_handled() {
    let world = World::new();
    let answer = world.post("application/json; charset=utf-8", ORDER).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "total": 2, "first": "a" })));
    let answer = world.get("/v1/orders/7?limit=3", &[]).await;
    assert_eq!(answer.json(), json!({ "number": 7, "limit": 3 }));
}

const ORDER: &str = r#"{"lines":[{"sku":"a","quantity":2}]}"#;

#[tokio::test]
async fn a_body_that_is_no_json_is_malformed() {
    let world = World::new();
    for body in ["", "{", "{\"lines\":[]} x", "{\"lines\":[}", "\u{feff}{}", "NaN"] {
        let answer = world.post(JSON, body.to_owned()).await;
        answer.problem(400, "malformed_json");
    }
    let (deep, bytes) = ("[".repeat(200).into_bytes(), vec![b'"', 0xff, b'"']);
    for body in [deep, bytes] {
        let request = Request::post("/v1/any").header("content-type", JSON);
        world.send(request.body(body.into()).unwrap()).await.problem(400, "malformed_json");
    }
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_pointed_at() {
    let world = World::new();
    for (body, pointer, detail) in [
        (r#"{"lines":[{"sku":"a","quantity":-1}]}"#, "/lines/0/quantity", "invalid value"),
        (r#"{"lines":[{"sku":"a","quantity":1},{"sku":2}]}"#, "/lines/1/sku", "invalid type"),
        (r#"{"lines":[{"sku":"a","quantity":1e99}]}"#, "/lines/0/quantity", "invalid type"),
        (r#"{"lines":[{"sku":"a"}]}"#, "/lines/0", "missing field `quantity`"),
        (r#"{"lines":[],"a/b~c":1}"#, "/a~1b~0c", "unknown field"),
    ] {
        let problem = world.post(JSON, body).await.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        let found = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(found.starts_with(detail) && !found.contains(" at line "), "{found}");
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_not_guessed_at() {
    let world = World::new();
    for kind in ["text/plain", "text/json", "application/x-www-form-urlencoded", ""] {
        world.post(kind, ORDER).await.problem(415, "unsupported_media_type");
    }
    assert_eq!(world.post("application/vnd.shop+json", ORDER).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() {
    let world = World::new();
    let answer = world.post(JSON, "x".repeat(257)).await;
    answer.problem(413, "body_too_large");
    assert_eq!(answer.header("connection"), "close");
    let pieces = futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    world.post(JSON, Body::from_stream(pieces)).await.problem(413, "body_too_large");
    let exact = format!("{ORDER:<256}");
    assert_eq!(world.post(JSON, exact).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new();
    let never = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    world.post(JSON, never).await.problem(408, "slow_body");
    let broken = futures::stream::iter([Err::<String, _>(std::io::Error::other("reset"))]);
    world.post(JSON, Body::from_stream(broken)).await.problem(400, "incomplete_body");
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_told() {
    let world = World::new();
    for path in ["/v1/orders/x?limit=1", "/v1/orders/-1?limit=1", "/v1/orders/%ff?limit=1"] {
        world.get(path, &[]).await.problem(400, "invalid_path");
    }
    for path in ["/v1/orders/1", "/v1/orders/1?limit=300", "/v1/orders/1?limit=1&limit=2"] {
        let problem = world.get(path, &[]).await.problem(400, "invalid_query");
        assert!(problem["detail"].as_str().unwrap().contains("limit"), "{problem}");
        assert_eq!(problem["instance"], "/v1/orders/1");
    }
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems_too() {
    let world = World::new();
    world.get("/v2/orders", &[]).await.problem(404, "not_found");
    for method in [Method::DELETE, Method::from_bytes(b"BREW").unwrap()] {
        let request = Request::builder().method(method).uri("/v1/orders");
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "POST");
    }
}

#[tokio::test]
async fn what_a_handler_refuses_is_told_in_full() {
    let problem = World::new().get("/v1/fail/refused", &[]).await.problem(409, "out_of_stock");
    assert_eq!(problem["title"], "Out of stock");
    assert_eq!(problem["detail"], "Only 2 are left.");
    assert_eq!(problem["errors"], json!([{ "pointer": "/lines/0/quantity", "detail": "is 3" }]));
    let bare = World::new().get("/v1/fail/other", &[]).await.problem(418, "teapot");
    assert_eq!(bare.get("errors"), None);
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_page() {
    let world = World::new();
    let mut pages = vec![];
    for path in ["/v1/key", "/v1/fail/panic", "/v1/fail/other", "/v2"] {
        let problem = world.get(path, &[]).await.json();
        let page = world.get(problem["type"].as_str().unwrap(), &[]).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/plain; charset=utf-8"));
        assert!(page.text.starts_with(problem["title"].as_str().unwrap()), "{}", page.text);
        pages.push(page.text.lines().last().unwrap().to_owned());
    }
    assert!(pages[0].contains("Idempotency-Key") && pages[1].contains("trace_id"), "{pages:?}");
    let long = format!("/problems/{}", "x".repeat(65));
    for path in ["/problems/", "/problems/%3Cb%3E", "/problems/a/b", "/problems/%00", &long] {
        let answer = world.get(path, &[]).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{path}");
    }
}

#[tokio::test]
async fn what_goes_wrong_inside_is_not_told() {
    let world = World::new();
    let answer = world.get("/v1/fail/transient", &[]).await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.text.contains("5432"), "{}", answer.text);
    for how in ["poison", "panic"] {
        let answer = world.get(&format!("/v1/fail/{how}"), &[]).await;
        answer.problem(500, "internal");
        assert!(!answer.text.contains("secrets") && !answer.text.contains("planted"));
    }
}

#[tokio::test]
async fn a_handler_that_hangs_is_given_up() {
    World::new().get("/v1/fail/hang", &[]).await.problem(504, "timeout");
}

#[tokio::test]
async fn a_handler_has_less_time_unless_the_request_asks_to_wait() {
    let answer_timeout = Duration::from_millis(50);
    let world = World::with(config::Http { answer_timeout, ..config::Http::default() });
    world.get("/v1/fail/hang", &[]).await.problem(504, "timeout");
    let mut waiting = Box::pin(world.get("/v1/busy?wait=10s", &[]));
    let early = tokio::time::timeout(answer_timeout * 4, &mut waiting).await;
    assert!(early.is_err(), "it was not given the time it asked for");
    world.hands.go.add_permits(1);
    assert_eq!(waiting.await.status, 200);
}

#[tokio::test]
async fn overload_is_refused_at_once_and_what_is_in_hand_is_finished() {
    let requests_max = 10;
    let world = World::with(config::Http { requests_max, ..config::Http::default() });
    let mut held = futures::stream::FuturesUnordered::new();
    (0..requests_max).for_each(|_| held.push(world.get("/v1/busy", &[])));
    // They run until each of them waits inside its handler.
    assert!(futures::poll!(held.next()).is_pending());
    assert_eq!(world.hands.entered.available_permits(), requests_max);
    for _ in 0..10 * requests_max {
        let answer = world.get("/v1/orders/1?limit=1", &[]).await;
        answer.problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(world.get("/livez", &[]).await.status, 200, "probes are not refused");
    assert_eq!(world.get("/metrics", &[]).await.status, 200);
    world.hands.go.add_permits(requests_max);
    let answers: Vec<Answer> = held.collect().await;
    assert!(answers.iter().all(|answer| (answer.status, answer.text.as_str()) == (200, "done")));
    assert_eq!(world.get("/v1/orders/1?limit=1", &[]).await.status, 200);
}

#[tokio::test]
async fn texts_come_as_they_were_sent_and_nul_is_refused() {
    let world = World::new();
    let any = async |body: String| {
        let request = Request::post("/v1/any").header("content-type", JSON);
        world.send(request.body(body.into()).unwrap()).await
    };
    for text in ODD_TEXTS {
        let answer = any(json!({ "text": text }).to_string()).await;
        assert_eq!((answer.status, &answer.json()["text"]), (200, &json!(text)));
    }
    for nul in [r#""\u0000""#, r#"{"a":["x\u0000"]}"#, r#"{"\u0000":1}"#, r#""\\\u0000""#] {
        any(nul.to_owned()).await.problem(422, "invalid_body");
    }
    for harmless in [r#""\\u0000""#, r#""\u00001""#.replace("00001", "00011").as_str()] {
        assert_eq!(any(harmless.to_owned()).await.status, 200, "{harmless}");
    }
    for malformed in ["\"\0\"", r#""\ud800""#, "\"\u{7}\"", "\"\n\""] {
        any(malformed.to_owned()).await.problem(400, "malformed_json");
    }
    world.get("/v1/orders/1?limit=1&x=%00", &[]).await.problem(400, "invalid_query");
}

/// What somebody may write into any field.
const ODD_TEXTS: [&str; 7] = [
    "'; DROP TABLE orders; --",
    "a\r\nset-cookie: b=c",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}txt.exe",
    "\u{feff}\u{200b}",
    "${jndi:ldap://x}{{7*7}}%s%n",
    "\u{1f600}\u{10ffff}",
];

#[tokio::test]
async fn a_body_that_says_the_same_twice_or_counts_beyond_reason_is_refused() {
    let world = World::new();
    let twice = r#"{"lines":[{"sku":"a","sku":"b","quantity":1}]}"#;
    world.post(JSON, twice).await.problem(422, "invalid_body");
    for huge in ["1e999", "18446744073709551616", "-1e999"] {
        let body = format!(r#"{{"lines":[{{"sku":"a","quantity":{huge}}}]}}"#);
        let status = world.post(JSON, body).await.status;
        assert!([400, 422].contains(&status), "{huge}: {status}");
    }
    let packed = Request::post("/v1/orders").header("content-type", JSON);
    let packed = packed.header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8, 0].into());
    world.send(packed.unwrap()).await.problem(415, "unsupported_encoding");
}

#[tokio::test]
async fn a_plain_error_of_a_handler_becomes_a_problem() {
    World::new().get("/v1/plain", &[]).await.problem(410, "gone");
}

#[tokio::test]
async fn an_idempotency_key_is_a_token_in_a_scope() {
    let world = World::new();
    world.get("/v1/key", &[]).await.problem(400, "idempotency_key_missing");
    let longest = "x".repeat(128);
    for (sent, wanted) in [("k-1", "k-1"), ("\"k-1\"", "k-1"), (longest.as_str(), longest.as_str())]
    {
        let answer = world.get("/v1/key", &[("idempotency-key", sent)]).await;
        assert_eq!(answer.json(), json!({ "key": wanted, "scope": "anonymous" }));
    }
    let too_long = "x".repeat(129);
    for bad in ["", "\"\"", "a b", "\"a", "a\"", "a\"b", "\"a\\\"", "\t", &too_long] {
        let answer = world.get("/v1/key", &[("idempotency-key", bad)]).await;
        answer.problem(400, "idempotency_key_invalid");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    world.get("/v1/key", &twice).await.problem(400, "idempotency_key_invalid");
}

#[tokio::test]
async fn scopes_differ_by_api_key_and_do_not_contain_it() {
    let world = World::new();
    let scope = async |key: &str| {
        let answer = world.get("/v1/key", &[("idempotency-key", "k"), ("x-api-key", key)]).await;
        answer.json()["scope"].as_str().unwrap().to_owned()
    };
    let (ours, theirs) = (scope("partner-one").await, scope("partner-two").await);
    assert_eq!(ours, scope("partner-one").await);
    assert_ne!(ours, theirs);
    assert!(ours.len() == 32 && !ours.contains("partner"));
}

#[tokio::test]
async fn the_callers_trace_and_request_id_are_kept_when_they_are_sound() {
    let world = World::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sound = [("traceparent", parent), ("x-request-id", "abc")];
    let answer = world.get("/v1/caller", &sound).await;
    assert_eq!(answer.json()["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(answer.json()["request_id"], "abc");
    assert_eq!(answer.header("x-request-id"), "abc");
    assert_eq!(answer.header("traceresponse"), parent);
    let long = "x".repeat(129);
    let unsound = [("traceparent", "00-0-0-01"), ("x-request-id", long.as_str())];
    let answer = world.get("/v1/caller", &unsound).await;
    assert_ne!(answer.json()["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(answer.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn health_is_three_questions() {
    let world = World::new();
    let database = world.health.condition("database");
    database.not("no answer from db-host");
    assert_eq!(world.get("/livez", &[]).await.status, 200);
    let answer = world.get("/readyz", &[]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], "not_ready");
    assert_eq!(answer.json().get("trace_id"), None);
    assert!(!answer.text.contains("db-host"));
    assert_eq!(world.get("/startupz", &[]).await.json()["code"], "not_started");
    let verbose = world.get("/readyz?verbose", &[]).await;
    let conditions = json!({ "database": "no answer from db-host" });
    assert_eq!(verbose.json(), json!({ "ready": false, "conditions": conditions }));
    database.ok();
    for path in ["/readyz", "/startupz", "/readyz?verbose=1"] {
        assert_eq!(world.get(path, &[]).await.status, 200, "{path}");
    }
    world.health.drain();
    assert_eq!(world.get("/startupz", &[]).await.status, 200);
    let verbose = world.get("/readyz?verbose", &[]).await;
    let conditions = json!({ "database": "ok", "shutdown": "draining" });
    assert_eq!((verbose.status, verbose.json()["conditions"].clone()), (503, conditions));
}

#[tokio::test]
async fn made_up_paths_and_methods_make_no_series() {
    let world = World::new();
    let series = || world.metrics.encode().lines().filter(|line| line.starts_with("http_")).count();
    world.get("/nowhere/0", &[]).await;
    world.get("/v1/orders/0?limit=1", &[]).await;
    let before = series();
    for number in 1..100 {
        world.get(&format!("/nowhere/{number}"), &[]).await;
        world.get(&format!("/v1/orders/{number}?limit=1"), &[]).await;
    }
    assert_eq!(series(), before);
    let text = world.get("/metrics", &[]).await;
    assert!(text.header("content-type").starts_with("application/openmetrics-text"));
    assert!(text.text.contains(r#"http_route="/v1/orders/{number}""#), "{}", text.text);
    assert!(text.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_document_names_the_service_and_its_problems() {
    let world = World::new();
    let document = world.get("/openapi.json", &[]).await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "shop");
    assert_eq!(document["info"]["description"], "Sells.");
    let default = &document["paths"]["/v1/orders"]["post"]["responses"]["default"];
    let schema = &default["content"]["application/problem+json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Problem");
    let problem = &document["components"]["schemas"]["Problem"]["properties"];
    for field in ["type", "title", "status", "detail", "instance", "code", "trace_id", "errors"] {
        assert!(problem.get(field).is_some(), "{field} in {problem}");
    }
    assert!(document["components"]["schemas"].get("ProblemEntry").is_some());
    let version = world.get("/version", &[]).await.json();
    assert_eq!(version["service"], "shop");
}
