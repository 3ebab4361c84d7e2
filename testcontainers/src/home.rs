//! The folders outside the clone: what was fetched, what runs now, what `dev` keeps. A lock that
//! the kernel lets go of with its holder says whose owner still lives.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Root's servers run as this user, who must be able to read the files: `nobody` on Linux.
const NOBODY: u32 = 65_534;

/// Where the ground keeps its files.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// `MILLRACE_HOME`, else the user's cache folder, else for root `/var/cache/millrace`, which
    /// others may read.
    ///
    /// # Errors
    /// When no variable says where the user's files are, or the folder cannot be made.
    pub fn locate() -> Result<Self> {
        let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = if let Some(home) = given("MILLRACE_HOME") {
            PathBuf::from(home)
        } else if is_root()? {
            PathBuf::from("/var/cache/millrace")
        } else if let Some(cache) = given("XDG_CACHE_HOME") {
            PathBuf::from(cache).join("millrace")
        } else {
            let home = given("HOME").context("neither MILLRACE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache/millrace")
        };
        Self::at(path)
    }

    /// A home at a given place.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = std::path::absolute(path.into())?;
        make(&path)?;
        Ok(Self(path))
    }

    /// Fetched once, read by all.
    pub fn parts(&self) -> PathBuf {
        self.0.join("parts")
    }

    /// A fresh folder that goes with its owner. What dead owners left is removed first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn run_folder(&self) -> Result<Folder> {
        let root = self.0.join("run");
        make(&root)?;
        let _one_at_a_time = lock(&root.join(".lock"))?;
        sweep(&root)?;
        let path = root.join(uuid::Uuid::now_v7().to_string());
        let lock = lock(&path.with_extension("lock"))?;
        make(&path)?;
        Ok(Folder { path, lock, kept: false })
    }

    /// A folder that stays, for one owner at a time.
    ///
    /// # Errors
    /// When another process holds it, or the disk refuses.
    pub fn kept_folder(path: &Path) -> Result<Folder> {
        let path = std::path::absolute(path)?;
        make(&path)?;
        let file = open_lock(&path.join(".lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Folder { path, lock: file, kept: true }),
            Err(TryLockError::WouldBlock) => bail!("{} is in use already", path.display()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// A folder held by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
    kept: bool,
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays when its owner ends.
    pub fn kept(&self) -> bool {
        self.kept
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // The lock file goes last: without it nobody would sweep what is left of the folder.
            drop(fs::remove_dir_all(&self.path));
            drop(fs::remove_file(self.path.with_extension("lock")));
        }
        drop(self.lock.unlock());
    }
}

/// The user that servers run as which refuse to be root: nobody for root, else no other.
///
/// # Errors
/// When the process cannot find out who it is.
pub(crate) fn unprivileged() -> Result<Option<u32>> {
    Ok(is_root()?.then_some(NOBODY))
}

/// Makes a folder and its parents.
pub(crate) fn make(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))
}

/// Waits for a lock; it is held until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

fn open_lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// Removes what dead owners left. A watchdog may be removing the same folder at this moment, so a
/// failure only means that the next start finds the rest.
fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root)? {
        let lock = entry?.path();
        let is_lock = lock.extension().is_some_and(|extension| extension == "lock");
        if is_lock && open_lock(&lock)?.try_lock().is_ok() {
            let folder = lock.with_extension("");
            drop(fs::remove_dir_all(&folder));
            if !folder.exists() {
                drop(fs::remove_file(&lock));
            }
        }
    }
    Ok(())
}

/// Asked of a file that this process makes, since the standard library has no `getuid`.
fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let probe = tempfile::NamedTempFile::new().context("making a file to see who we are")?;
    Ok(probe.as_file().metadata()?.uid() == 0)
}
