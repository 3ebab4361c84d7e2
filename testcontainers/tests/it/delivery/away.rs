//! Infrastructure that is away is waited for: not ready, nothing lost, going on by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Ground, GroundKind, eventually, free_port};
use millrace::Event;

use super::{Bench, SOON, until_unready};
use crate::tally;
use crate::tally::facts::{NOTES, Noted};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_pauses_the_partitions_and_parks_nothing() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    bench.note(&writer, "book", 1).await?;
    bench.until_notes(&BTreeMap::from([("book".into(), 1)])).await?;
    let database = bench.world.database_name("tally");
    bench.world.ground().allow_connections(&database, false).await?;
    for _ in 0..5 {
        bench.note(&writer, "book", 1).await?;
    }
    until_unready(&sums).await?;
    bench.world.ground().allow_connections(&database, true).await?;
    bench.until_notes(&BTreeMap::from([("book".into(), 6)])).await?;
    harness::ready(&sums).await?;
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_without_its_database_says_so_and_stores_nothing() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let database = bench.world.database_name("writer");
    bench.world.ground().allow_connections(&database, false).await?;
    let (status, body) = bench.post(&writer, "k", "book", 1).await?;
    ensure!(status == 503 && body["code"] == "unavailable", "{status}: {body}");
    bench.world.ground().allow_connections(&database, true).await?;
    let posted = eventually(SOON, "the door works again", async || {
        match bench.post(&writer, "k", "book", 1).await {
            Ok((202, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    posted.await?;
    ensure!(bench.count("writer", "SELECT count(*) FROM millrace.outbox").await? == 1);
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_absent_at_start_is_waited_for() -> Result<()> {
    let bench = Bench::new().await?;
    let mut config = bench.world.config("writer").await?;
    let port = free_port()?;
    let address = ask_through(port, &mut config);
    config.registry.timeout = Duration::from_millis(500);
    let writer = millrace::mount(tally::writer(), config).await?;
    until_unready(&writer).await?;
    let alive = reqwest::get(format!("{}/livez", writer.url())).await?.status();
    ensure!(alive.is_success(), "alive while it waits: {alive}");
    let (status, body) = bench.post(&writer, "early", "book", 1).await?;
    ensure!(status == 503, "{status}: {body}");
    let forward = forward(port, address.clone()).await?;
    harness::ready(&writer).await?;
    bench.note(&writer, "book", 1).await?;
    writer.stop().await?;
    forward.abort();
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_absent_at_start_is_waited_for() -> Result<()> {
    let ground = Ground::start(GroundKind::Embedded).await?;
    let bench = Bench::on(&ground).await?;
    let mut config = bench.world.config("tally").await?;
    ground.crash(harness::Part::Broker).await?;
    config.shutdown.drain = Duration::from_secs(5);
    let sums = millrace::mount(tally::tally(), config).await?;
    until_unready(&sums).await?;
    ground.restart(harness::Part::Broker).await?;
    harness::ready(&sums).await?;
    sums.stop().await?;
    ground.stop().await;
    Ok(())
}

/// A schema that must be asked for is asked for until the registry answers: the record is not
/// condemned, its partition waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_while_running_condemns_no_record() -> Result<()> {
    let bench = Bench::new().await?;
    let mut config = bench.world.config("tally").await?;
    let port = free_port()?;
    let address = ask_through(port, &mut config);
    let there = forward(port, address.clone()).await?;
    let sums = millrace::mount(tally::tally(), config).await?;
    harness::ready(&sums).await?;
    there.abort();
    let newer = r#"{"type":"record","name":"Noted","namespace":"test.note","fields":[
        {"name":"book","type":"string"},{"name":"amount","type":"long"},
        {"name":"mood","type":"string","default":"calm"}]}"#;
    let id = bench.world.registry().register(&Noted::subject(), newer).await?;
    let mut datum = vec![];
    let mut out = millrace::contract::Writer::new(&mut datum);
    out.string("waits");
    out.long(5);
    out.string("patient");
    let mut note = bench.raw_note("waits", 1, 0);
    note.payload = Some(millrace::contract::frame(id, &datum));
    bench.put(&NOTES, note).await?;
    until_unready(&sums).await?;
    let reasons = format!("{:?}", sums.health().ready());
    ensure!(!reasons.contains("stopped"), "the record was condemned: {reasons}");
    let back = forward(port, address.clone()).await?;
    bench.until_notes(&BTreeMap::from([("waits".into(), 1)])).await?;
    harness::ready(&sums).await?;
    sums.stop().await?;
    back.abort();
    bench.world.close().await
}

/// Has a service ask the registry through a port of ours; gives the registry's own address.
fn ask_through(port: u16, config: &mut millrace::Config) -> String {
    let base = config.registry.url.trim_start_matches("http://").to_owned();
    let (address, path) = base.split_once('/').unwrap_or((&base, ""));
    config.registry.url = format!("http://127.0.0.1:{port}/{path}");
    address.to_owned()
}

/// Answers on a port with what another server says, until it is aborted.
async fn forward(port: u16, address: String) -> Result<tokio::task::JoinHandle<()>> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(tokio::spawn(async move {
        // Connections end with the task that owns them.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let address = address.clone();
            connections.spawn(async move {
                if let Ok(mut server) = tokio::net::TcpStream::connect(address).await {
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                }
            });
        }
    }))
}
