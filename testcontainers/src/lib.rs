//! A ground to stand on (broker, registry, PostgreSQL, traces), for development, demo and tests, and
//! isolated worlds on it. It knows nothing of what the services on it mean, and no production code
//! depends on it.

pub mod check;
mod eventually;
pub mod fault;
mod fetch;
mod ground;
mod home;
mod otlp;
pub mod partner;
mod ports;
mod process;
mod serve;
mod world;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

pub use eventually::eventually;
pub use ground::{Builder, Ground, GroundKind, Part, SlowDisk};
pub use home::{Folder, Home};
pub use otlp::{SpanRecord, Traces};
pub use ports::free_port;
pub use process::{Launch, Process, Signal};
pub use world::{World, ready};

/// Hears one line for each step that a person may have to wait for.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The program of this name on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Says that a test did not run, and why, on the terminal and not only to who asks for a passed
/// test's output. Whoever calls it returns at once.
pub fn skipped(test: &str, why: &str) {
    tell(&format!("skipped: {test}: {why}"));
}

/// To standard error, but by no macro of the standard library: what those print, a test run keeps
/// to itself.
pub(crate) fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
