//! The made-up shop of the samples, imported into a running system, twice.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::run::{Done, Room};

/// `millrace dev`, ended with the test.
pub(crate) struct Dev {
    child: Child,
}

impl Dev {
    /// Starts in this room, and waits until it says where everything is.
    pub(crate) fn start(room: &Room) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["dev", "--ephemeral", "-o", "id"])
            .env("MILLRACE_HOME", room.home())
            .env("MILLRACE_GROUND", "embedded")
            .env("RUST_LOG", "warn")
            .current_dir(room.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert!(line.starts_with("http://"), "{line}");
        Self { child }
    }

    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// A room of its own that shares what was fetched.
pub(crate) fn room() -> Room {
    let room = Room::new();
    fs::set_permissions(room.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(room.home()).unwrap();
    let parts = harness::Home::locate().unwrap().parts();
    fs::create_dir_all(&parts).unwrap();
    symlink(parts, room.home().join("parts")).unwrap();
    room
}

pub(crate) fn import(room: &Room, kind: &str, more: &[&str]) -> Done {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("samples/{kind}.csv"));
    let file = file.display().to_string();
    let done = room.run(&[&["import", kind, file.as_str(), "-o", "json"], more].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

fn outcomes(done: &Done) -> Vec<(String, u64)> {
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    let outcomes = summary["outcomes"].as_array().unwrap();
    let outcome = |outcome: &Value| {
        (outcome["outcome"].as_str().unwrap().to_owned(), outcome["orders"].as_u64().unwrap())
    };
    outcomes.iter().map(outcome).collect()
}

#[test]
fn the_samples_end_as_they_should_and_importing_them_again_changes_nothing() {
    let room = room();
    let dev = Dev::start(&room);
    let expected = [("confirmed", 21), ("refused", 2), ("rejected", 1)];
    let expected = expected.map(|(outcome, orders)| (outcome.to_owned(), orders));
    for _ in ["first", "again"] {
        for kind in ["products", "stock", "accounts"] {
            import(&room, kind, &[]);
        }
        assert_eq!(outcomes(&import(&room, "orders", &["--wait"])), expected);
        let listed = room.run(&["order", "list", "--limit", "1000", "-o", "id"]);
        assert_eq!(listed.stdout.lines().count(), 24, "{listed:?}");
    }
    let doctor = room.run(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    dev.stop();
    assert_eq!(room.run(&["order", "list"]).code, Some(5));
}
