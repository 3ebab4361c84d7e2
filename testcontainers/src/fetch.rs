//! Brings the pinned parts of `deploy/native/pom.xml` into the cache with Maven: each part alone,
//! once, whole or not at all. It says every few seconds how much has come.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::home::{Home, lock, make};
use crate::process::Launch;
use crate::{Progress, find_program};

/// The one place where versions are pinned.
const POM: &str = include_str!("../../deploy/native/pom.xml");
/// On a slow line the largest part, of 109 MB, takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Whoever waits hears from us this often.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// A part that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Kafka,
    Registry,
    Postgres,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::Postgres => "postgres",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Kafka => "Apache Kafka (44 MB)",
            Self::Registry => "Apicurio Registry (109 MB)",
            Self::Postgres => "PostgreSQL (15 MB)",
        }
    }

    fn goal(self) -> &'static str {
        match self {
            Self::Kafka => "dependency:copy-dependencies@kafka",
            Self::Registry => "dependency:unpack@registry",
            Self::Postgres => "dependency:unpack@postgres",
        }
    }

    pub(crate) fn version(self) -> &'static str {
        let name = self.name();
        let open = format!("<{name}.version>");
        let found = POM.split_once(&open).and_then(|(_, rest)| rest.split_once('<'));
        found.expect("the committed pom names the version of every part").0
    }

    /// Named after the whole pom, so that any change of what belongs to a part brings it anew.
    fn place(self, home: &Home) -> PathBuf {
        let pom = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, POM.as_bytes()).simple();
        let pom = &pom.to_string()[..8];
        home.parts().join(format!("{}-{}-{pom}", self.name(), self.version()))
    }
}

/// Whether the part is in the cache.
pub(crate) fn has(home: &Home, part: Part) -> bool {
    part.place(home).is_dir()
}

/// The part's folder, fetched if it is not there. Others who want the same part wait for it.
pub(crate) async fn fetch(home: &Home, part: Part, progress: &Progress) -> Result<PathBuf> {
    let place = part.place(home);
    if place.is_dir() {
        return Ok(place);
    }
    make(&home.parts())?;
    let _one_at_a_time = exclusively(&home.parts().join(format!(".{}.lock", part.name()))).await?;
    if place.is_dir() {
        return Ok(place);
    }
    let (title, version) = (part.title(), part.version());
    progress(&format!("downloading {title} {version} with Maven into {}", place.display()));
    let draft = home.parts().join(format!(".{}.draft", part.name()));
    drop(fs::remove_dir_all(&draft));
    make(&draft)?;
    maven(part, &draft, progress).await.with_context(|| format!("downloading {title}"))?;
    let out = draft.join("out");
    let out = if part == Part::Postgres { unpack(&out, &draft).await? } else { out };
    fs::rename(&out, &place).with_context(|| format!("moving to {}", place.display()))?;
    fs::remove_dir_all(&draft)?;
    Ok(place)
}

/// Waits for a file lock without holding up the runtime.
pub(crate) async fn exclusively(path: &Path) -> Result<fs::File> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || lock(&path)).await?
}

async fn maven(part: Part, draft: &Path, progress: &Progress) -> Result<()> {
    let mvn = find_program("mvn").context("there is no mvn on PATH")?;
    let (pom, log) = (draft.join("pom.xml"), draft.join("maven.log"));
    fs::write(&pom, POM)?;
    let define = |name: &str, value: &str| format!("-D{name}={value}");
    // Neither quiet nor in batch mode: then it would not say how far it is.
    let launch = Launch::new(mvn, &log).folder(draft).args([
        "-f".to_owned(),
        pom.display().to_string(),
        part.goal().to_owned(),
        define("style.color", "never"),
        define("out", &draft.join("out").display().to_string()),
        define("postgres.platform", &platform()?),
    ]);
    let fetched = run(&launch);
    tokio::pin!(fetched);
    let begun = Instant::now();
    loop {
        tokio::select! {
            done = &mut fetched => return done,
            () = tokio::time::sleep(TELL_EVERY) => {
                let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
                let (title, seconds) = (part.title(), begun.elapsed().as_secs());
                progress(&format!("{title}: {:.0} MB after {seconds} s", downloaded(&text)));
            }
        }
    }
}

/// Megabytes that Maven says it has downloaded: whole files, and those on their way by its last
/// line. `Progress (2): 1.2/4.1 MB | 30/512 kB` and `Downloaded from central: URL (15 MB at 9 MB/s)`.
fn downloaded(log: &str) -> f64 {
    let chunks = || log.split(['\r', '\n']).filter(|chunk| !chunk.trim().is_empty());
    let whole = chunks().filter_map(|chunk| {
        let (_, size) = chunk.strip_prefix("Downloaded from ")?.rsplit_once('(')?;
        megabytes(size.split(" at ").next()?)
    });
    let last = chunks().next_back().and_then(|chunk| chunk.strip_prefix("Progress ("));
    let under_way = last.and_then(|chunk| Some(chunk.split_once(": ")?.1)).into_iter();
    let under_way = under_way.flat_map(|sizes| sizes.split('|')).filter_map(megabytes);
    whole.chain(under_way).fold(0.0, |sum, size| sum + size)
}

/// Of `1.2/4.1 MB` the first number, in megabytes.
fn megabytes(size: &str) -> Option<f64> {
    let (number, unit) = size.trim().split_once(' ')?;
    let number: f64 = number.split('/').next()?.parse().ok()?;
    let factor = match unit {
        "B" => 1e-6,
        "kB" => 1e-3,
        "MB" => 1.0,
        "GB" => 1e3,
        _ => return None,
    };
    Some(number * factor)
}

/// The jar holds one `.txz` with the tree.
async fn unpack(out: &Path, draft: &Path) -> Result<PathBuf> {
    let archives = fs::read_dir(out)?.filter_map(|entry| Some(entry.ok()?.path()));
    let archive = archives.into_iter().find(|path| path.extension().is_some_and(|e| e == "txz"));
    let archive = archive.context("the archive of PostgreSQL holds no .txz")?;
    let tree = draft.join("tree");
    make(&tree)?;
    let tar = Launch::new("tar", draft.join("tar.log")).folder(&tree);
    let unpacked = run(&tar.args(["-xJf".into(), archive.into_os_string()])).await;
    unpacked.context("unpacking PostgreSQL, which needs tar and xz (Debian: xz-utils)")?;
    Ok(tree)
}

async fn run(launch: &Launch) -> Result<()> {
    let mut process = launch.start()?;
    let status = process.wait(PATIENCE).await?;
    if !status.success() {
        let tail = process.log_tail(12);
        // What a terminal would have overwritten is not worth telling.
        let lines = tail.lines().filter_map(|line| line.rsplit('\r').find(|part| !part.is_empty()));
        bail!("{status}\n{}", lines.collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn platform() -> Result<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        other => bail!("there are no PostgreSQL binaries for {other}"),
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => bail!("there are no PostgreSQL binaries for {other}"),
    };
    Ok(format!("{system}-{machine}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_maven_says_is_counted_in_megabytes() {
        let finished = "[INFO] Scanning for projects...\n\
            Downloading from central: https://repo/a.pom\nProgress (1): 2.1 kB\r         \r\
            Downloaded from central: https://repo/a.pom (500 kB at 8.3 kB/s)\n\
            Downloaded from central: https://repo/b(1).jar (15 MB at 16 MB/s)\n";
        assert_eq!(downloaded(finished), 15.5);
        let on_its_way = format!("{finished}Progress (2): 40/109 MB | 1.5/2.0 MB\r");
        assert_eq!(downloaded(&on_its_way), 57.0);
        assert_eq!(downloaded(&format!("{on_its_way}Progress (1): 41/109 MB  \r")), 56.5);
        assert_eq!(downloaded("Progress (1): what\rDownloaded from elsewhere\n"), 0.0);
    }
}
