//! The goals, each beside what it is measured against.

mod codec;
mod growth;
mod hop;
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
use crate::{Args, Form, results};

/// A disk whose sync is free, and one of a server.
const DISKS: [(&str, Duration); 2] = [("0", Duration::ZERO), ("2ms", Duration::from_millis(2))];

/// Measures what is asked for; says each verdict as soon as it is known.
pub(crate) async fn measure(args: &Args) -> Result<Vec<Verdict>> {
    let mut all = vec![];
    if args.wants(&codec::GOALS) {
        all.extend(told(args, "codec", codec::measure(args.size()).await?)?);
    }
    if args.wants(&hop::GOALS) {
        for (disk, sync) in DISKS {
            let ground = ground(sync).await?;
            let measured = hop::measure(&ground, disk, args.size()).await;
            ground.stop().await;
            all.extend(told(args, &format!("hop-{disk}"), measured?)?);
        }
    }
    if args.wants(&saga::GOALS) {
        for (disk, sync) in DISKS {
            let ground = ground(sync).await?;
            let measured = saga::measure(&ground, disk, args.size()).await;
            ground.stop().await;
            all.extend(told(args, &format!("saga-{disk}"), measured?)?);
        }
    }
    if args.wants(&latency::GOALS) {
        let ground = ground(Duration::ZERO).await?;
        let measured = latency::measure(&ground, args.size()).await;
        ground.stop().await;
        all.extend(told(args, "latency", measured?)?);
    }
    if args.wants(&wake::GOALS) {
        let ground = ground(Duration::from_millis(2)).await?;
        let measured = wake::measure(&ground, args.size()).await;
        ground.stop().await;
        all.extend(told(args, "wake", measured?)?);
    }
    if args.wants(&growth::GOALS) {
        let ground = ground(Duration::ZERO).await?;
        let measured = growth::measure(&ground, args.size()).await;
        ground.stop().await;
        all.extend(told(args, "growth", measured?)?);
    }
    if args.wants(&telemetry::GOALS) {
        let ground = ground(Duration::ZERO).await?;
        let measured = telemetry::measure(&ground, args.size()).await;
        ground.stop().await;
        all.extend(told(args, "telemetry", measured?)?);
    }
    if args.wants(&relay::GOALS) {
        let ground = ground(Duration::ZERO).await?;
        let measured = relay::measure(&ground, args.size()).await;
        ground.stop().await;
        all.extend(told(args, "relay", measured?)?);
    }
    Ok(all)
}

fn told(
    args: &Args,
    name: &str,
    (rounds, verdicts): (Rounds, Vec<Verdict>),
) -> Result<Vec<Verdict>> {
    results::keep(&args.results, name, &rounds, &verdicts)?;
    if args.output == Form::Ndjson {
        for verdict in &verdicts {
            println!("{}", serde_json::to_string(verdict)?);
        }
    }
    Ok(verdicts)
}

/// A ground of its own, whose database takes this time to bring a commit to the disk.
async fn ground(sync: Duration) -> Result<Ground> {
    let library = std::env::current_exe()?.with_file_name("libslow_disk.so");
    anyhow::ensure!(library.exists(), "{} is not built", library.display());
    let library = readable(&library)?;
    let disk = SlowDisk { library: library.clone(), sync };
    let ground = Ground::builder().synced(Some(disk)).progress(|line| eprintln!("{line}")).start();
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
