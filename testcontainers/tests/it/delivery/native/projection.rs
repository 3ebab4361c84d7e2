//! Another build of a view is made beside the live one, takes its place, and gives it back; rows are
//! never folded by two sorts of code.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::control::{Build, Kind, Place};
use millrace::{Running, Service};
use uuid::Uuid;

use super::seek::{end, filled};
use super::view::{Shown, until_shown};
use super::{Bench, SOON, until_unready};
use crate::tally;
use crate::tally::facts::TALLIES;
use crate::tally::ledger::UNSPEAKABLE;

impl Bench {
    /// Asks for a build by this code, and waits until it has caught up.
    async fn rebuild(&self, code: &str) -> Result<Uuid> {
        let marks = self.world.admin().await?.watermarks(&self.world.topic(&TALLIES)).await?;
        let records = marks.iter().map(|mark| mark.high - mark.low).sum();
        let filled = marks.iter().filter(|mark| mark.high > mark.low);
        let place = |mark: &millrace::admin::Watermarks| Place {
            topic: TALLIES.name.to_owned(),
            partition: mark.partition,
            offset: mark.high,
        };
        let to = filled.map(place).collect();
        let action = Build::Rebuild { fold: code.to_owned(), to, records };
        let id = self.ask("ledger", Kind::Projection { action }).await?;
        let (done, _, detail) = self.until_operation_of("ledger", id, "done").await?;
        ensure!(i64::from(done) == records, "{done} of {records}: {detail}");
        Ok(id)
    }

    /// A service that cannot become ready, because the live rows are of other code.
    async fn stranger(&self, service: Service) -> Result<Running> {
        let config = self.world.config(service.name()).await?;
        Ok(millrace::mount(service, config).await?)
    }

    async fn act(&self, action: Build, state: &str) -> Result<String> {
        let id = self.ask("ledger", Kind::Projection { action }).await?;
        Ok(self.until_operation_of("ledger", id, state).await?.2)
    }
}

async fn until_ready(service: &Running) -> Result<()> {
    eventually(SOON, "it is ready", async || service.health().ready().map_err(|e| format!("{e:?}")))
        .await
}

fn times(shown: &Shown, times: i64) -> Shown {
    shown.iter().map(|(book, (total, folded))| (book.clone(), (total * times, *folded))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_by_other_code_takes_the_place_of_the_live_one_and_gives_it_back() -> Result<()> {
    let bench = Bench::new().await?;
    let (mut services, mut wanted) = filled(&bench).await?;
    services.push(bench.stranger(tally::ledger_of::<2>("doubled")).await?);
    until_unready(&services[3]).await?;
    bench.rebuild("doubled").await?;
    until_shown(&bench, &wanted).await?;
    let again = Build::Rebuild { fold: "doubled".to_owned(), to: vec![], records: 0 };
    let refused = bench.act(again, "refused").await?;
    ensure!(refused.contains("being made already"), "{refused}");

    bench.note(&services[0], "book-0", 5).await?;
    wanted.insert("book-0".to_owned(), (15, 11));
    until_shown(&bench, &wanted).await?;
    let told = bench.act(Build::Swap, "done").await?;
    ensure!(told.contains("build 2 is live"), "{told}");
    until_shown(&bench, &times(&wanted, 2)).await?;
    until_ready(&services[3]).await?;
    until_unready(&services[2]).await?;
    bench.note(&services[0], "book-1", 1).await?;
    wanted.insert("book-1".to_owned(), (11, 11));
    until_shown(&bench, &times(&wanted, 2)).await?;

    let told = bench.act(Build::Rollback, "done").await?;
    ensure!(told.contains("build 1 is live again"), "{told}");
    until_shown(&bench, &wanted).await?;
    until_ready(&services[2]).await?;
    until_unready(&services[3]).await?;
    end(bench, services).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_cannot_fold_what_the_live_one_can_does_not_take_its_place() -> Result<()> {
    let bench = Bench::new().await?;
    let (mut services, wanted) = filled(&bench).await?;
    services.push(bench.stranger(tally::ledger_of::<0>("nothing")).await?);
    bench.rebuild("nothing").await?;
    let refused = bench.act(Build::Swap, "refused").await?;
    ensure!(refused.contains(UNSPEAKABLE), "{refused}");
    let books = bench.count("ledger", "SELECT count(*) FROM build_2.shown").await?;
    ensure!(books == 5, "{books} books in the build");
    until_shown(&bench, &wanted).await?;
    bench.act(Build::Cancel, "done").await?;
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'build%'";
    ensure!(bench.count("ledger", left).await? == 0, "something is left of the build");
    let refused = bench.act(Build::Rollback, "refused").await?;
    ensure!(refused.contains("no earlier build"), "{refused}");
    end(bench, services).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_know_less_than_their_group_has_committed_are_completed() -> Result<()> {
    let bench = Bench::new().await?;
    let (mut services, wanted) = filled(&bench).await?;
    if let Some(ledger) = services.pop() {
        ledger.stop().await?;
    }
    // As after an older state of the database came back.
    let mut db = bench.world.database("ledger").await?;
    sqlx::query("UPDATE millrace.view_position SET next_offset = 0").execute(&mut db).await?;
    sqlx::query("DELETE FROM shown").execute(&mut db).await?;
    services.push(bench.world.mount(tally::ledger()).await?);
    for n in 0..6 {
        bench.note(&services[0], &format!("book-{n}"), 1).await?;
    }
    let more = wanted.iter().map(|(book, (total, folded))| (book.clone(), (total + 1, folded + 1)));
    let more: BTreeMap<_, _> = more.collect();
    until_shown(&bench, &more).await?;
    end(bench, services).await
}
