//! What a person sees of an import while it runs, and their Ctrl-C. All of it on standard error.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ops::import::{Kind, Progress, RefusedRow};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::output::{no_color, stderr_is_terminal};

/// How often a bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a line is written where there can be no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// What a shell gives a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A running import.
pub(super) struct Watch {
    path: PathBuf,
    bar: Option<ProgressBar>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Watch {
    pub(super) fn start(kind: Kind, total: u64, path: &Path) -> Self {
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let bar = stderr_is_terminal().then(|| bar(kind, total));
        let tasks = [
            tokio::spawn(follow(kind, total, progress.clone(), bar.clone())),
            tokio::spawn(listen(stop.clone())),
        ];
        Self { path: path.to_owned(), bar, progress, stop, tasks }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells at once of a row that a service refused.
    pub(super) fn refused(&self, row: &RefusedRow) {
        let line = format!("{}:{}: {}", self.path.display(), row.line, row.reason);
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    pub(super) fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(kind: Kind, total: u64) -> ProgressBar {
    let colour = if no_color() { "" } else { ".cyan" };
    let shown = format!("{{msg}} {{bar:30{colour}}} {{pos}}/{{len}} {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&shown).expect("the template is well formed");
    ProgressBar::new(total).with_style(style).with_message(kind.as_str())
}

async fn follow(kind: Kind, total: u64, progress: Arc<Progress>, bar: Option<ProgressBar>) {
    let mut ticks = interval(if bar.is_some() { BAR_EVERY } else { LINE_EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (done, refused) = (progress.done(), progress.refused());
        match &bar {
            Some(bar) => bar.set_position(done),
            None => {
                let (kind, in_flight) = (kind.as_str(), progress.in_flight());
                eprintln!("{kind}: {done} of {total}, {refused} refused, {in_flight} on their way");
            }
        }
    }
}

/// The first Ctrl-C lets what is on its way arrive, the second does not.
async fn listen(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    eprintln!("stopping; once more to stop at once");
    stop.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(INTERRUPTED);
    }
}
