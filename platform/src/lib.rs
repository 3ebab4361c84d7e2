//! Millrace: how facts are carried. Services declare what they read, decide and emit; this crate
//! consumes by batches, deduplicates, commits state and announcements in one transaction, and
//! publishes in the order of each key. It knows nothing of orders.
#![warn(missing_docs)]

pub mod admin;
pub mod ask;
pub mod config;
mod consume;
pub mod control;
mod core;
mod door;
pub mod embedded;
mod emit;
mod fail;
mod fault;
mod health;
pub mod http;
mod kafka;
mod life;
mod migrate;
mod news;
mod outbox;
mod parking;
#[doc(hidden)]
pub mod plant;
mod process;
mod projection;
mod registry;
pub mod repair;
pub mod replica;
mod rest;
mod runtime;
mod service;
mod settings;
mod store;
mod telemetry;
mod tx;

pub use ask::{Answers, Ask, AskError, AskPolicy, Partner, Settle, Settled};
pub use config::{Config, ConfigError, Loaded, Origin, Secret};
pub use consume::keep::Kept;
pub use door::{Answer, Door};
pub use emit::Emit;
pub use fault::{Fault, FaultPolicy, Poison, Source};
pub use health::{Condition, Health};
pub use http::{Caller, IdempotencyKey, Json, Path, Problem, Query};
pub use millrace_contract as contract;
pub use millrace_contract::{
    Cause, Currency, Envelope, Event, EventId, Money, MoneyError, Position, Timestamp, Topic,
};
pub use news::News;
pub use outbox::Horizon;
pub use process::{main, main_with, small_pages};
pub use registry::{Registry, RegistryError};
pub use runtime::{RunError, Running, mount};
pub use service::{Announce, Decide, Fold, Keep, Service, ServiceBuilder, Sweep, View, WorkingSet};
pub use telemetry::log;
pub use tx::Tx;
