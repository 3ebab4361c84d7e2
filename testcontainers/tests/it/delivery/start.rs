//! What cannot work is refused at start, before a port opens, with a way out.

use anyhow::{Result, ensure};
use harness::{Ground, Launch, World};
use millrace::RunError;
use serde_json::json;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally");

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_the_registry_lacks_is_refused_by_name() -> Result<()> {
    let ground = Ground::start(harness::GroundKind::Embedded).await?;
    let world = World::on(&ground)?;
    world.create_topics(&[&NOTES, &TALLIES]).await?;
    let config = world.config("writer").await?;
    let refused = millrace::mount(tally::writer(), config).await.err();
    let told = refused.as_ref().map(ToString::to_string).unwrap_or_default();
    ensure!(matches!(refused, Some(RunError::Refused(_))), "{told}");
    ensure!(told.contains("test.note.Noted") && told.contains("schema register"), "{told}");
    ground.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_of_a_service_is_refused_by_name() -> Result<()> {
    let bench = Bench::new().await?;
    let mut config = bench.world.config("writer").await?;
    config.service.insert("writer".into(), json!({ "colour": "red" }));
    let refused = millrace::mount(tally::writer(), config).await.err();
    let told = refused.map(|error| error.to_string()).unwrap_or_default();
    ensure!(told.contains("service.writer.colour"), "{told}");
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_wrong_key_exits_64_and_suggests_the_right_one() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = tempfile::tempdir()?;
    let launch = Launch::new(PROGRAM, folder.path().join("log"))
        .args(["writer"])
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVER", "localhost:1");
    let mut process = bench.world.launch("writer", launch).await?.start()?;
    let status = process.wait(SOON).await?;
    let log = process.log_tail(20);
    ensure!(status.code() == Some(64), "{status}: {log}");
    ensure!(log.contains("bootstrap_servers"), "{log}");
    bench.world.close().await
}
