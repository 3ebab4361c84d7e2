//! Is everything there, of one version, and at the same time of day? Every part is asked on its
//! own, so that one that is away hides nothing; it repairs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use millrace::admin::Admin;
use millrace::{Config, Registry};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, Row};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::retailer::innermost;
use crate::topics::Comparison;
use crate::{Endpoints, registry, topics};

/// How long any one part may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Clocks further apart than this make deadlines and timelines wrong.
const SKEW_MAX: Duration = Duration::from_secs(1);
/// The oldest PostgreSQL that the services are tried on.
const POSTGRES_MIN: i32 = 15;

/// What was found about one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The part: `broker`, `topics`, `registry`, `database orders`, `service orders`, `clock`.
    pub part: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What helps.
    pub fix: Option<String>,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not examined, because nobody said where it is.
    Unknown,
    /// Not as it should be.
    Wrong,
}

impl Verdict {
    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }
}

/// Examines everything that the endpoints name. `config` has what else a client must know, such
/// as the broker's security settings.
pub async fn examine(endpoints: &Endpoints, config: &Config) -> Vec<Finding> {
    // Made before anybody is asked: a client reads all certificates when it is made, which takes so long
    // that answers would come in time and be read too late.
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).build();
    let http = http.expect("a client without special TLS settings can be built");
    let mut settings = config.registry.clone();
    settings.url.clone_from(&endpoints.registry);
    let client = Registry::new(&settings);
    let databases = endpoints.databases.iter().map(|(name, url)| database(name, url));
    let services = endpoints.services.iter().map(|(name, url)| service(&http, name, url));
    let (broker, registry, databases, services) = futures::join!(
        broker(endpoints, config),
        registry_findings(&client, endpoints),
        join_all(databases),
        join_all(services),
    );
    let mut findings = broker;
    findings.extend(registry);
    if databases.is_empty() {
        findings.push(Finding {
            verdict: Verdict::Unknown,
            fix: Some("set DATABASE_URL, or name the databases in the endpoints file".to_owned()),
            ..ok("database", "no database is named")
        });
    }
    let off: Vec<time::Duration> = databases.iter().filter_map(|(_, off)| *off).collect();
    findings.extend(databases.into_iter().map(|(finding, _)| finding));
    findings.push(clock(&off));
    findings.extend(services);
    findings
}

async fn broker(endpoints: &Endpoints, config: &Config) -> Vec<Finding> {
    let (bootstrap, properties) = (&endpoints.kafka, &config.kafka.properties);
    let admin = match Admin::connect_within(bootstrap, properties, ANSWER_MAX).await {
        Ok(admin) => admin,
        Err(error) => {
            return vec![wrong("broker", error, "start it, or correct KAFKA_BOOTSTRAP_SERVERS")];
        }
    };
    let answered = match admin.cluster().await {
        Ok(cluster) => {
            let id = cluster.id.unwrap_or_else(|| "without an id".to_owned());
            ok("broker", format!("cluster {id}: {}", cluster.brokers.join(", ")))
        }
        Err(error) => wrong("broker", error, "start it, or correct KAFKA_BOOTSTRAP_SERVERS"),
    };
    let there = match topics::examine(&admin, &endpoints.topic_prefix).await {
        Ok(states) => topic_finding(&states),
        Err(error) => wrong("topics", error, "look at the broker first"),
    };
    vec![answered, there]
}

fn topic_finding(states: &[topics::TopicState]) -> Finding {
    let good = |state: Comparison| matches!(state, Comparison::Ok | Comparison::Undeclared);
    let bad: Vec<String> = states
        .iter()
        .filter(|topic| !good(topic.state))
        .map(|topic| format!("{} ({})", topic.topic, topic.state.as_str()))
        .collect();
    if bad.is_empty() {
        let declared = states.iter().filter(|topic| topic.state == Comparison::Ok).count();
        return ok("topics", format!("{declared} as declared"));
    }
    wrong("topics", bad.join(", "), "run `millrace topic create --execute`")
}

async fn registry_findings(client: &Registry, endpoints: &Endpoints) -> Vec<Finding> {
    if let Err(error) = client.ping().await {
        return vec![wrong("registry", error, "start it, or correct SCHEMA_REGISTRY_URL")];
    }
    let answered = ok("registry", endpoints.registry.clone());
    let schemas = match registry::examine(client).await {
        Err(error) => wrong("schemas", error, "look at the registry first"),
        Ok(states) => {
            let missing: Vec<&str> = states
                .iter()
                .filter(|state| state.id.is_none())
                .map(|state| state.subject.as_str())
                .collect();
            match missing.is_empty() {
                true => ok("schemas", format!("{} of this build registered", states.len())),
                false => {
                    let detail = format!("not registered: {}", missing.join(", "));
                    wrong("schemas", detail, "run `millrace schema register --execute`")
                }
            }
        }
    };
    vec![answered, schemas]
}

/// The database, and how far its clock is off ours.
async fn database(name: &str, url: &str) -> (Finding, Option<time::Duration>) {
    let part = format!("database {name}");
    let fix = "start PostgreSQL, or correct the URL, user and password";
    match timeout(ANSWER_MAX, look_at_database(url)).await {
        Err(_) => (wrong(&part, format!("no answer within {ANSWER_MAX:?}"), fix), None),
        Ok(Err(error)) => (wrong(&part, error, fix), None),
        Ok(Ok(seen)) => (seen.finding(&part), Some(seen.ahead)),
    }
}

/// The clock that is furthest off; deadlines are counted by these clocks.
fn clock(off: &[time::Duration]) -> Finding {
    let Some(worst) = off.iter().max_by_key(|off| off.unsigned_abs()) else {
        return Finding { verdict: Verdict::Unknown, ..ok("clock", "no database to compare with") };
    };
    let detail = format!("databases are at most {:+.3} s off this machine", worst.as_seconds_f64());
    if worst.unsigned_abs() <= SKEW_MAX {
        return ok("clock", detail);
    }
    wrong("clock", detail, "let NTP set the clocks of both machines")
}

/// What a database says of itself.
struct Seen {
    version: i32,
    /// How many migrations of the platform failed, if any ran.
    failed_migrations: Option<i64>,
    /// The database's clock less ours.
    ahead: time::Duration,
}

async fn look_at_database(url: &str) -> Result<Seen, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let asked = OffsetDateTime::now_utc();
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int / 10000 AS version,
                clock_timestamp() AS clock,
                to_regclass('millrace._migrations') IS NOT NULL AS migrated",
    )
    .fetch_one(&mut connection)
    .await?;
    let halfway = asked + (OffsetDateTime::now_utc() - asked) / 2;
    let clock: OffsetDateTime = row.try_get("clock")?;
    let failed_migrations = match row.try_get("migrated")? {
        false => None,
        true => {
            let failed = "SELECT count(*) FROM millrace._migrations WHERE NOT success";
            Some(sqlx::query_scalar(failed).fetch_one(&mut connection).await?)
        }
    };
    let version = row.try_get("version")?;
    connection.close().await?;
    Ok(Seen { version, failed_migrations, ahead: clock - halfway })
}

impl Seen {
    fn finding(&self, part: &str) -> Finding {
        let server = format!("PostgreSQL {}", self.version);
        if self.version < POSTGRES_MIN {
            return wrong(part, server, &format!("use PostgreSQL {POSTGRES_MIN} or newer"));
        }
        match self.failed_migrations {
            Some(0) => ok(part, format!("{server}, the platform's tables are there")),
            Some(failed) => {
                let fix = "read the service's log: it refuses to start on this";
                wrong(part, format!("{server}, {failed} migrations failed"), fix)
            }
            None => {
                let fix = "start the service once: it makes its tables";
                wrong(part, format!("{server}, no tables yet"), fix)
            }
        }
    }
}

/// `/version` of a service.
#[derive(Deserialize)]
struct Version {
    service: String,
    version: String,
}

/// `/readyz?verbose` of a service.
#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    conditions: BTreeMap<String, String>,
}

async fn service(http: &reqwest::Client, name: &str, url: &str) -> Finding {
    let part = format!("service {name}");
    match look_at_service(http, url).await {
        Err(error) => {
            let detail = format!("{url}: {}", innermost(&error));
            wrong(&part, detail, "start it, or look at its log")
        }
        Ok((version, _)) if version.service != name => {
            let detail = format!("{url} is {}", version.service);
            wrong(&part, detail, "correct the URL of the service")
        }
        Ok((_, readiness)) if !readiness.ready => {
            let failing = readiness.conditions.iter().filter(|(_, state)| *state != "ok");
            let failing: Vec<String> =
                failing.map(|(name, reason)| format!("{name}: {reason}")).collect();
            wrong(&part, format!("not ready: {}", failing.join("; ")), "mend what it waits for")
        }
        Ok((Version { version, .. }, _)) if version != env!("CARGO_PKG_VERSION") => {
            let detail = format!("version {version}, this is {}", env!("CARGO_PKG_VERSION"));
            wrong(&part, detail, "use the command of the same version")
        }
        Ok((Version { version, .. }, _)) => ok(&part, format!("ready, version {version}, {url}")),
    }
}

async fn look_at_service(
    http: &reqwest::Client,
    url: &str,
) -> Result<(Version, Readiness), reqwest::Error> {
    let url = url.trim_end_matches('/');
    let version = http.get(format!("{url}/version")).send().await?.error_for_status()?;
    let version = version.json().await?;
    let readiness = http.get(format!("{url}/readyz?verbose")).send().await?.json().await?;
    Ok((version, readiness))
}

fn ok(part: &str, detail: impl Into<String>) -> Finding {
    let (part, detail) = (part.to_owned(), detail.into());
    Finding { part, verdict: Verdict::Ok, detail, fix: None }
}

fn wrong(part: &str, detail: impl ToString, fix: &str) -> Finding {
    let (part, detail, fix) = (part.to_owned(), detail.to_string(), Some(fix.to_owned()));
    Finding { part, verdict: Verdict::Wrong, detail, fix }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn many_services_do_not_make_the_registry_late() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/subjects", get(|| async { "[]" }));
        let served = tokio::spawn(async move { axum::serve(listener, router).await });
        let nobody = "http://127.0.0.1:1".to_owned();
        let services = (0..60).map(|n| (format!("s{n}"), nobody.clone())).collect();
        let kafka = "127.0.0.1:1".to_owned();
        let endpoints = Endpoints { kafka, registry, services, ..Endpoints::default() };
        let findings = examine(&endpoints, &Config::default()).await;
        served.abort();
        let registry = findings.iter().find(|finding| finding.part == "registry").unwrap();
        assert_eq!(registry.verdict, Verdict::Ok, "{registry:?}");
        let parts = findings.iter().filter(|it| it.part.starts_with("service ")).count();
        assert_eq!(parts, 60);
    }
}
