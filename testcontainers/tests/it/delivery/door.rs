//! The front door: every refusal is a problem with a code, and nothing of it is stored.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::tally;

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_command_and_one_answer() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let posts = (0..20).map(|_| bench.post(&writer, "same", "book", 1));
    let answers = futures::future::try_join_all(posts).await?;
    ensure!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    ensure!(answers[0].0 == 202, "{:?}", answers[0]);
    let facts = bench.count("writer", "SELECT count(*) FROM millrace.outbox").await?;
    ensure!(facts == 1, "{facts} facts of one command");
    let (status, body) = bench.post(&writer, "same", "book", 2).await?;
    ensure!(status == 422 && body["code"] == "idempotency_key_reused", "{status}: {body}");
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_stores_nothing_and_frees_its_key() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let (status, body) = bench.post(&writer, "k", "", 1).await?;
    ensure!(status == 422 && body["code"] == "book_missing", "{status}: {body}");
    let (status, _) = bench.post(&writer, "k", "book", 1).await?;
    ensure!(status == 202, "the key of a refused command stays free: {status}");
    ensure!(bench.count("writer", "SELECT count(*) FROM millrace.outbox").await? == 1);
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_problems_with_a_stable_code() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let url = format!("{}/v1/notes", writer.url());
    let http = reqwest::Client::new();
    let large = "x".repeat(300_000);
    let cases = [
        ("{", "application/json", 400, "malformed_json"),
        (r#"{"book":"b"}"#, "application/json", 422, "invalid_body"),
        (r#"{"book":"b","amount":1,"mood":"x"}"#, "application/json", 422, "invalid_body"),
        (r#"{"book":"b","amount":1e99}"#, "application/json", 422, "invalid_body"),
        (r#"{"book":"b","amount":1}"#, "text/plain", 415, "unsupported_media_type"),
        (large.as_str(), "application/json", 413, "body_too_large"),
    ];
    for (body, media_type, status, code) in cases {
        let request = http.post(&url).header("Idempotency-Key", "k");
        let answer =
            request.header("Content-Type", media_type).body(body.to_owned()).send().await?;
        let found = answer.status().as_u16();
        let kind = answer.headers().get("content-type").cloned();
        let problem: serde_json::Value = answer.json().await?;
        ensure!(found == status && problem["code"] == code, "{code}: {found} {problem}");
        ensure!(kind.is_some_and(|kind| kind == "application/problem+json"), "{code}");
    }
    let answer = http.post(&url).json(&json!({ "book": "b", "amount": 1 })).send().await?;
    let problem: serde_json::Value = answer.json().await?;
    ensure!(problem["code"] == "idempotency_key_missing", "{problem}");
    ensure!(bench.count("writer", "SELECT count(*) FROM millrace.outbox").await? == 0);
    writer.stop().await?;
    bench.world.close().await
}
