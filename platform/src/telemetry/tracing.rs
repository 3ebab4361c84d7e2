//! Spans of HTTP, outbox, topic and handler, so that one order is one trace. Uses the
//! OpenTelemetry API directly and no global provider: many services share a process.

use std::sync::Arc;
use std::time::Duration;

use millrace_contract::{EventId, Topic, TraceContext};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
    TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span,
};

use crate::{Config, kafka};

/// Spans waiting for the exporter; more are dropped.
const QUEUE_SPANS_MAX: usize = 4096;
const EXPORT_SPANS_MAX: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_millis(500);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Links of one send span; a larger batch is counted but not linked in full.
const LINKS_MAX: u32 = 1024;

/// A fact older than this is read again, not read.
const LIVE_SECONDS: u64 = 3600;

/// The spans of one service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tracing(Option<Arc<Inner>>);

struct Inner {
    /// The client's name for the broker.
    client_id: Arc<str>,
    exporting: Option<(SdkTracerProvider, SdkTracer)>,
    /// Of the traces that begin here so many are recorded.
    share: f64,
}

/// CONSUMER span of one record; ends when dropped.
pub(crate) struct ProcessSpan(Open);
/// CLIENT span of one relay batch; ends when dropped.
pub(crate) struct SendSpan(Open);
/// SERVER span of one request; ends when dropped.
pub(crate) struct ServerSpan(Open);

/// A span that may be off, with the context its children get either way.
struct Open {
    span: Option<Span>,
    context: SpanContext,
}

impl Tracing {
    /// Traces without an endpoint are passed on but not exported.
    pub(crate) fn start(service: &'static str, config: &Config, version: &'static str) -> Self {
        let settings = &config.trace;
        let exporting = settings.endpoint.as_deref().and_then(|endpoint| {
            let provider = provider(service, endpoint, version)
                .inspect_err(|error| tracing::error!(%error, endpoint, "spans are not exported"))
                .ok()?;
            let tracer = provider.tracer("millrace");
            Some((provider, tracer))
        });
        let client_id = kafka::client_id(config, service).into();
        let share = settings.sample_ratio;
        Self(Some(Arc::new(Inner { client_id, exporting, share })))
    }

    /// Begins no traces; passes on those of others.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// PRODUCER span `create <topic>` of a fact, ended at once; its context goes with the fact.
    pub(crate) fn create(
        &self,
        topic: &'static Topic,
        name: &'static str,
        id: EventId,
        key: &str,
        correlation: &str,
        parent: Option<&SpanContext>,
    ) -> Option<TraceContext> {
        let Some(tracer) = self.recorder(parent) else {
            return Some(self.pass_on(parent))
                .filter(SpanContext::is_valid)
                .as_ref()
                .map(traceparent);
        };
        let attributes = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "create"),
            KeyValue::new("messaging.operation.type", "create"),
            KeyValue::new("messaging.destination.name", topic.name),
            KeyValue::new("messaging.kafka.message.key", key.to_owned()),
            KeyValue::new("messaging.message.id", id.to_string()),
            KeyValue::new("messaging.message.conversation_id", correlation.to_owned()),
            KeyValue::new("cloudevents.event_type", name),
            self.client(),
        ];
        let builder = SpanBuilder::from_name(format!("create {}", topic.name))
            .with_kind(SpanKind::Producer)
            .with_attributes(attributes);
        let mut span = tracer.build_with_context(builder, &under(parent));
        let context = match span.span_context() {
            context if context.is_valid() => context.clone(),
            _ => self.pass_on(parent),
        };
        span.end();
        Some(traceparent(&context))
    }

    /// CONSUMER span `process <topic>`: a child of the creation context and linked to it. An old
    /// fact is linked only, so that a replay never makes a month-old trace grow.
    #[expect(clippy::too_many_arguments, reason = "the attributes the conventions ask for")]
    pub(crate) fn process(
        &self,
        topic: &'static str,
        partition: i32,
        offset: i64,
        group: &str,
        name: &'static str,
        id: EventId,
        key: &str,
        correlation: &str,
        parent: Option<&TraceContext>,
    ) -> ProcessSpan {
        let creation = parent.and_then(|parent| parse_traceparent(&parent.0));
        let parent = creation.as_ref().filter(|_| is_live(id));
        let attributes = || {
            vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", topic),
                KeyValue::new("messaging.destination.partition.id", partition.to_string()),
                KeyValue::new("messaging.consumer.group.name", group.to_owned()),
                KeyValue::new("messaging.kafka.offset", offset),
                KeyValue::new("messaging.kafka.message.key", key.to_owned()),
                KeyValue::new("messaging.message.id", id.to_string()),
                KeyValue::new("messaging.message.conversation_id", correlation.to_owned()),
                KeyValue::new("cloudevents.event_type", name),
                self.client(),
            ]
        };
        let links = || creation.iter().cloned().map(Link::with_context).collect();
        let name = || format!("process {topic}");
        ProcessSpan(self.open(name, SpanKind::Consumer, attributes, links, parent))
    }

    /// CLIENT span `send <topic>` of a relay batch, linked to the creation of each fact.
    pub(crate) fn send<'a>(
        &self,
        topic: &str,
        count: usize,
        links: impl Iterator<Item = &'a TraceContext>,
    ) -> SendSpan {
        let attributes = || {
            vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
                KeyValue::new("messaging.batch.message_count", count as i64),
                self.client(),
            ]
        };
        let links = || {
            let links = links.filter_map(|link| parse_traceparent(&link.0));
            links.take(LINKS_MAX as usize).map(Link::with_context).collect()
        };
        SendSpan(self.open(|| format!("send {topic}"), SpanKind::Client, attributes, links, None))
    }

    /// SERVER span `<method> <route>` of a request. The path itself may name a customer: it is no
    /// attribute.
    pub(crate) fn server(
        &self,
        method: &'static str,
        route: &str,
        parent: Option<SpanContext>,
    ) -> ServerSpan {
        let attributes = || {
            vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("url.scheme", "http"),
            ]
        };
        let name = || format!("{method} {route}");
        ServerSpan(self.open(name, SpanKind::Server, attributes, Vec::new, parent.as_ref()))
    }

    /// Delivers what is waiting, for at most `deadline`. Blocks: call it where that is allowed.
    pub(crate) fn shutdown(&self, deadline: Duration) {
        if let Some((provider, _)) = self.0.as_ref().and_then(|inner| inner.exporting.as_ref())
            && let Err(error) = provider.shutdown_with_timeout(deadline)
        {
            tracing::warn!(%error, "spans were lost at the end");
        }
    }

    pub(crate) fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_ref()?.exporting.as_ref().map(|(_, tracer)| tracer)
    }

    /// Who records a span under this parent; nobody when it is not sampled. Asked before anything is written
    /// of it: a span that the sampler would refuse costs as much as one that is kept.
    pub(crate) fn recorder(&self, parent: Option<&SpanContext>) -> Option<&SdkTracer> {
        let share = self.0.as_ref()?.share;
        let sampled = match parent {
            Some(parent) if parent.is_valid() => parent.is_sampled(),
            _ => rand::random::<f64>() < share,
        };
        self.tracer().filter(|_| sampled)
    }

    fn client(&self) -> KeyValue {
        let id = self.0.as_ref().map_or_else(|| "".into(), |inner| inner.client_id.clone());
        KeyValue::new("messaging.client.id", id)
    }

    fn open(
        &self,
        name: impl FnOnce() -> String,
        kind: SpanKind,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        links: impl FnOnce() -> Vec<Link>,
        parent: Option<&SpanContext>,
    ) -> Open {
        let Some(tracer) = self.recorder(parent) else {
            return Open { span: None, context: self.pass_on(parent) };
        };
        let builder = SpanBuilder::from_name(name())
            .with_kind(kind)
            .with_attributes(attributes())
            .with_links(links());
        let span = tracer.build_with_context(builder, &under(parent));
        let context = match span.span_context() {
            context if context.is_valid() => context.clone(),
            _ => self.pass_on(parent),
        };
        Open { span: Some(span), context }
    }

    /// The context of others, or one that nobody records, so that flows are still told apart in
    /// the log. When off it is invalid.
    fn pass_on(&self, parent: Option<&SpanContext>) -> SpanContext {
        match parent {
            Some(parent) if parent.is_valid() => parent.clone(),
            _ if self.0.is_none() => SpanContext::NONE,
            _ => SpanContext::new(
                TraceId::from_bytes(rand::random()),
                SpanId::from_bytes(rand::random()),
                TraceFlags::default(),
                false,
                TraceState::default(),
            ),
        }
    }
}

impl ProcessSpan {
    /// What the facts this record leads to are children of.
    pub(crate) fn context(&self) -> SpanContext {
        self.0.context.clone()
    }

    /// Marks the span as failed. The type is a word of few values.
    pub(crate) fn fail(&mut self, error_type: &str) {
        self.0.fail(error_type);
    }
}

impl SendSpan {
    /// Marks the span as failed. The type is a word of few values.
    pub(crate) fn fail(&mut self, error_type: &str) {
        self.0.fail(error_type);
    }
}

impl ServerSpan {
    /// What the facts this request leads to are children of.
    pub(crate) fn context(&self) -> SpanContext {
        self.0.context.clone()
    }

    /// Notes the answer; one of 500 or more is a failure.
    pub(crate) fn answered(&mut self, status: u16) {
        if let Some(span) = &mut self.0.span {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if status >= 500 {
                span.set_attribute(KeyValue::new("error.type", status.to_string()));
                span.set_status(Status::error(""));
            }
        }
    }
}

impl Open {
    fn fail(&mut self, error_type: &str) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new("error.type", error_type.to_owned()));
            span.set_status(Status::error(error_type.to_owned()));
        }
    }
}

/// The W3C form of a context.
pub(crate) fn traceparent(context: &SpanContext) -> TraceContext {
    let flags = if context.is_sampled() { 1 } else { 0 };
    TraceContext(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// Reads version 00 of the W3C form strictly: lengths, lower-case hexadecimal, no zero ids.
pub(crate) fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let ["00", trace, span, flags] = parts[..] else { return None };
    let lengths = trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !(lengths && hex(trace) && hex(span) && hex(flags)) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Whether a fact was created a moment ago, by the time inside its identity.
fn is_live(id: EventId) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let created = id.uuid().get_timestamp().map(|at| at.to_unix().0).unwrap_or_default();
    now.is_ok_and(|now| now.as_secs().saturating_sub(created) < LIVE_SECONDS)
}

fn under(parent: Option<&SpanContext>) -> Context {
    match parent {
        Some(parent) if parent.is_valid() => {
            Context::new().with_remote_span_context(parent.clone())
        }
        _ => Context::new(),
    }
}

fn provider(
    service: &'static str,
    endpoint: &str,
    version: &'static str,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let bounds = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_max_export_batch_size(EXPORT_SPANS_MAX)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(bounds).build();
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", version))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(processor)
        .build())
}
