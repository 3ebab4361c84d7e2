//! Brings the pinned parts of `deploy/native/pom.xml` into the cache with Maven: each part alone,
//! once, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::home::{Home, lock, make};
use crate::process::Launch;
use crate::{Progress, find_program};

/// The one place where versions are pinned.
const POM: &str = include_str!("../../deploy/native/pom.xml");
/// On a slow line the largest part, of 109 MB, takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

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
    maven(part, &draft).await.with_context(|| format!("downloading {title}"))?;
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

async fn maven(part: Part, draft: &Path) -> Result<()> {
    let mvn = find_program("mvn").context("there is no mvn on PATH")?;
    let pom = draft.join("pom.xml");
    fs::write(&pom, POM)?;
    let define = |name: &str, value: &str| format!("-D{name}={value}");
    let launch = Launch::new(mvn, draft.join("maven.log")).folder(draft).args([
        "-B".to_owned(),
        "-q".to_owned(),
        "-f".to_owned(),
        pom.display().to_string(),
        part.goal().to_owned(),
        define("out", &draft.join("out").display().to_string()),
        define("postgres.platform", &platform()?),
    ]);
    run(&launch).await
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
        bail!("{status}\n{}", process.log_tail(12));
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
