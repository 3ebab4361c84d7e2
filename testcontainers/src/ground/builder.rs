//! How a ground is started: which parts, where their data lie, how the disk behaves.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};

use super::java::Compiler;
use super::kafka::Purpose;
use super::postgres::{Disk, Postgres};
use super::{Ground, GroundKind, Inner, SlowDisk, embedded, native};
use crate::Progress;
use crate::home::Home;

/// How a ground is to be started.
pub struct Builder {
    kind: Option<GroundKind>,
    data: Option<PathBuf>,
    home: Option<Home>,
    doors: usize,
    measured: Option<Option<SlowDisk>>,
    progress: Progress,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Builder");
        shown.field("kind", &self.kind).field("data", &self.data).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        let progress: Progress = Arc::new(|_| ());
        Self { kind: None, data: None, home: None, doors: 0, measured: None, progress }
    }

    /// This kind, whatever the machine offers.
    #[must_use]
    pub fn kind(mut self, kind: GroundKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Keeps the data in this folder from one start to the next. The embedded broker and registry
    /// keep nothing.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Fetches into and runs in another place than [`Home::locate`] says.
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// Lets so many clients reach the native broker through a proxy each.
    #[must_use]
    pub fn proxied_clients(mut self, count: usize) -> Self {
        self.doors = count;
        self
    }

    /// For measurements: PostgreSQL brings each commit to the disk, as in production, or to one of another
    /// speed, and the broker's Java compiles thoroughly. Not with a folder for the data.
    #[must_use]
    pub fn measured(mut self, disk: Option<SlowDisk>) -> Self {
        self.measured = Some(disk);
        self
    }

    /// Hears one line for each step that a person may have to wait for.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Starts everything side by side and returns when all of it is ready.
    ///
    /// # Errors
    /// When a part is missing and cannot be fetched, or does not become ready: says which, with
    /// the end of its log.
    pub async fn start(self) -> Result<Ground> {
        let progress = self.progress;
        let kind = match self.kind {
            Some(kind) => kind,
            None => {
                let (kind, reason) = GroundKind::choose()?;
                progress(&format!("ground: {kind}, {reason}"));
                kind
            }
        };
        let home = self.home.map_or_else(Home::locate, Ok)?;
        let folder = match &self.data {
            Some(path) => Home::kept_folder(path)?,
            None => home.run_folder()?,
        };
        let kept = folder.kept();
        let of = |part: &str| folder.path().join(part);
        let disk = match self.measured {
            Some(_) if kept => {
                bail!("data that are kept cannot be thrown away after a measurement")
            }
            Some(disk) => Disk::Synced(disk),
            None if kept => Disk::Kept,
            None => Disk::ThrownAway,
        };
        let compiler = match disk {
            Disk::Synced(_) => Compiler::Well,
            Disk::Kept | Disk::ThrownAway => Compiler::Soon,
        };
        let postgres = async {
            let postgres = Postgres::start(&home, &of("postgres"), &disk, &progress).await?;
            postgres.until_ready().await.map(|()| postgres)
        };
        let events = async {
            match kind {
                GroundKind::Native => {
                    let purpose = Purpose { orphan: !kept, doors: self.doors, compiler };
                    native(&home, folder.path(), purpose, &progress).await
                }
                GroundKind::Embedded => embedded(),
            }
        };
        let (postgres, events) = tokio::try_join!(postgres, events)?;
        let folder = Mutex::new(Some(folder));
        Ok(Ground(Arc::new(Inner { kind, events, postgres, folder, kept })))
    }
}
