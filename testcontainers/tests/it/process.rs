//! A child ends with its owner, however the owner ends.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::{Launch, Signal, eventually};

/// Set for the copy of this test binary that plays the owner.
const OWNER: &str = "HARNESS_TEST_OWNER";

fn sleeper(folder: &Path) -> Launch {
    Launch::new("sleep", folder.join("log")).args(["600"])
}

/// The kernel's letter for what a process does: `S` sleeps, `T` is stopped. One that ended and
/// that nobody has waited for yet counts as gone.
pub(crate) fn state(id: u32) -> Option<char> {
    let told = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    told.rsplit_once(')')?.1.trim_start().chars().next().filter(|&state| state != 'Z')
}

fn runs(id: u32) -> bool {
    state(id).is_some()
}

async fn until_gone(id: u32) -> Result<()> {
    let gone = async || if runs(id) { Err(format!("{id} runs")) } else { Ok(()) };
    eventually(Duration::from_secs(10), "the child is gone", gone).await
}

/// The owner's part: starts a child, tells its id and waits to be killed.
#[test]
fn play_the_owner() {
    let Some(folder) = std::env::var_os(OWNER) else { return };
    let folder = Path::new(&folder);
    let doomed = folder.join("doomed");
    std::fs::create_dir_all(doomed.join("deep")).unwrap();
    let child = sleeper(folder).orphan_folder(&doomed).start().unwrap();
    std::fs::write(folder.join("id.draft"), child.id().to_string()).unwrap();
    std::fs::rename(folder.join("id.draft"), folder.join("id")).unwrap();
    std::thread::park();
}

#[tokio::test]
async fn a_child_ends_with_an_owner_that_is_killed_and_takes_its_folder_along() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--exact", "process::play_the_owner"])
        .env(OWNER, folder.path())
        .spawn()?;
    let child: u32 = eventually(Duration::from_secs(10), "the owner's child", async || {
        let told = std::fs::read_to_string(folder.path().join("id")).map_err(|e| e.to_string())?;
        told.parse().map_err(|_| told)
    })
    .await?;
    assert!(runs(child) && folder.path().join("doomed").is_dir());
    owner.kill()?;
    owner.wait()?;
    until_gone(child).await?;
    let left = || folder.path().join("doomed").exists();
    eventually(Duration::from_secs(10), "its folder is gone", async || {
        if left() { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .await
}

#[tokio::test]
async fn a_dropped_process_is_gone_with_all_it_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = format!("sleep 600 & echo $! > {}/inner; wait", folder.path().display());
    let process = Launch::new("sh", folder.path().join("log")).args(["-c", &script]).start()?;
    let inner: u32 = eventually(Duration::from_secs(10), "an inner process", async || {
        let told = std::fs::read_to_string(folder.path().join("inner")).unwrap_or_default();
        told.trim().parse().map_err(|_| told)
    })
    .await?;
    let outer = process.id();
    drop(process);
    assert!(!runs(outer));
    until_gone(inner).await
}

#[tokio::test]
async fn a_process_that_does_not_listen_is_killed_at_the_deadline() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    let mut deaf = Launch::new("sh", &log).args(["-c", script]).start()?;
    eventually(Duration::from_secs(10), "it is deaf", async || match deaf.log_tail(1).as_str() {
        "deaf" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await?;
    assert!(!deaf.stop(Signal::Term, Duration::from_millis(100)).await);
    let mut obedient = sleeper(folder.path()).start()?;
    let begun = Instant::now();
    assert!(obedient.stop(Signal::Term, Duration::from_secs(10)).await);
    assert!(begun.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[tokio::test]
async fn a_frozen_process_stands_still_until_it_is_thawed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let script = "while :; do echo tick; sleep 0.01; done";
    let mut ticking = Launch::new("sh", &log).args(["-c", script]).start()?;
    let length = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let grows = async |from: u64| {
        let look = async || if length() > from { Ok(()) } else { Err(format!("{from} bytes")) };
        eventually(Duration::from_secs(2), "the log grows", look).await
    };
    grows(0).await?;
    ticking.signal(Signal::Stop);
    eventually(Duration::from_secs(5), "it stands still", async || match state(ticking.id()) {
        Some('T') => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let frozen = length();
    assert!(ticking.wait(Duration::from_millis(200)).await.is_err());
    assert_eq!(length(), frozen);
    ticking.signal(Signal::Continue);
    grows(frozen).await
}

#[tokio::test]
async fn the_exit_of_a_program_is_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let script = "echo to stdout; echo to stderr >&2; echo $NAME; exit 7";
    let launch = Launch::new("sh", &log).args(["-c", script]).env("NAME", "given");
    let mut process = launch.start()?;
    let status = process.wait(Duration::from_secs(10)).await?;
    assert_eq!(status.code(), Some(7));
    assert_eq!(process.log_tail(3), "to stdout\nto stderr\ngiven");
    let mut missing = Launch::new("no-such-program", &log).start()?;
    assert_eq!(missing.wait(Duration::from_secs(10)).await?.code(), Some(127));
    Ok(())
}
