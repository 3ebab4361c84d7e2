//! Tests of spans as a receiver sees them, and of the numbers as a scraper does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use millrace_contract::{Cleanup, EventId, Topic, TraceContext};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proptest::prelude::*;
use prost::Message;
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;
use utoipa_axum::router::OpenApiRouter;

use super::*;
use crate::{Config, config};

static BELLS: Topic = Topic {
    name: "t.bell.events.v1",
    owner: "tower",
    partitions: 3,
    cleanup: Cleanup::Delete { retention_ms: 1 },
    key: "bell",
    readers: &[],
};
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A receiver of spans, and a service that sends to it.
struct World {
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    tracing: Tracing,
}

impl World {
    async fn new(sample_ratio: f64) -> Self {
        let received = Arc::new(Mutex::new(vec![]));
        let kept = received.clone();
        let traces = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
        };
        let router = Router::new().route("/base/v1/traces", post(traces));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}/base/", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let trace = config::Trace { endpoint, sample_ratio };
        let config = Config { trace, ..Config::default() };
        Self { received, tracing: Tracing::start("tower", &config, "7.8.9") }
    }

    /// Ends the service and gives the spans it has sent.
    async fn spans(self) -> Vec<Span> {
        let tracing = self.tracing;
        let end = move || tracing.shutdown(Duration::from_secs(5));
        tokio::task::spawn_blocking(end).await.unwrap();
        let received = self.received.lock().unwrap();
        let resources = received.iter().flat_map(|request| &request.resource_spans);
        let mut spans = vec![];
        for resource in resources {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let named = attributes.iter().find(|pair| pair.key == "service.name").unwrap();
            let name = named.value.as_ref().unwrap().value.as_ref();
            assert_eq!(name, Some(&Value::StringValue("tower".to_owned())));
            spans.extend(resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
        }
        spans
    }
}

fn exporting_to(nobody: &str) -> Config {
    let trace = config::Trace { endpoint: Some(nobody.to_owned()), ..config::Trace::default() };
    Config { trace, ..Config::default() }
}

fn event_id() -> EventId {
    EventId::new(uuid::Uuid::now_v7()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"))
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.as_ref()?.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test]
async fn one_flow_is_one_trace_from_request_to_handler() {
    let world = World::new(1.0).await;
    let mut server = world.tracing.server("POST", "/v1/bells", parse_traceparent(PARENT));
    let id = event_id();
    let create =
        world.tracing.create(&BELLS, "t.Rung", id, "k", "flow", Some(&server.context())).unwrap();
    server.answered(202);
    let send = world.tracing.send(BELLS.name, 1, [&create].into_iter());
    let process =
        world.tracing.process(BELLS.name, 2, 41, "g", "t.Rung", id, "k", "flow", Some(&create));
    let next =
        world.tracing.create(&BELLS, "t.Heard", id, "k", "flow", Some(&process.context())).unwrap();
    drop((server, send, process));
    let spans = world.spans().await;
    assert_eq!(spans.len(), 5);
    let server = named(&spans, "POST /v1/bells");
    let create = spans.iter().find(|span| span.parent_span_id == server.span_id).unwrap();
    let process = named(&spans, "process t.bell.events.v1");
    assert_eq!(hex(&server.parent_span_id), "b7ad6b7169203331");
    assert_eq!(process.parent_span_id, create.span_id);
    assert_eq!(process.links[0].span_id, create.span_id);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for span in spans.iter().filter(|span| !span.name.starts_with("send")) {
        assert_eq!(hex(&span.trace_id), trace, "{}", span.name);
    }
    assert!(next.0.starts_with(&format!("00-{trace}-")) && next.0.ends_with("-01"), "{next:?}");
    let send = named(&spans, "send t.bell.events.v1");
    assert_eq!((&send.links[0].span_id, send.links.len()), (&create.span_id, 1));
    let kinds =
        [(server, SpanKind::Server), (create, SpanKind::Producer), (process, SpanKind::Consumer)];
    for (span, kind) in kinds.into_iter().chain([(send, SpanKind::Client)]) {
        assert_eq!(span.kind, kind as i32, "{}", span.name);
    }
}

#[tokio::test]
async fn attributes_are_those_of_the_conventions() {
    let world = World::new(1.0).await;
    let id = event_id();
    let mut process =
        world.tracing.process(BELLS.name, 2, 41, "g", "t.Rung", id, "k", "flow", None);
    process.fail("poison");
    world.tracing.server("GET", "/v1/{id}", None).answered(503);
    world.tracing.create(&BELLS, "t.Heard", id, "k", "flow", None).unwrap();
    drop((process, world.tracing.send(BELLS.name, 3, [].into_iter())));
    let spans = world.spans().await;
    let process = named(&spans, "process t.bell.events.v1");
    for (key, wanted) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "t.bell.events.v1"),
        ("messaging.destination.partition.id", "2"),
        ("messaging.consumer.group.name", "g"),
        ("messaging.kafka.offset", "41"),
        ("messaging.kafka.message.key", "k"),
        ("messaging.message.id", id.to_string().as_str()),
        ("messaging.message.conversation_id", "flow"),
        ("cloudevents.event_type", "t.Rung"),
        ("error.type", "poison"),
    ] {
        assert_eq!(attribute(process, key), wanted, "{key}");
    }
    let server = named(&spans, "GET /v1/{id}");
    for (key, wanted) in [
        ("http.request.method", "GET"),
        ("http.route", "/v1/{id}"),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
    ] {
        assert_eq!(attribute(server, key), wanted, "{key}");
    }
    let send = named(&spans, "send t.bell.events.v1");
    assert_eq!(attribute(send, "messaging.batch.message_count"), "3");
    let create = named(&spans, "create t.bell.events.v1");
    assert_eq!(attribute(create, "messaging.message.conversation_id"), "flow");
    for span in [process, send, create] {
        let client = attribute(span, "messaging.client.id");
        assert_eq!(client, format!("tower-{}", std::process::id()), "{}", span.name);
    }
}

#[tokio::test]
async fn a_request_leaves_no_identifier_of_its_path_in_its_span() {
    let world = World::new(1.0).await;
    let health = crate::Health::new();
    let metrics = Metrics::new("tower", "t.tower", "0");
    let account = async || StatusCode::OK;
    let routes = OpenApiRouter::<()>::new().route("/v1/accounts/{customer}", get(account));
    let (limits, tracing) = (config::Http::default(), world.tracing.clone());
    let router = crate::http::router("tower", "", routes, (), health, metrics, tracing, &limits);
    for path in ["/v1/accounts/anna-smith?of=anna-smith", "/nowhere/anna-smith"] {
        let request = Request::get(path).header("x-request-id", "7").body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
    drop(router);
    let spans = world.spans().await;
    named(&spans, "GET /v1/accounts/{customer}");
    named(&spans, "GET unmatched");
    assert!(!format!("{spans:?}").contains("anna"), "{spans:?}");
}

#[tokio::test]
async fn a_trace_that_is_not_kept_is_passed_on_all_the_same() {
    let world = World::new(0.0).await;
    let server = world.tracing.server("POST", "/", None);
    let create =
        world.tracing.create(&BELLS, "t.Rung", event_id(), "k", "flow", Some(&server.context()));
    let create = create.unwrap().0;
    assert!(create.contains(&server.context().trace_id().to_string()) && create.ends_with("-00"));
    drop(server);
    assert!(world.spans().await.is_empty());
}

#[test]
fn without_a_receiver_contexts_pass_through() {
    let parent = parse_traceparent(PARENT).unwrap();
    let on = Tracing::start("tower", &Config::default(), "0");
    for tracing in [&on, &Tracing::off()] {
        let create = tracing.create(&BELLS, "t.Rung", event_id(), "k", "flow", Some(&parent));
        assert_eq!(create, Some(TraceContext(PARENT.to_owned())));
    }
    let begun = on.create(&BELLS, "t.Rung", event_id(), "k", "flow", None).unwrap();
    assert!(parse_traceparent(&begun.0).is_some());
    let off = Tracing::off().process(BELLS.name, 0, 0, "g", "t", event_id(), "k", "f", None);
    assert!(!off.context().is_valid());
    let context = off.context();
    assert_eq!(Tracing::off().create(&BELLS, "t", event_id(), "k", "flow", Some(&context)), None);
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_nothing_up() {
    let tracing = Tracing::start("tower", &exporting_to("http://127.0.0.1:9"), "0");
    let begun = Instant::now();
    for _ in 0..10_000 {
        tracing.create(&BELLS, "t.Rung", event_id(), "k", "flow", None).unwrap();
    }
    let end = move || tracing.shutdown(Duration::from_millis(100));
    tokio::task::spawn_blocking(end).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_service_that_has_ended_still_passes_contexts_on() {
    let tracing = Tracing::start("tower", &exporting_to("http://127.0.0.1:9"), "0");
    tracing.shutdown(Duration::from_millis(100));
    let parent = parse_traceparent(PARENT).unwrap();
    let create = tracing.create(&BELLS, "t.Rung", event_id(), "k", "flow", Some(&parent));
    assert_eq!(create, Some(TraceContext(PARENT.to_owned())));
}

#[test]
fn only_the_strict_form_of_a_traceparent_is_read() {
    for bad in [
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(parse_traceparent(bad), None, "{bad}");
    }
    let unknown_flags = parse_traceparent(&PARENT.replace("-01", "-ff")).unwrap();
    assert_eq!(traceparent(&unknown_flags), TraceContext(PARENT.to_owned()));
}

proptest! {
    #[test]
    fn a_traceparent_reads_back_as_written(trace in 1u128.., span in 1u64.., sampled: bool) {
        let text = format!("00-{trace:032x}-{span:016x}-0{}", u8::from(sampled));
        let context = parse_traceparent(&text).unwrap();
        prop_assert_eq!(traceparent(&context), TraceContext(text));
    }

    #[test]
    fn no_header_breaks_the_reader_of_traceparents(text in "\\PC{0,60}") {
        prop_assert!(parse_traceparent(&text).is_none_or(|context| context.is_valid()));
    }
}

#[test]
fn every_number_has_its_name_and_labels() {
    let metrics = Metrics::new("tower", "t.tower", "7.8.9");
    let second = Duration::from_secs(1);
    metrics.consumed(BELLS.name, "t.Rung", 3);
    metrics.processed(BELLS.name, "t.Rung", second, Some("poison"));
    metrics.duplicates("t.Rung", 2);
    metrics.skipped_unknown(BELLS.name, 1);
    metrics.batch(5, second);
    metrics.retried("transient");
    metrics.partition_stopped(BELLS.name, 2, true);
    metrics.paused(true);
    metrics.time_lag(BELLS.name, 2, 1.5);
    metrics.outbox_pending(7, 0.25);
    metrics.published(BELLS.name, 4);
    metrics.publish_failed("refused");
    metrics.blocked_keys(1);
    metrics.sent_duration(BELLS.name, second);
    metrics.http("GET", "/v1/{id}", 200, second);
    let text = metrics.encode();
    for (name, value) in [
        ("messaging_client_consumed_messages_total", "3"),
        ("messaging_process_duration_seconds_count", "1"),
        ("inbox_duplicates_total", "2"),
        ("consumer_skipped_total", "1"),
        ("consumer_batch_records_sum", "5.0"),
        ("consumer_batch_seconds_count", "1"),
        ("retry_attempts_total", "1"),
        ("consumer_partition_stopped", "1"),
        ("consumer_paused", "1"),
        ("consumer_time_lag_seconds", "1.5"),
        ("outbox_pending_messages", "7"),
        ("outbox_oldest_pending_seconds", "0.25"),
        ("outbox_published_total", "4"),
        ("messaging_client_sent_messages_total", "4"),
        ("outbox_failures_total", "1"),
        ("outbox_blocked_keys", "1"),
        ("messaging_client_operation_duration_seconds_count", "1"),
        ("http_server_request_duration_seconds_count", "1"),
        ("target_info", "1"),
    ] {
        let start = format!("{name}{{service=\"tower\"");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        assert_eq!(line.rsplit_once(' ').unwrap().1, value, "{line}");
    }
    for label in ["group=\"t.tower\"", "retail_event_type=\"t.Rung\"", "error_type=\"poison\""] {
        assert!(text.contains(label), "{label} in {text}");
    }
    assert!(!text.contains("_seconds_seconds") && !text.contains("_total_total"), "{text}");
}

/// A writer that keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_is_one_line_whatever_its_fields_hold() {
    let paper = Paper::default();
    let kept = paper.clone();
    let layer = log::written(true, move || kept.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    ::tracing::subscriber::with_default(subscriber, || {
        let _inside = ::tracing::error_span!("request", service = "tower").entered();
        ::tracing::warn!(sku = "a\r\nb\u{1b}[31m", "rung");
    });
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text:?}");
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "rung");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["span"]["service"], "tower");
    assert!(line["timestamp"].is_string() && line["target"].is_string());
}

#[tokio::test]
async fn a_fact_of_long_ago_begins_a_trace_of_its_own_linked_to_the_old_one() {
    let world = World::new(1.0).await;
    let create = world.tracing.create(&BELLS, "t.Rung", event_id(), "k", "flow", None).unwrap();
    let last_month = uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000, 0);
    let old = EventId::new(uuid::Uuid::new_v7(last_month)).unwrap();
    drop(world.tracing.process(BELLS.name, 2, 41, "g", "t.Rung", old, "k", "flow", Some(&create)));
    let spans = world.spans().await;
    let (create, process) =
        (named(&spans, "create t.bell.events.v1"), named(&spans, "process t.bell.events.v1"));
    assert_ne!(process.trace_id, create.trace_id);
    assert_eq!(process.links[0].span_id, create.span_id);
}
