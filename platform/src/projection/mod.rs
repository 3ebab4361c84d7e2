//! The builds of a view. One is live; another may be made beside it and take its place; the one
//! before is kept for a day. Rows are folded only by the code that began them: a build that was
//! begun by other code is left as it is, and said so.

mod build;
mod courtesy;
mod exchange;
pub(crate) mod retell;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio_util::sync::CancellationToken;

use crate::consume::reaction::Room;
use crate::core::{Core, in_time};
use crate::{Condition, Fault};

pub(crate) use courtesy::Courtesy;
pub(crate) use exchange::{begin, cancel, drop_old, roll_back, swap};

/// How often the builds are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where the platform's tables of the live build are.
pub(crate) const LIVE: &str = "millrace";

/// How the rows of a view come about.
#[derive(Debug, Clone)]
pub(crate) struct ViewCode {
    /// Its tables, without a schema.
    pub(crate) tables: &'static [&'static str],
    /// Fingerprint of the code that folds, and of the settings it folds by.
    pub(crate) fold: String,
}

impl ViewCode {
    /// The same code with these settings folds other rows.
    pub(crate) fn with_settings(mut self, settings: &serde_json::Value) -> Self {
        if settings.as_object().is_some_and(|all| !all.is_empty()) {
            let digest = Sha256::digest(settings.to_string());
            let short: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
            self.fold = format!("{}-{short}", self.fold);
        }
        self
    }
}

/// A build as it is stored.
struct Build {
    number: i32,
    live: bool,
    fold: String,
}

/// The schema of a build that is not live.
fn schema(build: i32) -> String {
    format!("build_{build}")
}

/// The first build of a new database is live, and ours.
pub(crate) async fn ensure(core: &Core) -> Result<(), Fault> {
    let Some(view) = &core.view else { return Ok(()) };
    let first = sqlx::query(
        "INSERT INTO millrace.projection (build, state, fold)
         SELECT 1, 'live', $1 WHERE NOT EXISTS (SELECT 1 FROM millrace.projection)
         ON CONFLICT DO NOTHING",
    );
    first.bind(&view.fold).execute(&core.pool).await?;
    Ok(())
}

/// Looks after the builds until stopped: says which one is live if it is ours, makes the one in the
/// making if it is ours, and says anew what the rows amount to when another build became live.
pub(crate) async fn run(
    core: Arc<Core>,
    room: Arc<dyn Room>,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let mut making: Option<(i32, build::Making)> = None;
    while !stop.is_cancelled() {
        match in_time(look(&core)).await {
            Ok(builds) => {
                tell(&core, &condition, &builds);
                let fold = core.view.as_ref().map_or("", |view| view.fold.as_str());
                let ours = |build: &&Build| !build.live && build.fold == fold;
                let wanted = builds.iter().find(ours).map(|build| build.number);
                if making.as_ref().map(|(number, _)| *number) != wanted {
                    if let Some((_, making)) = making.take() {
                        making.end().await;
                    }
                    let begin = |number| (number, build::Making::begin(&core, &room, number));
                    making = wanted.map(begin);
                }
                if let Err(fault) = work(&core, &*room, wanted).await {
                    tracing::warn!(service = core.service, error = %fault, "builds wait");
                }
            }
            Err(fault) => {
                tracing::debug!(service = core.service, error = %fault, "builds not seen");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    if let Some((_, making)) = making {
        making.end().await;
    }
    Ok(())
}

async fn work(core: &Core, room: &dyn Room, making: Option<i32>) -> Result<(), Fault> {
    if let Some(number) = making {
        in_time(Box::pin(build::caught_up(core, number))).await?;
    }
    if *core.live.borrow() > 0 {
        in_time(Box::pin(retell::step(core, room))).await?;
    }
    Ok(())
}

async fn look(core: &Core) -> Result<Vec<Build>, Fault> {
    let rows = sqlx::query(
        "SELECT build, state = 'live', fold FROM millrace.projection
         WHERE state IN ('live', 'building')",
    );
    let build = |row: &PgRow| Build { number: row.get(0), live: row.get(1), fold: row.get(2) };
    Ok(rows.fetch_all(&core.pool).await?.iter().map(build).collect())
}

/// Says which build is live, or that it is not for this code.
fn tell(core: &Core, condition: &Condition, builds: &[Build]) {
    let Some(live) = builds.iter().find(|build| build.live) else { return };
    let fold = core.view.as_ref().map_or("", |view| view.fold.as_str());
    let ours = live.fold == fold;
    let number = if ours { live.number } else { 0 };
    core.live.send_if_modified(|known| std::mem::replace(known, number) != number);
    match ours {
        true => condition.ok(),
        false => condition.not(format!(
            "build {} of the view was folded by other code ({}) than this ({fold}), which leaves it \
             as it is; make one of this code: millrace projection rebuild {}",
            live.number, live.fold, core.service
        )),
    }
}
