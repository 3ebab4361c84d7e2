//! A process that dies around a call outside has its partner asked again under the same key: each
//! ask takes effect once, and is settled once.

use anyhow::{Context, Result, ensure};
use harness::Signal;

use super::super::ask::{office, until_stamped};
use super::SOON;
use super::crash::launch;
use crate::tally;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_around_a_call_has_each_ask_take_effect_once() -> Result<()> {
    for step in ["ask.before_call", "ask.after_call", "ask.before_settle", "ask.after_settle"] {
        dies_and_recovers(step).await.with_context(|| step)?;
    }
    Ok(())
}

async fn dies_and_recovers(step: &str) -> Result<()> {
    let (bench, office) = office().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let clerk = async |failpoint: Option<&str>| {
        let launch = launch(&bench, "clerk", failpoint).await?;
        launch.env("MILLRACE_SERVICE__CLERK__OFFICE_URL", office.url()).start()
    };
    let failpoint = format!("{step}=2");
    let mut doomed = clerk(Some(&failpoint)).await?;
    for n in 0..8 {
        bench.note(&writer, &format!("book-{}", n % 4), 1).await?;
    }
    let status = doomed.wait(SOON).await.context("the failpoint was not reached")?;
    ensure!(!status.success(), "the process ended by itself");
    let mut healthy = clerk(None).await?;
    until_stamped(&bench, &office, 8).await?;
    ensure!(healthy.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    writer.stop().await?;
    bench.world.close().await
}
