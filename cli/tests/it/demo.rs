//! The stories of the demo, told by the real binary on the ground this machine offers, and what is
//! left of it when it ends, is interrupted or is killed: nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::eventually;

const STORIES: [&str; 9] = [
    "success",
    "no-stock",
    "payment-refused",
    "cancelled-after-payment",
    "duplicate-checkout",
    "expired",
    "trace",
    "replay",
    "crash",
];
const STARTED: Duration = Duration::from_secs(60);
/// A server gets five seconds to end by itself.
const GONE: Duration = Duration::from_secs(20);
/// In the environment of the demo, and so of every process it starts.
const MARK: &str = "DEMO_TEST_MARK";

/// The home is the shared one: what a ground needs is fetched once.
fn demo(arguments: &[&str], folder: &Path, mark: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.arg("demo").args(arguments).current_dir(folder).env(MARK, mark);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn mark() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The processes that carry the mark; none are seen where there is no `/proc`.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let carries = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &Path| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    paths.filter(|path| carries(path)).map(|path| named(&path)).collect()
}

async fn until_all_are_gone(mark: &str) {
    let gone = eventually(GONE, "every process of the demo is gone", async || {
        let left = marked(mark);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    gone.await.unwrap();
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_story_holds_and_nothing_is_left_behind() {
    let (folder, mark) = (tempfile::tempdir().unwrap(), mark());
    let output = demo(&["-o", "ndjson"], folder.path(), &mark).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let reports = lines(&output);
    for report in &reports {
        assert_eq!(report["ok"], true, "{report:#}\n{told}");
        assert_eq!(report["expected"], report["observed"]);
        assert!(report["ms"].as_u64().unwrap() > 0);
    }
    let names: Vec<_> = reports.iter().map(|report| report["story"].as_str().unwrap()).collect();
    assert_eq!(names, STORIES, "{told}");
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    until_all_are_gone(&mark).await;
}

#[tokio::test]
async fn a_demo_that_is_interrupted_or_killed_leaves_no_process() {
    for (signal, code) in [("INT", Some(1)), ("KILL", None)] {
        let (folder, mark) = (tempfile::tempdir().unwrap(), mark());
        let mut running = demo(&["--story", "success"], folder.path(), &mark).spawn().unwrap();
        let servers = eventually(STARTED, "its servers run", async || {
            let running = marked(&mark);
            let runs = |name: &str| running.iter().any(|process| process.contains(name));
            if runs("postgres") { Ok(()) } else { Err(format!("{running:?}")) }
        });
        if cfg!(target_os = "linux") {
            servers.await.unwrap();
        }
        let kill = format!("kill -s {signal} {}", running.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(running.wait().unwrap().code(), code, "{signal}");
        until_all_are_gone(&mark).await;
    }
}
