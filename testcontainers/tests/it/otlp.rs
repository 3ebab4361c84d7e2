//! What is exported is kept as it was meant.

use anyhow::{Result, ensure};
use harness::Traces;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn export(spans: Vec<Span>) -> Vec<u8> {
    let name = pair("service.name", Value::StringValue("stock".to_owned()));
    let resource = Resource { attributes: vec![name], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

async fn send(traces: &Traces, body: Vec<u8>) -> Result<reqwest::StatusCode> {
    let url = format!("{}/v1/traces", traces.endpoint());
    let request = reqwest::Client::new().post(url).header("content-type", "application/x-protobuf");
    Ok(request.body(body).send().await?.status())
}

#[tokio::test]
async fn a_span_is_kept_with_all_that_it_says() -> Result<()> {
    let traces = Traces::start()?;
    let span = Span {
        trace_id: vec![0xAB; 16],
        span_id: vec![1; 8],
        parent_span_id: vec![2; 8],
        name: "process a".to_owned(),
        kind: 5,
        start_time_unix_nano: 10,
        end_time_unix_nano: 30,
        attributes: vec![
            pair("messaging.system", Value::StringValue("kafka".to_owned())),
            pair("messaging.kafka.offset", Value::IntValue(42)),
        ],
        links: vec![Link { trace_id: vec![3; 16], span_id: vec![4; 8], ..Link::default() }],
        ..Span::default()
    };
    let root = Span { trace_id: vec![0xAB; 16], span_id: vec![2; 8], ..Span::default() };
    ensure!(send(&traces, export(vec![span, root])).await?.is_success());
    let kept = traces.of_trace(&"ab".repeat(16));
    ensure!(kept.len() == 2 && traces.spans().len() == 2 && traces.dropped() == 0);
    ensure!(kept[0].parent.is_none() && kept[0].kind == "internal");
    let span = &kept[1];
    ensure!(span.parent.as_deref() == Some("0202020202020202") && span.kind == "consumer");
    ensure!(span.service == "stock" && span.name == "process a");
    ensure!(span.attributes["messaging.kafka.offset"] == "42");
    ensure!(span.links == [("03".repeat(16), "04".repeat(8))]);
    ensure!((span.start, span.end) == (10, 30));
    Ok(())
}

#[tokio::test]
async fn what_is_no_export_is_refused() -> Result<()> {
    let traces = Traces::start()?;
    ensure!(send(&traces, b"\xFF\xFF\xFFnonsense".to_vec()).await?.as_u16() == 400);
    ensure!(traces.spans().is_empty());
    Ok(())
}

#[tokio::test]
async fn memory_is_bounded_and_the_oldest_go_first() -> Result<()> {
    let traces = Traces::start()?;
    let span = |n: u64| Span { name: n.to_string(), trace_id: vec![1; 16], ..Span::default() };
    for thousand in 0..51 {
        let spans = (thousand * 1_000..(thousand + 1) * 1_000).map(span).collect();
        ensure!(send(&traces, export(spans)).await?.is_success());
    }
    ensure!(traces.dropped() == 1_000 && traces.spans().len() == 50_000);
    ensure!(traces.spans()[0].name == "1000");
    Ok(())
}
