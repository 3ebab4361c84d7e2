//! The stories of the demo, told by the real binary on the ground this machine offers.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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
/// Warm it takes under a minute; a machine that does everything at once may need more.
const PATIENCE: Duration = Duration::from_secs(240);

/// The home is the shared one: what a ground needs is fetched once.
fn demo(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.arg("demo").args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_story_holds_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let output = demo(&["-o", "ndjson"], folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let reports = lines(&output);
    for report in &reports {
        assert_eq!(report["ok"], true, "{report:#}\n{told}");
        assert_eq!(report["expected"], report["observed"]);
        assert!(report["ms"].as_u64().unwrap() > 0);
    }
    let names: Vec<_> = reports.iter().map(|report| report["story"].as_str().unwrap()).collect();
    assert_eq!(names, STORIES);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
