//! What the two Java servers have in common: small heaps, a quick compiler, and an archive of loaded
//! classes that is made once and halves every later start.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fetch::exclusively;
use crate::find_program;
use crate::process::Launch;

/// Chosen for a short start and small memory.
const FLAGS: [&str; 2] = ["-XX:+UseSerialGC", "-Xshare:auto"];

/// What the compiler is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// A short life: quick code soon.
    Soon,
    /// Minutes of work: what is hot is compiled again, and well.
    Well,
}

/// What the class archive is for in a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archive {
    /// Made when this server ends.
    Make,
    /// Used if it is there.
    Use,
}

/// A start of `java` with these program arguments; its files are in the folder of its log.
pub(crate) fn launch(
    log: &Path,
    heap_mb: u32,
    compiler: Compiler,
    archive: (Archive, &Path),
    args: impl IntoIterator<Item = OsString>,
) -> Result<Launch> {
    let java = find_program("java").context("there is no java on PATH")?;
    let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    flags.extend((compiler == Compiler::Soon).then(|| "-XX:TieredStopAtLevel=1".into()));
    flags.push(format!("-Xmx{heap_mb}m").into());
    // What it unpacks for itself goes when its folder goes, also when it is killed.
    let folder = log.parent().context("a log is in a folder")?;
    flags.push(with_path("-Djava.io.tmpdir=", folder));
    let option = match archive.0 {
        Archive::Make => Some("-XX:ArchiveClassesAtExit="),
        Archive::Use => archive.1.exists().then_some("-XX:SharedArchiveFile="),
    };
    flags.extend(option.map(|option| with_path(option, archive.1)));
    Ok(Launch::new(java, log).args(flags).args(args))
}

/// Makes the archive if there is none, by `training`: one start and end of the server. It is a
/// matter of speed alone, so a failure is only told.
pub(crate) async fn train(
    archive: &Path,
    progress: &crate::Progress,
    training: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<()> {
    if archive.exists() {
        return Ok(());
    }
    let _one_at_a_time = exclusively(&archive.with_extension("lock")).await?;
    if archive.exists() {
        return Ok(());
    }
    let draft = archive.with_extension("draft");
    drop(fs::remove_file(&draft));
    let trained = training(&draft).await.and_then(|()| Ok(fs::rename(&draft, archive)?));
    if let Err(error) = trained {
        progress(&format!("without an archive of Java classes starts are slower: {error:#}"));
    }
    Ok(())
}

pub(crate) fn with_path(text: &str, path: &Path) -> OsString {
    let mut joined = OsString::from(text);
    joined.push(path);
    joined
}

/// The jars of a folder in a fixed order, on which the archive depends.
pub(crate) fn classpath(folder: &Path) -> Result<OsString> {
    let files = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut jars: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    jars.retain(|path| path.extension().is_some_and(|extension| extension == "jar"));
    jars.sort();
    std::env::join_paths(jars).context("the cache folder's name holds a colon")
}
