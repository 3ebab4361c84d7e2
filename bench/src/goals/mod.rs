//! The goals, each beside what it is measured against.

mod codec;
mod freeze;
mod growth;
mod hop;
mod identities;
mod latency;
mod relay;
mod saga;
mod telemetry;
mod wake;

use std::time::Duration;

use anyhow::Result;
use harness::{Ground, GroundKind, SlowDisk};

use crate::rounds::Rounds;
use crate::verdict::Verdict;
use crate::{Args, Form, Size, results};

/// How long a sync takes; `None` is as long as it does on the disk of this machine.
type Sync = Option<Duration>;

/// A disk whose sync is free, and one of a server.
const FREE: Sync = Some(Duration::ZERO);
const OF_SERVER: Sync = Some(Duration::from_millis(2));
/// Disks on which goals are judged, and others, which are measured to be known, and in quick size.
/// With the names under which hop and saga are kept.
const DISKS: [(&str, &str, &str, Sync); 2] =
    [("0", "hop-0", "saga-0", FREE), ("2ms", "hop-2ms", "saga-2ms", OF_SERVER)];
const OTHERS: [(&str, &str, Sync); 2] =
    [("5ms", "hop-5ms", Some(Duration::from_millis(5))), ("disk", "hop-disk", None)];

/// What came of the comparisons that were asked for.
pub(crate) struct Outcome<'a> {
    args: &'a Args,
    pub(crate) verdicts: Vec<Verdict>,
    /// Comparisons that did not come to their end.
    pub(crate) failed: Vec<&'static str>,
}

/// Measures what is asked for; says each verdict as soon as it is known. What fails is told, and the others go on.
pub(crate) async fn measure(args: &Args) -> Result<Outcome<'_>> {
    let (mut all, size) = (Outcome { args, verdicts: vec![], failed: vec![] }, args.size());
    if args.wants(&codec::GOALS) {
        all.note("codec", codec::measure(size).await)?;
    }
    for (disk, hop, _, sync) in DISKS {
        if args.wants(hop::goals(disk)) {
            let measured = on(sync, async |ground| hop::measure(ground, disk, size).await).await;
            all.note(hop, measured)?;
        }
    }
    for (disk, hop, sync) in OTHERS {
        if args.wants_slow(hop::goals(disk)) {
            let quick = async |ground: &Ground| hop::measure(ground, disk, Size::of(true)).await;
            all.note(hop, on(sync, quick).await)?;
        }
    }
    for (disk, _, saga, sync) in DISKS {
        let wanted = match sync {
            FREE => args.wants(saga::goals(disk)),
            _ => args.wants_slow(saga::goals(disk)),
        };
        if wanted {
            let measured = on(sync, async |ground| saga::measure(ground, disk, size).await).await;
            all.note(saga, measured)?;
        }
    }
    if args.wants(&freeze::GOALS) {
        let seen = on(FREE, async |ground| match ground.kind() {
            GroundKind::Embedded => Ok(None),
            _ => freeze::measure(ground).await.map(Some),
        });
        match seen.await.transpose() {
            Some(measured) => all.note("freeze", measured)?,
            None => {
                eprintln!("embedded ground: its broker cannot stand still, so nothing is judged")
            }
        }
    }
    if args.wants_slow(&latency::GOALS) {
        let measured = on(FREE, async |ground| latency::measure(ground, size).await).await;
        all.note("latency", measured)?;
    }
    if args.wants_slow(&wake::GOALS) {
        let measured = on(OF_SERVER, async |ground| wake::measure(ground, size).await).await;
        all.note("wake", measured)?;
    }
    if args.wants_slow(&growth::GOALS) {
        let measured = on(FREE, async |ground| growth::measure(ground, size).await).await;
        all.note("growth", measured)?;
    }
    if args.wants_slow(&identities::GOALS) {
        let measured = on(FREE, async |ground| identities::measure(ground, size).await).await;
        all.note("identities", measured)?;
    }
    if args.wants_slow(&telemetry::GOALS) {
        let measured = on(FREE, async |ground| telemetry::measure(ground, size).await).await;
        all.note("telemetry", measured)?;
    }
    if args.wants(&relay::GOALS) {
        let measured = on(FREE, async |ground| relay::measure(ground, size).await).await;
        all.note("relay", measured)?;
    }
    Ok(all)
}

/// Measures on a ground of its own.
async fn on<T>(sync: Sync, measure: impl AsyncFnOnce(&Ground) -> Result<T>) -> Result<T> {
    let ground = ground(sync).await?;
    let measured = measure(&ground).await;
    ground.stop().await;
    measured
}

impl Outcome<'_> {
    /// Keeps what was measured, and says it.
    fn note(&mut self, name: &'static str, measured: Result<(Rounds, Vec<Verdict>)>) -> Result<()> {
        let (rounds, verdicts) = match measured {
            Ok(measured) => measured,
            Err(error) => {
                eprintln!("{name} failed, and is not judged: {error:#}");
                self.failed.push(name);
                return Ok(());
            }
        };
        results::keep(&self.args.results, name, &rounds, &verdicts)?;
        if self.args.output == Form::Ndjson {
            for verdict in &verdicts {
                println!("{}", serde_json::to_string(verdict)?);
            }
        }
        self.verdicts.extend(verdicts);
        Ok(())
    }
}

/// A ground of its own, whose database takes this time to bring a commit to the disk.
async fn ground(sync: Sync) -> Result<Ground> {
    let library = std::env::current_exe()?.with_file_name("libslow_disk.so");
    anyhow::ensure!(library.exists(), "{} is not built", library.display());
    let library = readable(&library)?;
    let disk = sync.map(|sync| SlowDisk { library: library.clone(), sync });
    let ground = Ground::builder().measured(disk).progress(|line| eprintln!("{line}")).start();
    let started = ground.await;
    // The server has loaded it, and its processes descend from the one that did.
    std::fs::remove_file(library)?;
    let ground = started?;
    if ground.kind() == GroundKind::Embedded {
        eprintln!("embedded ground: only ratios mean something here");
    }
    Ok(ground)
}

/// The server's processes may run as another user, who cannot look into a home.
fn readable(library: &std::path::Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let place = std::env::temp_dir().join(format!("slow-disk-{}.so", std::process::id()));
    std::fs::copy(library, &place)?;
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))?;
    Ok(place)
}
