//! The stories of the demo, told by the real binary on the ground this machine offers, and what is
//! left of it when it ends, is interrupted or is killed: nothing.

use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::{GroundKind, eventually};
use tempfile::TempDir;

const STORIES: [&str; 16] = [
    "success",
    "no-stock",
    "payment-refused",
    "cancelled-after-payment",
    "duplicate-checkout",
    "expired",
    "trace",
    "replay",
    "time-travel",
    "seek",
    "rebuild",
    "reads-survive",
    "poison",
    "partner-down",
    "rebalance",
    "crash",
];
const STARTED: Duration = Duration::from_secs(60);
/// A server gets five seconds to end by itself.
const GONE: Duration = Duration::from_secs(20);

/// A home of its own, whose name every process of the demo carries in its environment or its
/// arguments. What a ground needs was fetched once, into the shared home.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Root's database server runs as another user.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let parts = harness::Home::locate().unwrap().parts();
        std::fs::create_dir_all(&parts).unwrap();
        std::os::unix::fs::symlink(parts, folder.path().join("parts")).unwrap();
        Self(folder)
    }

    fn demo(&self, arguments: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("demo").args(arguments).current_dir(folder);
        command.env("MILLRACE_HOME", self.0.path()).env_remove("DATABASE_URL");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The processes of the demo by name; none are seen where there is no `/proc`.
    fn processes(&self) -> Vec<String> {
        let home = self.0.path().as_os_str().as_bytes();
        let carries = |file: PathBuf| {
            let text = std::fs::read(file).unwrap_or_default();
            text.windows(home.len()).any(|part| part == home)
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let ours =
            paths.filter(|path| carries(path.join("environ")) || carries(path.join("cmdline")));
        ours.map(|path| std::fs::read_to_string(path.join("comm")).unwrap_or_default()).collect()
    }

    async fn until_no_process_is_left(&self) {
        let gone = eventually(GONE, "every process of the demo is gone", async || {
            let processes = self.processes();
            if processes.is_empty() { Ok(()) } else { Err(format!("{processes:?}")) }
        });
        gone.await.unwrap();
    }

    /// The folders of runs.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path().join("run")).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.is_dir()).collect()
    }
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_story_holds_and_nothing_is_left_behind() {
    let (folder, home) = (tempfile::tempdir().unwrap(), Home::new());
    let output = home.demo(&["-o", "ndjson"], folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let reports = lines(&output);
    for report in &reports {
        assert_eq!(report["ok"], true, "{report:#}\n{told}");
        assert_eq!(report["expected"], report["observed"]);
        assert!(report["ms"].as_u64().unwrap() > 0);
    }
    let names: Vec<_> = reports.iter().map(|report| report["story"].as_str().unwrap()).collect();
    let (ground, _) = GroundKind::choose().unwrap();
    let can_be_told = |story: &&str| *story != "rebalance" || ground == GroundKind::Native;
    let wanted: Vec<_> = STORIES.into_iter().filter(can_be_told).collect();
    assert_eq!(names, wanted, "{told}");
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    home.until_no_process_is_left().await;
    assert_eq!(home.folders(), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn a_demo_that_is_interrupted_or_killed_leaves_no_process() {
    for (signal, code) in [("INT", Some(1)), ("KILL", None)] {
        let (folder, home) = (tempfile::tempdir().unwrap(), Home::new());
        let mut running = home.demo(&["--story", "success"], folder.path()).spawn().unwrap();
        let servers = eventually(STARTED, "its database runs", async || {
            let folders = home.folders();
            let runs = |run: &PathBuf| run.join("postgres/data/postmaster.pid").exists();
            if folders.iter().any(runs) { Ok(()) } else { Err(format!("{folders:?}")) }
        });
        servers.await.unwrap();
        let kill = format!("kill -s {signal} {}", running.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(running.wait().unwrap().code(), code, "{signal}");
        home.until_no_process_is_left().await;
        // What a killed run leaves in its cache, the next start removes.
        assert!(signal == "KILL" || home.folders().is_empty(), "{:?}", home.folders());
    }
}
