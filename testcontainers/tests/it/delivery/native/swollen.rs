//! Batches that swell when they are unpacked: what a few kilobytes of gzip become is bounded before a
//! reader sees it, and the reader takes few of them at a time.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Ground, GroundKind, Signal, eventually};

use super::crash::{launch, resident};
use super::{Bench, SOON};
use crate::tally::facts::NOTES;

/// Apache's own producer: it packs as tightly as it is told.
const TOOL: &str = "org.apache.kafka.tools.ProducerPerformance";
const RECORD_BYTES: usize = 900_000;
const RECORDS: usize = 750;
/// Before it is packed: one batch for each of the six partitions.
const BATCH_BYTES: usize = 112_000_000;
/// Past so many dead letters the partitions stop: the first look at them is what costs memory.
const LETTERS: i64 = 60;
/// An answer of the broker is 1 MiB at most: two of these batches. All six are 640 MiB.
const CAP_KIB: u64 = 512 * 1024;
/// Unpacking and reading 640 MiB is work, and a whole test run does other work beside it.
const READ: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_swell_cost_the_memory_of_a_few_and_not_of_all() -> Result<()> {
    let ground = Ground::start(GroundKind::Native).await?;
    let bench = Bench::on(&ground).await?;
    let lib = ground.kafka_lib_dir().context("no Kafka tools")?;
    let topic = bench.world.topic(&NOTES);
    let packed = bench.world.admin().await?.describe(&topic).await?;
    ensure!(packed["compression.type"] == "lz4", "gzip would unpack to a thousand times as much");
    pack(lib, ground.bootstrap_servers(), &topic).await?;
    let reader = launch(&bench, "tally", None).await?;
    let mut reader =
        reader.env("MILLRACE_CONSUME__PARKED_RECORDS_MAX", LETTERS.to_string()).start()?;
    eventually(READ, "it has read of every partition, and stopped", async || {
        let letters = "SELECT count(*) FROM millrace.parked WHERE status = 'dead'";
        let letters = bench.count("tally", letters).await.map_err(|error| error.to_string())?;
        let stopped = reader.log_tail(1000).matches("consume.parked_records_max").count();
        let all = letters == LETTERS && stopped >= NOTES.partitions as usize;
        if all { Ok(()) } else { Err(format!("{letters} letters, {stopped} stopped")) }
    })
    .await?;
    let peak = resident(&reader, "VmHWM")?;
    ensure!(peak < CAP_KIB, "{peak} KiB at its peak");
    ensure!(reader.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    bench.world.close().await?;
    ground.stop().await;
    Ok(())
}

/// Zeros, packed with gzip into batches as large as a broker takes.
async fn pack(lib: &Path, bootstrap: &str, topic: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let payload = folder.path().join("zeros");
    std::fs::write(&payload, "0".repeat(RECORD_BYTES))?;
    let (records, batch) = (RECORDS.to_string(), format!("batch.size={BATCH_BYTES}"));
    let tool = tokio::process::Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g", "-cp"])
        .arg(lib.join("*"))
        .args([TOOL, "--topic", topic, "--num-records", &records, "--throughput", "-1"])
        .arg("--payload-file")
        .arg(&payload)
        .args(["--producer-props", &format!("bootstrap.servers={bootstrap}"), &batch])
        .args(["compression.type=gzip", "linger.ms=2000", "buffer.memory=700000000"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tool.await.context("starting Apache's producer")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("records sent"), "{output:?}");
    Ok(())
}
