//! What stands before a registry: it passes everything on, or answers as one that is ill.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::Ground;
use harness::fault::{Front, Sick};

const SCHEMA: &str = r#"{"schema":"{\"type\":\"record\",\"name\":\"Told\",\"fields\":[]}"}"#;

async fn get(url: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(url).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_ill_as_told_and_well_again() -> Result<()> {
    let ground = Ground::shared().await?;
    let front = Front::start(&ground.registry_url()).await?;
    let subject = format!("front-{}", std::process::id());
    let register = reqwest::Client::new()
        .post(format!("{}/subjects/{subject}/versions", front.url()))
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(SCHEMA);
    let told: serde_json::Value = register.send().await?.error_for_status()?.json().await?;
    let schema = format!("{}/schemas/ids/{}", front.url(), told["id"]);
    let well = get(&schema).await?;
    ensure!(well.0 == 200 && well.1.contains("Told"), "{well:?}");
    for status in [401, 429, 500] {
        front.set(Some(Sick::Status(status)));
        ensure!(get(&schema).await?.0 == status, "{status}");
    }
    front.set(Some(Sick::Garbage));
    let (status, body) = get(&schema).await?;
    ensure!(status == 200 && body.starts_with("<html"), "{status}: {body}");
    front.set(Some(Sick::WrongSchema));
    let (status, body) = get(&schema).await?;
    ensure!(status == 200 && body.contains("Stranger"), "{status}: {body}");
    let delay = Duration::from_millis(100);
    front.set(Some(Sick::Slow(delay)));
    let begun = Instant::now();
    ensure!(get(&schema).await? == well && begun.elapsed() >= delay);
    front.set(None);
    ensure!(get(&schema).await? == well);
    Ok(())
}
