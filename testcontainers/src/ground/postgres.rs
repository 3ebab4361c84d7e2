//! PostgreSQL: the server that `DATABASE_URL` names, else a server of our own from the binaries on
//! this machine, else from fetched ones. Each database has its own role, and no other may enter.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::server::Server;
use crate::fetch::{self, Part};
use crate::home::{Home, make, unprivileged};
use crate::ports::free_port;
use crate::process::{Launch, Signal};
use crate::{Progress, find_program};

/// Older servers lack what makes database creation quick.
const OLDEST: u32 = 15;
const INITDB: Duration = Duration::from_secs(60);

/// A commit must outlive a crash of the server but not of the machine: without fsync it is still
/// written before it is acknowledged.
const THROW_AWAY: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "max_wal_size=4GB", UNWRITTEN_WAL];
/// A server that has run for a while uses its WAL files again. A new one writes each of them full of
/// zeros first, and every commit waits for that: 70 ms on a small machine.
const UNWRITTEN_WAL: &str = "wal_init_zero=off";
const SETTINGS: [&str; 11] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_buffers=64MB",
    "jit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "timezone=UTC",
    "log_timezone=UTC",
    "lc_messages=C",
    "log_line_prefix=%d ",
];

/// As in production, but for what a small machine cannot spare.
const DURABLE: [&str; 4] = ["fsync=on", "max_wal_size=4GB", "checkpoint_timeout=30min", ROOMY];
const SLOWED: [&str; 5] =
    ["fsync=on", "max_wal_size=4GB", "checkpoint_timeout=30min", ROOMY, UNWRITTEN_WAL];
/// What is measured fits into memory, as it would on a server.
const ROOMY: &str = "shared_buffers=1GB";

/// A library that stands before the system's and lets each sync take a time of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowDisk {
    /// Loaded first by every process of PostgreSQL; they must be able to read it.
    pub library: PathBuf,
    /// How long each sync takes; nothing is brought to the real disk.
    pub sync: Duration,
}

/// How the server treats its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Disk {
    /// The data are thrown away at the end, and a crash of the machine may spoil them.
    #[default]
    ThrownAway,
    /// They are kept from one start to the next.
    Kept,
    /// Each commit is brought to the disk, or to one that takes so long.
    Synced(Option<SlowDisk>),
}

impl Disk {
    fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::ThrownAway => &THROW_AWAY,
            Self::Kept => &[],
            Self::Synced(None) => &DURABLE,
            Self::Synced(Some(_)) => &SLOWED,
        }
    }
}

/// A server to make databases on.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) server: Option<Server>,
    admin: PgConnectOptions,
    made: Mutex<Vec<String>>,
}

impl Postgres {
    pub(crate) async fn start(
        home: &Home,
        folder: &Path,
        disk: &Disk,
        progress: &Progress,
    ) -> Result<Self> {
        if let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            let admin = PgConnectOptions::from_str(&url).context("reading DATABASE_URL")?;
            return Ok(Self { server: None, admin, made: Mutex::default() });
        }
        let bin = binaries(home, progress).await?;
        make(folder)?;
        let user = unprivileged()?;
        let data = folder.join("data");
        if !data.exists() {
            initdb(&bin, folder, &data, user).await?;
        }
        let port = free_port()?;
        let settings = SETTINGS.iter().chain(disk.settings());
        let mut launch = Launch::new(bin.join("postgres"), folder.join("postgres.log"))
            .args(["-D".into(), data.into_os_string(), "-p".into(), port.to_string().into()])
            .args(settings.flat_map(|setting| ["-c", setting]))
            .folder("/")
            .user(user)
            .orphan_signal(Signal::Quit);
        if *disk != Disk::Kept {
            launch = launch.orphan_folder(folder);
        }
        if let Disk::Synced(Some(SlowDisk { library, sync })) = disk {
            launch = launch.env("LD_PRELOAD", library);
            launch = launch.env("SLOW_DISK_SYNC_MICROS", sync.as_micros().to_string());
        }
        let server = Some(Server::start("PostgreSQL", launch, Signal::Interrupt)?);
        let admin = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username("postgres")
            .password("postgres")
            .database("postgres");
        Ok(Self { server, admin, made: Mutex::default() })
    }

    pub(crate) async fn until_ready(&self) -> Result<()> {
        let probe = async || match self.connect().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        match &self.server {
            Some(server) => server.until_ready(probe).await,
            None => self.connect().await.map(drop),
        }
    }

    /// Makes a database and a role of the same name that owns it, and answers its URL. One that is
    /// there is taken as it is.
    pub(crate) async fn create_database(&self, name: &str) -> Result<String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        ensure!(name.len() <= 63 && name.bytes().all(fits), "{name:?} is no name for a database");
        let mut admin = self.connect().await?;
        let there: bool =
            sqlx::query_scalar("SELECT count(*) > 0 FROM pg_roles WHERE rolname = $1")
                .bind(name)
                .fetch_one(&mut admin)
                .await?;
        if !there {
            // Names cannot be parameters here; they were checked above.
            let role = format!(r#"CREATE ROLE "{name}" LOGIN PASSWORD '{name}'"#);
            admin.execute(AssertSqlSafe(role)).await.context("making a role")?;
        }
        let there: bool =
            sqlx::query_scalar("SELECT count(*) > 0 FROM pg_database WHERE datname = $1")
                .bind(name)
                .fetch_one(&mut admin)
                .await?;
        if !there {
            let database = format!(r#"CREATE DATABASE "{name}" OWNER "{name}""#);
            admin.execute(AssertSqlSafe(database)).await.context("making a database")?;
            let own = format!(r#"REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC"#);
            admin.execute(AssertSqlSafe(own)).await.context("closing a database to others")?;
            self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        }
        let (host, port) = (self.admin.get_host(), self.admin.get_port());
        Ok(format!("postgres://{name}:{name}@{host}:{port}/{name}"))
    }

    /// Removes a database and its role, whoever is connected.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        let mut admin = self.connect().await?;
        let database = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
        admin.execute(AssertSqlSafe(database)).await?;
        admin.execute(AssertSqlSafe(format!(r#"DROP ROLE IF EXISTS "{name}""#))).await?;
        Ok(())
    }

    /// Lets nobody in any more and throws out who is there, or lets them in again.
    pub(crate) async fn allow_connections(&self, name: &str, allow: bool) -> Result<()> {
        let mut admin = self.connect().await?;
        let alter = format!(r#"ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {allow}"#);
        admin.execute(AssertSqlSafe(alter)).await?;
        if !allow {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            sqlx::query(end).bind(name).execute(&mut admin).await?;
        }
        Ok(())
    }

    /// Writes every statement on a database to the server's log.
    pub(crate) async fn log_statements(&self, name: &str) -> Result<()> {
        let alter = format!(r#"ALTER DATABASE "{name}" SET log_statement = 'all'"#);
        self.connect().await?.execute(AssertSqlSafe(alter)).await?;
        Ok(())
    }

    /// The logged statements of a database, oldest first.
    pub(crate) async fn logged_statements(&self, name: &str) -> Result<Vec<String>> {
        let server = self.server.as_ref().context("a given PostgreSQL keeps its log to itself")?;
        let log = fs::read_to_string(server.log().await)?;
        let line = format!("{name} LOG:  ");
        let ours = log.lines().filter_map(|text| text.strip_prefix(&line));
        let statement = |text: &str| {
            let text = text
                .strip_prefix("statement: ")
                .or_else(|| Some(text.strip_prefix("execute ")?.split_once(": ")?.1))?;
            Some(text.to_owned())
        };
        Ok(ours.filter_map(statement).collect())
    }

    /// Ends our own server, in good order if its data is to be kept; on a given one removes what
    /// was made, unless that is to be kept.
    pub(crate) async fn stop(&self, kept: bool) {
        match &self.server {
            Some(server) if kept => server.stop().await,
            Some(server) => server.crash().await,
            None if kept => {}
            None => self.drop_databases().await,
        }
    }

    async fn drop_databases(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            if let Err(error) = self.drop_database(&name).await {
                tracing::warn!(%error, name, "a database could not be removed");
            }
        }
    }

    /// A connection of the administrator to this database.
    pub(crate) async fn connect_to(&self, database: &str) -> Result<PgConnection> {
        let admin = self.admin.clone().database(database).disable_statement_logging();
        admin.connect().await.context("connecting to PostgreSQL")
    }

    async fn connect(&self) -> Result<PgConnection> {
        let connected = self.admin.clone().disable_statement_logging().connect().await;
        connected.context("connecting to PostgreSQL")
    }
}

/// The folder of a PostgreSQL that is young enough: on PATH, where Debian puts it, or fetched.
/// `MILLRACE_POSTGRES=fetched` takes the pinned one whatever is there.
async fn binaries(home: &Home, progress: &Progress) -> Result<PathBuf> {
    let pinned = std::env::var("MILLRACE_POSTGRES").is_ok_and(|choice| choice == "fetched");
    if !pinned && let Some(bin) = installed() {
        return Ok(bin);
    }
    if fetch::has(home, Part::Postgres) || find_program("mvn").is_some() {
        return Ok(fetch::fetch(home, Part::Postgres, progress).await?.join("bin"));
    }
    bail!(
        "there is no PostgreSQL {OLDEST} or newer on PATH, DATABASE_URL is not set, and without \
         Maven none can be fetched; on Debian: apt-get install -y postgresql"
    )
}

/// Where a usable server is installed, if anywhere.
pub(crate) fn installed() -> Option<PathBuf> {
    // A link on PATH leads to where the server's companions are.
    let on_path = find_program("postgres").and_then(|path| path.canonicalize().ok());
    let on_path = on_path.and_then(|path| Some(path.parent()?.to_owned()));
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    on_path.into_iter().chain(debian).find(|bin| is_usable(bin))
}

fn is_usable(bin: &Path) -> bool {
    let told = Command::new(bin.join("postgres")).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = told.unwrap_or_default();
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    let major = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    bin.join("initdb").exists() && major.parse().is_ok_and(|major: u32| major >= OLDEST)
}

/// The folder gets its name only when it is complete.
async fn initdb(bin: &Path, folder: &Path, data: &Path, user: Option<u32>) -> Result<()> {
    let draft = data.with_extension("draft");
    drop(fs::remove_dir_all(&draft));
    make(&draft)?;
    chown(&draft, user, user).context("giving the data folder to another user")?;
    let launch = Launch::new(bin.join("initdb"), folder.join("initdb.log"))
        .args(["-D".into(), draft.as_os_str().to_owned()])
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        .folder("/")
        .user(user);
    let mut process = launch.start()?;
    let status = process.wait(INITDB).await?;
    ensure!(status.success(), "initdb: {status}\n{}", process.log_tail(10));
    fs::rename(&draft, data)?;
    Ok(())
}
