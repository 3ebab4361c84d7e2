//! Where a running system is. One record, written by whoever starts it and read by everyone who
//! works on it; it finds nothing by itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// The services of the retailer with a database and a group of their own, in the order in which an
/// order meets them.
pub const SERVICES: [&str; 7] =
    ["catalogue", "orders", "stock", "payments", "sales", "order-view", "journal"];

/// Those that answer from a copy of a topic, without database and group.
pub const REPLICAS: [&str; 1] = ["order-query"];

/// Where everything of a running system is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Base URL of each service by its name.
    pub services: BTreeMap<String, String>,
    /// `host:port` of the broker, more of them separated by commas.
    pub kafka: String,
    /// What stands before every topic and group name.
    pub topic_prefix: String,
    /// Base URL of the schema registry.
    pub registry: String,
    /// URL of each service's database by the service's name. They may hold passwords.
    pub databases: BTreeMap<String, String>,
    /// Base URL of the page that shows traces, if there is one.
    pub traces: Option<String>,
    /// The process that everything ends with, if there is one.
    pub pid: Option<u32>,
}

/// Why a record of endpoints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no record of endpoints.
    #[error("{path}: {source}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Default for Endpoints {
    /// Every part where it listens when nobody says otherwise.
    fn default() -> Self {
        let config = millrace::Config::default();
        let url = format!("http://{}", config.http.listen);
        Self {
            services: SERVICES
                .iter()
                .chain(&REPLICAS)
                .map(|name| ((*name).to_owned(), url.clone()))
                .collect(),
            kafka: config.kafka.bootstrap_servers,
            topic_prefix: config.kafka.topic_prefix,
            registry: config.registry.url,
            databases: BTreeMap::new(),
            traces: None,
            pid: None,
        }
    }
}

impl Endpoints {
    /// Reads a record; what it does not name is at its default.
    pub fn load(path: &Path) -> Result<Self, EndpointsError> {
        let failed = |source| EndpointsError::File { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        serde_json::from_str(&text)
            .map_err(|source| EndpointsError::Content { path: path.to_owned(), source })
    }

    /// Whether the process that everything ends with is gone, as after a kill -9.
    pub fn is_stale(&self) -> bool {
        let lives = |pid: u32| {
            let mut look = Command::new("/bin/sh");
            look.args(["-c", &format!("kill -0 {pid}")]).stderr(Stdio::null());
            look.status().is_ok_and(|status| status.success())
        };
        self.pid.is_some_and(|pid| !lives(pid))
    }

    /// Writes the record in one step, readable by this user alone.
    pub fn save(&self, path: &Path) -> Result<(), EndpointsError> {
        let failed = |source| EndpointsError::File { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| EndpointsError::Content { path: path.to_owned(), source })?;
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = write_private(&draft, &text).and_then(|()| fs::rename(&draft, path));
        written.map_err(failed)
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.json");
        let endpoints = Endpoints { kafka: "127.0.0.1:1".to_owned(), ..Endpoints::default() };
        endpoints.save(&path).unwrap();
        assert_eq!(Endpoints::load(&path).unwrap(), endpoints);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_is_stale_when_its_process_is_gone() {
        let of = |pid| Endpoints { pid, ..Endpoints::default() };
        assert!(!of(None).is_stale());
        assert!(!of(Some(std::process::id())).is_stale());
        let mut gone = Command::new("/bin/sh").args(["-c", "exit"]).spawn().unwrap();
        gone.wait().unwrap();
        assert!(of(Some(gone.id())).is_stale());
    }

    #[test]
    fn what_a_file_does_not_name_is_at_its_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.json");
        fs::write(&path, r#"{"kafka":"k:1"}"#).unwrap();
        let wanted = Endpoints { kafka: "k:1".to_owned(), ..Endpoints::default() };
        assert_eq!(Endpoints::load(&path).unwrap(), wanted);
    }
}
