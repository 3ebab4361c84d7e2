//! A dependency that stands still with its connections open: every request is answered, the
//! service says that it is not ready, and soon after the thaw all is as before.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Ground, GroundKind, Part, eventually};
use millrace::Running;
use tokio::time::{Instant, interval_at};

use super::Bench;
use crate::tally;

/// Within this time a request is answered, a service says that it is not ready, and after the thaw
/// that it is ready again.
const PROMISED: Duration = Duration::from_secs(5);
/// What a busy machine may add before a promise counts as broken.
const GRACE: Duration = Duration::from_millis(500);
/// A part stands still for longer than any promise.
const FROZEN: Duration = Duration::from_secs(8);
/// A client asks this often.
const ASK_EVERY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_is_answered_for_told_of_and_forgotten() -> Result<()> {
    let stage = Stage::open().await?;
    let answers = stage.freeze(Part::Postgres, &["writer", "tally", "ledger"]).await?;
    ensure!(answers.iter().all(|status| [202, 409, 503, 504].contains(status)), "{answers:?}");
    ensure!(answers.contains(&503), "nobody was told: {answers:?}");
    stage.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_told_of_while_commands_are_accepted() -> Result<()> {
    let stage = Stage::open().await?;
    let answers = stage.freeze(Part::Broker, &["writer", "tally", "ledger"]).await?;
    ensure!(answers.iter().all(|status| *status == 202), "{answers:?}");
    stage.close().await
}

/// What is known of schemas needs no registry: nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_registry_is_not_noticed_by_who_knows_its_schemas() -> Result<()> {
    let stage = Stage::open().await?;
    let answers = stage.freeze(Part::Registry, &[]).await?;
    ensure!(answers.iter().all(|status| *status == 202), "{answers:?}");
    stage.close().await
}

/// Three services on a ground of their own, and how many notes were sent.
struct Stage {
    ground: Ground,
    bench: Bench,
    services: Vec<Running>,
}

impl Stage {
    async fn open() -> Result<Self> {
        let ground = Ground::start(GroundKind::Native).await?;
        let bench = Bench::on(&ground).await?;
        let mut services = vec![];
        for service in [tally::writer(), tally::tally(), tally::ledger()] {
            services.push(bench.world.mount(service).await?);
        }
        bench.note(&services[0], "warm", 1).await?;
        bench.until_notes(&BTreeMap::from([("warm".into(), 1)])).await?;
        Ok(Self { ground, bench, services })
    }

    /// Freezes a part under requests, and thaws it; the status of each answer. Afterwards every
    /// note is there once, whatever its client was told.
    async fn freeze(&self, part: Part, unready: &[&str]) -> Result<Vec<u16>> {
        let concerned: Vec<&Running> =
            self.services.iter().filter(|it| unready.contains(&it.name())).collect();
        self.ground.freeze(part).await?;
        let (told, answers) = tokio::join!(
            futures::future::try_join_all(concerned.iter().map(|it| tells(it, false))),
            self.ask(),
        );
        let (_, answers) = (told?, answers?);
        for service in self.services.iter().filter(|it| !unready.contains(&it.name())) {
            ensure!(service.health().ready().is_ok(), "{} noticed", service.name());
        }
        self.ground.thaw(part).await?;
        futures::future::try_join_all(self.services.iter().map(|it| tells(it, true))).await?;
        let mut wanted = BTreeMap::from([("warm".to_owned(), 1)]);
        for n in 0..answers.len() {
            let (status, body) =
                self.bench.post(&self.services[0], &format!("k-{n}"), "book", 1).await?;
            ensure!(status == 202, "k-{n} after the thaw: {status}: {body}");
            *wanted.entry("book".to_owned()).or_insert(0) += 1;
        }
        self.bench.until_notes(&wanted).await?;
        Ok(answers)
    }

    /// A new note again and again, each answered in time; the status of each answer.
    async fn ask(&self) -> Result<Vec<u16>> {
        let begin = Instant::now();
        let asks = (0..FROZEN.div_duration_f64(ASK_EVERY) as u32).map(|n| async move {
            interval_at(begin + ASK_EVERY * n, FROZEN).tick().await;
            let (asked, key) = (Instant::now(), format!("k-{n}"));
            let answer = self.bench.post(&self.services[0], &key, "book", 1);
            let answer = tokio::time::timeout(PROMISED + GRACE, answer).await;
            let (status, _) = answer.with_context(|| format!("{key} has no answer"))??;
            ensure!(asked.elapsed() < PROMISED + GRACE, "{key} took {:?}", asked.elapsed());
            anyhow::Ok(status)
        });
        futures::future::try_join_all(asks).await
    }

    async fn close(self) -> Result<()> {
        for service in self.services {
            service.stop().await?;
        }
        self.ground.stop().await;
        Ok(())
    }
}

/// Waits until a service says that it is ready, or that it is not.
async fn tells(service: &Running, ready: bool) -> Result<()> {
    let what =
        format!("{} says that it is {}ready", service.name(), if ready { "" } else { "not " });
    eventually(PROMISED + GRACE, &what, async || match (service.health().ready(), ready) {
        (Ok(()), true) | (Err(_), false) => Ok(()),
        (told, _) => Err(format!("{told:?}")),
    })
    .await
}
