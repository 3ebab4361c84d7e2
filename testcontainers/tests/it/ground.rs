//! A ground starts with everything ready, keeps worlds apart and leaves nothing behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Ground, GroundKind, Home, Part, eventually, skipped};
use millrace::admin::{Admin, Creation, RawRecord, To, TopicSpec};
use sqlx::{Connection, PgConnection};

use crate::process::state;

const SCHEMA: &str = r#"{"schema":"{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}"}"#;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Long enough for a broker that is there to answer.
const MOMENT: Duration = Duration::from_secs(1);

/// A home of this test's own, with what was fetched already.
struct Place {
    home: Home,
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let near = Home::locate()?.parts();
        std::fs::create_dir_all(&near)?;
        let mut builder = tempfile::Builder::new();
        // PostgreSQL runs as another user when we are root, and must be able to enter.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let root = builder.permissions(open).tempdir()?;
        std::os::unix::fs::symlink(near, root.path().join("parts"))?;
        Ok(Self { home: Home::at(root.path())?, root })
    }

    async fn start(&self, kind: GroundKind) -> Result<Ground> {
        Ground::builder().kind(kind).home(self.home.clone()).start().await
    }

    fn runs(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// The processes that have this place in their command line.
    fn processes(&self) -> Vec<String> {
        let place = self.root.path().to_string_lossy().into_owned();
        let entries = std::fs::read_dir("/proc").into_iter().flatten();
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let running = ids.filter(|&id| state(id).is_some());
        let lines = running.filter_map(|id| std::fs::read(format!("/proc/{id}/cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&place)).collect()
    }

    /// A watchdog that was let go may need a moment to leave.
    async fn until_empty(&self) -> Result<()> {
        eventually(Duration::from_secs(10), "nothing is left", async || self.is_empty()).await
    }

    fn is_empty(&self) -> Result<(), String> {
        let folders = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.is_dir())
                .collect()
        };
        let (folders, processes) = (folders(&self.runs()), self.processes());
        if folders.is_empty() && processes.is_empty() {
            return Ok(());
        }
        Err(format!("{folders:?} {processes:?}"))
    }
}

async fn serves_everything(ground: &Ground) -> Result<()> {
    ground.create_topics(&[TopicSpec::new("a", 3)]).await?;
    let admin = ground.admin().await?;
    let topics = admin.topics().await?;
    ensure!(topics.iter().any(|topic| topic.name == "a" && topic.partitions == 3), "{topics:?}");

    let url = format!("{}/subjects/a-A/versions", ground.registry_url());
    let request = reqwest::Client::new().post(url).header("content-type", MEDIA_TYPE).body(SCHEMA);
    let answer = request.send().await?.error_for_status()?.text().await?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    ensure!(answer["id"].as_i64().is_some(), "{answer}");

    let name = format!("serves_{}", ground.kind());
    let url = ground.create_database(&name).await?;
    ensure!(ground.create_database(&name).await? == url, "made twice, one database");
    let mut own = PgConnection::connect(&url).await?;
    sqlx::query("CREATE TABLE mine (id bigint)").execute(&mut own).await?;
    Ok(())
}

/// A PostgreSQL that was given is not ours to crash.
fn owns_postgres() -> bool {
    std::env::var_os("DATABASE_URL").is_none()
}

async fn comes_back_with_its_data(ground: &Ground) -> Result<()> {
    if owns_postgres() {
        database_comes_back(ground).await?;
    } else {
        skipped("a crash of PostgreSQL", "DATABASE_URL names one");
    }
    let raw = RawRecord { payload: Some(b"kept".to_vec()), ..RawRecord::default() };
    ground.admin().await?.produce("a", raw).await?;
    ground.crash(Part::Broker).await?;
    let gone = Admin::connect_within(ground.bootstrap_servers(), &BTreeMap::new(), MOMENT).await;
    ensure!(gone.is_err());
    ground.restart(Part::Broker).await?;
    let records = ground.admin().await?.read_all("a").await?;
    ensure!(records.len() == 1, "{records:?}");
    Ok(())
}

async fn database_comes_back(ground: &Ground) -> Result<()> {
    let url = ground.create_database("crash").await?;
    let mut database = PgConnection::connect(&url).await?;
    sqlx::query("CREATE TABLE kept AS SELECT 7::bigint AS id").execute(&mut database).await?;
    ground.crash(Part::Postgres).await?;
    ensure!(PgConnection::connect(&url).await.is_err());
    ground.restart(Part::Postgres).await?;
    let mut database = PgConnection::connect(&url).await?;
    let id: i64 = sqlx::query_scalar("SELECT id FROM kept").fetch_one(&mut database).await?;
    ensure!(id == 7);
    Ok(())
}

#[tokio::test]
async fn a_native_ground_serves_comes_back_after_crashes_and_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let ground = place.start(GroundKind::Native).await?;
    serves_everything(&ground).await?;
    ensure!(ground.kafka_lib_dir().is_some_and(|lib| lib.is_dir()));
    ensure!(place.processes().len() >= 2, "{:?}", place.processes());
    comes_back_with_its_data(&ground).await?;
    ground.stop().await;
    place.until_empty().await
}

#[tokio::test]
async fn an_embedded_ground_serves_comes_back_after_crashes_and_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let ground = place.start(GroundKind::Embedded).await?;
    serves_everything(&ground).await?;
    comes_back_with_its_data(&ground).await?;
    ground.stop().await;
    place.until_empty().await
}

#[tokio::test]
async fn a_dropped_ground_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    drop(place.start(GroundKind::Embedded).await?);
    place.until_empty().await
}

#[tokio::test]
async fn what_a_dead_owner_left_is_swept_and_what_a_living_one_holds_is_not() -> Result<()> {
    let place = Place::new()?;
    let living = place.home.run_folder()?;
    let dead = place.runs().join("dead");
    std::fs::create_dir_all(dead.join("kafka/data"))?;
    std::fs::write(place.runs().join("dead.lock"), "")?;
    let next = place.home.run_folder()?;
    ensure!(!dead.exists() && !place.runs().join("dead.lock").exists());
    ensure!(living.path().is_dir() && next.path().is_dir());
    Ok(())
}

#[tokio::test]
async fn a_role_enters_no_database_but_its_own() -> Result<()> {
    let ground = Ground::shared().await?;
    let mine = ground.create_database("walls_mine").await?;
    let other = ground.create_database("walls_other").await?;
    let into_other = mine.trim_end_matches("walls_mine").to_owned() + "walls_other";
    ensure!(PgConnection::connect(&other).await.is_ok());
    ensure!(PgConnection::connect(&into_other).await.is_err());
    ground.drop_database("walls_mine").await?;
    ensure!(PgConnection::connect(&mine).await.is_err());
    ground.drop_database("walls_other").await
}

#[tokio::test]
async fn kept_data_is_there_after_a_new_start() -> Result<()> {
    let place = Place::new()?;
    let data = place.root.path().join("data");
    let kind = GroundKind::choose()?.0;
    let start = || Ground::builder().kind(kind).home(place.home.clone()).data(&data).start();

    let ground = start().await?;
    let url = ground.create_database("kept").await?;
    let mut database = PgConnection::connect(&url).await?;
    sqlx::query("CREATE TABLE kept AS SELECT 7::bigint AS id").execute(&mut database).await?;
    ground.create_topics(&[TopicSpec::new("kept", 1)]).await?;
    let schema = register(&ground).await?;
    let second = start().await.err().context("two owners of the same data")?;
    ensure!(second.to_string().contains("in use"), "{second}");
    // As after a kill -9 of the owner: nothing ends in good order.
    for part in [Part::Broker, Part::Registry] {
        if kind == GroundKind::Native {
            ground.crash(part).await?;
        }
    }
    if owns_postgres() {
        ground.crash(Part::Postgres).await?;
    }
    drop(ground);

    let ground = start().await?;
    let mut database = PgConnection::connect(&ground.create_database("kept").await?).await?;
    let id: i64 = sqlx::query_scalar("SELECT id FROM kept").fetch_one(&mut database).await?;
    ensure!(id == 7);
    if kind == GroundKind::Native {
        let topics = ground.admin().await?.topics().await?;
        ensure!(topics.iter().any(|topic| topic.name == "kept"), "{topics:?}");
        ensure!(schema_text(&ground, schema).await?.contains("record"));
    }
    ground.drop_database("kept").await?;
    ground.stop().await;
    ensure!(data.is_dir());
    place.until_empty().await
}

async fn register(ground: &Ground) -> Result<i64> {
    let url = format!("{}/subjects/kept-A/versions", ground.registry_url());
    let request = reqwest::Client::new().post(url).header("content-type", MEDIA_TYPE).body(SCHEMA);
    let answer: serde_json::Value =
        serde_json::from_str(&request.send().await?.error_for_status()?.text().await?)?;
    answer["id"].as_i64().context("an id")
}

async fn schema_text(ground: &Ground, id: i64) -> Result<String> {
    let url = format!("{}/schemas/ids/{id}", ground.registry_url());
    Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
}

#[tokio::test]
async fn administration_of_a_native_broker_tells_and_does_what_it_says() -> Result<()> {
    let ground = Ground::shared().await?;
    let admin = ground.admin().await?;
    let name = "administration";
    let mut spec = TopicSpec::new(name, 3);
    spec.config.insert("retention.ms".to_owned(), "3600000".to_owned());
    let made = admin.create_topics(std::slice::from_ref(&spec)).await?;
    ensure!(made == [(name.to_owned(), Creation::Created)], "{made:?}");
    let made = admin.create_topics(std::slice::from_ref(&spec)).await?;
    ensure!(made == [(name.to_owned(), Creation::Existed)], "{made:?}");
    ensure!(admin.create_topics(&[TopicSpec::new(name, 4)]).await.is_err());
    ensure!(admin.describe(name).await?["retention.ms"] == "3600000");
    ensure!(admin.describe("nowhere").await.is_err());
    ensure!(admin.watermarks("nowhere").await.is_err());

    for n in 0..9_u8 {
        let headers = vec![("n".to_owned(), Some(vec![b'0' + n])), ("null".to_owned(), None)];
        let (partition, key) = (Some(i32::from(n % 3)), Some(vec![n]));
        admin.produce(name, RawRecord { partition, key, payload: None, headers }).await?;
    }
    let records = admin.read_all(name).await?;
    let places: Vec<(i32, i64)> = records.iter().map(|r| (r.partition, r.offset)).collect();
    ensure!(places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]);
    ensure!(records[1].header("n") == Some("3") && records[1].key == Some(vec![3]));
    ensure!(records[1].payload.is_none() && records[1].headers[1] == ("null".to_owned(), None));

    let committed = async || -> Result<Vec<Option<i64>>> {
        let offsets = admin.group_offsets("g", &[name]).await?;
        Ok(offsets.into_iter().map(|offset| offset.committed).collect())
    };
    ensure!(committed().await? == [None, None, None]);
    admin.reset_group("g", &[name], To::Latest).await?;
    ensure!(committed().await? == [Some(3), Some(3), Some(3)]);
    admin.reset_group("g", &[name], To::Offset(-5)).await?;
    ensure!(committed().await? == [Some(0), Some(0), Some(0)]);
    let second = records[1].timestamp.context("a timestamp")?;
    admin.reset_group("g", &[name], To::Time(second)).await?;
    ensure!(committed().await?[0] == Some(i64::from(records[0].timestamp != Some(second))));
    admin.reset_group("g", &[name], To::Time(second + 3_600_000)).await?;
    ensure!(committed().await? == [Some(3), Some(3), Some(3)]);
    admin.reset_group("g", &[name], To::Earliest).await?;
    ensure!(committed().await? == [Some(0), Some(0), Some(0)]);
    let group = admin.group("g").await?;
    ensure!(group.state == "Empty" && group.members == 0, "{group:?}");
    ensure!(admin.cluster().await?.brokers == [ground.bootstrap_servers()]);
    admin.delete_topics(&[name, "nowhere"]).await?;
    Ok(())
}
