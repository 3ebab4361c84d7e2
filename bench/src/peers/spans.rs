//! The bare loop as it is watched by most: a span of `tracing` for each record that comes and for each
//! that leaves, handed to OpenTelemetry by its layer, which samples one trace of so many.

use std::time::Duration;

use anyhow::Result;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use super::{Place, bare};

const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Works until it is told to stop.
pub(crate) async fn run(
    place: Place,
    endpoint: String,
    share: f64,
    stop: CancellationToken,
) -> Result<()> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_timeout(EXPORT_TIMEOUT);
    // Its client has a runtime of its own, which may not be made inside of another.
    let exporter = tokio::task::spawn_blocking(|| exporter.build()).await??;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
    let provider =
        SdkTracerProvider::builder().with_sampler(sampler).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("peer"));
    let layer = layer.with_filter(LevelFilter::INFO);
    let watched = Dispatch::new(tracing_subscriber::registry().with(layer));
    let place = Place { spans: true, ..place };
    let ran = bare::run(place, stop).with_subscriber(watched).await;
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    ran
}
