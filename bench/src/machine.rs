//! What machine this was: kept beside every result.

use std::fs;

use serde::Serialize;

/// The machine, as far as it says something of a figure.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    model: String,
    memory_mib: u64,
    kernel: String,
    load_average: String,
    release: bool,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            model: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_mib: kib / 1024,
            kernel: version(&read("/proc/sys/kernel/osrelease")).to_owned(),
            load_average: read("/proc/loadavg").trim().to_owned(),
            release: !cfg!(debug_assertions),
        }
    }
}

/// The number of a version, without the name of who built it.
fn version(release: &str) -> &str {
    release.trim().split('-').next().unwrap_or_default()
}
