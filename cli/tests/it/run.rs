//! Runs the binary in an empty folder, without anything of this machine's environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder to run in; the command's home is inside it.
pub(crate) struct Room {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: vec![] }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the command keeps its files.
    pub(crate) fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path().join(name), content).unwrap();
        name.to_owned()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        let done = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(arguments)
            .env_clear()
            .env("MILLRACE_HOME", self.home())
            .envs(self.variables.iter().cloned())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
    }
}

/// A port where nobody listens: it was free a moment ago.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
