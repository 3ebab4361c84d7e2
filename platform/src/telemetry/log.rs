//! The one log of a process, on standard error: JSON lines for machines, plain text for people.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::Tracing;

/// Libraries that say at `info` and above what is no news to an operator.
const QUIET: &str = "rdkafka=warn,librdkafka=off,hyper=warn,sqlx=warn,opentelemetry=warn";
/// Spans of libraries are none of ours, the exporter's own would never end, and this crate's carry
/// fields for the log: its spans for traces are made where the flow is known.
const SPANS: &str =
    "info,millrace=off,h2=off,hyper=off,hyper_util=off,reqwest=off,opentelemetry=off,sqlx=off";

/// Sets the log of this process; a second call changes nothing. `RUST_LOG` decides what is
/// written, `info` without it.
pub fn init(json: bool) {
    start(json, None);
}

/// The same for a process of one service, whose own `tracing` spans join its traces. They have a
/// filter of their own: `RUST_LOG=error` does not cut a trace.
pub(crate) fn init_service(json: bool, tracing: &Tracing) {
    start(json, Some(tracing));
}

/// Whether nobody is looking: standard error is no terminal.
pub fn json_wanted() -> bool {
    !std::io::stderr().is_terminal()
}

fn start(json: bool, tracing: Option<&Tracing>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET}")));
    let spans = tracing.and_then(Tracing::tracer).map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer.clone());
        layer.with_filter(EnvFilter::new(SPANS))
    });
    let written = written(json, std::io::stderr).with_filter(filter);
    if tracing_subscriber::registry().with(written).with(spans).try_init().is_err() {
        tracing::debug!("the log of this process is set already");
    }
}

pub(super) fn written<W>(json: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let plain = fmt::layer().with_writer(writer);
    match json {
        true => plain.json().flatten_event(true).with_span_list(false).boxed(),
        false => plain.with_ansi(std::io::stderr().is_terminal()).compact().boxed(),
    }
}
