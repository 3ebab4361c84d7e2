//! The receiving end of OpenTelemetry traces (OTLP over http/protobuf) for tests and the demo: what
//! the services export is kept here as plain records. It never forwards anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;

use crate::serve::Served;

/// How many spans are kept, about 1 KiB each.
const SPANS_MAX: usize = 50_000;
const BODY_BYTES_MAX: usize = 64 << 20;

/// A span as it was exported. Ids are lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRecord {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// The parent's span id, unless this is the root.
    pub parent: Option<String>,
    /// For example `process retail.order.events.v1`.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: &'static str,
    /// `service.name` of who exported it.
    pub service: String,
    /// Values in their text form.
    pub attributes: BTreeMap<String, String>,
    /// Trace and span id of each link.
    pub links: Vec<(String, String)>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
}

/// A running receiver; it ends when this is dropped.
#[derive(Debug)]
pub struct Traces {
    store: Arc<Mutex<Store>>,
    served: Served,
}

impl Traces {
    /// Starts receiving on a free loopback port.
    ///
    /// # Errors
    /// When the port or the thread cannot be had.
    pub fn start() -> Result<Self> {
        let store = Arc::default();
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&store));
        Ok(Self { store, served: Served::start("otlp", router)? })
    }

    /// The base address, for `OTEL_EXPORTER_OTLP_ENDPOINT`; traces go to `/v1/traces` under it.
    pub fn endpoint(&self) -> String {
        self.served.url()
    }

    /// Every span that is kept, in the order of arrival.
    pub fn spans(&self) -> Vec<SpanRecord> {
        open(&self.store).spans.iter().cloned().collect()
    }

    /// The kept spans of one trace, by their start.
    pub fn of_trace(&self, trace_id: &str) -> Vec<SpanRecord> {
        let store = open(&self.store);
        let mut spans: Vec<SpanRecord> =
            store.spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// How many spans were dropped, oldest first, to make room.
    pub fn dropped(&self) -> u64 {
        open(&self.store).dropped
    }
}

#[derive(Debug, Default)]
struct Store {
    spans: VecDeque<SpanRecord>,
    dropped: u64,
}

impl Store {
    fn push(&mut self, span: SpanRecord) {
        if self.spans.len() == SPANS_MAX {
            self.spans.pop_front();
            self.dropped += 1;
        }
        self.spans.push_back(span);
    }
}

fn open(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(store): State<Arc<Mutex<Store>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut store = open(&store);
    for resource in request.resource_spans {
        let attributes = resource.resource.map(|given| given.attributes).unwrap_or_default();
        let service = text_map(attributes).remove("service.name").unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            store.push(record(span, &service));
        }
    }
    // An empty body is the protobuf form of a full success.
    StatusCode::OK
}

fn record(span: Span, service: &str) -> SpanRecord {
    SpanRecord {
        kind: match span.kind() {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal | SpanKind::Unspecified => "internal",
        },
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        name: span.name,
        service: service.to_owned(),
        attributes: text_map(span.attributes),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
    }
}

fn text_map(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(given)) => given.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => hex(&bytes),
        Some(Value::ArrayValue(list)) => {
            let items: Vec<String> = list.values.into_iter().map(|v| text(Some(v))).collect();
            items.join(",")
        }
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
