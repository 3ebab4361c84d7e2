//! The span of one call outside: a child of the span that decided to ask.

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use crate::telemetry::Tracing;

/// CLIENT span of one call; ends when dropped.
pub(crate) struct AskSpan(Option<Span>);

impl AskSpan {
    /// Begins the span `ask <name>`.
    pub(crate) fn begin(
        tracing: &Tracing,
        name: &'static str,
        partner: &'static str,
        attempts: i32,
        parent: Option<SpanContext>,
    ) -> Self {
        let parent = parent.filter(SpanContext::is_valid);
        let Some(tracer) = tracing.recorder(parent.as_ref()) else { return Self(None) };
        let under = parent.map(|parent| Context::new().with_remote_span_context(parent));
        let builder = SpanBuilder::from_name(format!("ask {name}"))
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("peer.service", partner),
                KeyValue::new("millrace.ask.attempt", i64::from(attempts)),
            ]);
        Self(Some(tracer.build_with_context(builder, &under.unwrap_or_default())))
    }

    /// Marks the span as failed. The type is a word of few values.
    pub(crate) fn fail(&mut self, error_type: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", error_type));
            span.set_status(Status::error(error_type));
        }
    }
}
