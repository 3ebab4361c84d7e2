//! What is seen of a service from outside: one trace for each flow, metrics, one log.
//! Nothing here can hold up the work: what cannot be delivered is dropped.

pub mod log;
mod metrics;
#[cfg(test)]
mod tests;
mod tracing;

pub(crate) use metrics::Metrics;
pub(crate) use tracing::{ProcessSpan, Tracing, parse_traceparent, traceparent};
