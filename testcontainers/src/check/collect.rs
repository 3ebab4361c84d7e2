//! Fills the evidence from a world: every record of every topic, each service's tables in one
//! snapshot, the groups' offsets and the spans. It reads only, and decides nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use millrace::Service;
use millrace::admin::{Admin, Record, TopicSpec};
use millrace::contract::Cleanup;
use millrace::control::OpsTopics;
use serde::de::DeserializeOwned;
use sqlx::{Connection, PgConnection};

use super::avro::Decoder;
use super::evidence::{Books, Committed, Effect, Evidence, Kind, Log, Logged, PartnerCall, Poison};
use super::history::History;
use crate::World;

/// What a service's own tables say; implemented by whoever knows them.
pub trait Ledgers: Send + Sync {
    /// Queries of one JSON column each, by the table's name: `SELECT to_jsonb(t) FROM book AS t`.
    fn queries(&self, service: &str) -> &'static [(&'static str, &'static str)];

    /// What a row says was done because of a fact, if it says that.
    fn effect(&self, service: &str, table: &str, row: &serde_json::Value) -> Option<Effect>;
}

/// No tables beside the platform's own.
#[derive(Debug, Clone, Copy)]
pub struct NoLedgers;

impl Ledgers for NoLedgers {
    fn queries(&self, _service: &str) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn effect(&self, _service: &str, _table: &str, _row: &serde_json::Value) -> Option<Effect> {
        None
    }
}

/// Rows of an outbox, and whether the relay has said that they are sent.
const OUTBOX: &str = "SELECT to_jsonb(t) || jsonb_build_object('sent', unsent.id IS NULL)
    FROM millrace.outbox AS t LEFT JOIN millrace.unsent ON unsent.id = t.id ORDER BY t.id";

/// Collects evidence about services in a world. Use it when everything has come to rest.
pub struct Collector<'a> {
    world: &'a World,
    services: &'a [Service],
    ledgers: &'a dyn Ledgers,
    spans_whole: bool,
}

impl<'a> Collector<'a> {
    /// Evidence about these services.
    pub fn new(world: &'a World, services: &'a [Service], ledgers: &'a dyn Ledgers) -> Self {
        Self { world, services, ledgers, spans_whole: true }
    }

    /// A process died or was cut off from the collector, so that spans may be missing.
    pub fn spans_may_be_missing(mut self) -> Self {
        self.spans_whole = false;
        self
    }

    /// Reads everything. Databases come first and topics last: what is in a table was then already
    /// in its topic.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn collect(
        &self,
        history: &History,
        poisons: &[Poison],
        partner: &[PartnerCall],
    ) -> Result<Evidence> {
        let admin = self.world.admin().await?;
        let mut services = Vec::new();
        for service in self.services {
            let books = self.books(&admin, service).await;
            services.push(books.with_context(|| format!("the books of {}", service.name()))?);
        }
        let topics = self.topics(&admin).await?;
        let traces = self.world.traces();
        Ok(Evidence {
            topics,
            services,
            spans_whole: self.spans_whole && traces.dropped() == 0,
            spans: traces.spans(),
            history: history.entries(),
            poisons: poisons.to_vec(),
            partner: partner.to_vec(),
        })
    }

    /// Topics that these services write or read, and their dead letters where there are any.
    async fn topics(&self, admin: &Admin) -> Result<Vec<Log>> {
        let there = admin.topics().await?;
        let mut decoder = Decoder::new(&self.world.ground().registry_url());
        let mut logs = Vec::new();
        for (topic, kind, owner) in self.wanted() {
            let name = format!("{}{topic}", self.world.prefix());
            if !there.iter().any(|info| info.name == name) {
                continue;
            }
            let records = admin.read_all(&name).await?;
            let marks = admin.watermarks(&name).await?;
            let ends = marks.iter().map(|mark| (mark.low, mark.high)).collect();
            let mut logged = Vec::with_capacity(records.len());
            for record in records {
                let datum =
                    decoder.read(record.payload.as_deref(), record.header("ce_type")).await?;
                logged.push(as_logged(record, datum));
            }
            logs.push(Log { topic, kind, owner, ends, records: logged });
        }
        Ok(logs)
    }

    fn wanted(&self) -> Vec<(String, Kind, String)> {
        let mut wanted = BTreeMap::new();
        for service in self.services {
            for (_, topic) in service.reads().into_iter().chain(service.emits()) {
                let kind = match topic.cleanup {
                    Cleanup::Compact => Kind::State,
                    Cleanup::Delete { .. } => Kind::Facts,
                };
                wanted.insert(topic.name.to_owned(), (kind, topic.owner.to_owned()));
            }
            let owner = service.name().to_owned();
            wanted.insert(service.dead_letters(), (Kind::DeadLetters, owner));
            let audit = OpsTopics::of(domain(service)).audit;
            wanted.insert(audit, (Kind::Audit, String::new()));
        }
        wanted.into_iter().map(|(topic, (kind, owner))| (topic, kind, owner)).collect()
    }

    async fn books(&self, admin: &Admin, service: &Service) -> Result<Books> {
        let name = service.name();
        let mut db = self.world.database(name).await?;
        let mut tx = db.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *tx)
            .await?;
        let mut books = Books {
            service: name.to_owned(),
            group: format!("{}{}.{name}", self.world.prefix(), domain(service)),
            reads: service.reads().iter().map(|(fact, topic)| pair(fact, topic.name)).collect(),
            is_view: service.is_view(),
            is_keeper: service.is_keeper(),
            inbox: rows(&mut tx, "SELECT to_jsonb(t) FROM millrace.inbox AS t").await?,
            last_versions: rows(&mut tx, "SELECT to_jsonb(t) FROM millrace.last_version AS t")
                .await?,
            outbox: rows(&mut tx, OUTBOX).await?,
            parked: rows(&mut tx, "SELECT to_jsonb(t) FROM millrace.parked AS t ORDER BY id")
                .await?,
            parked_keys: rows(&mut tx, "SELECT to_jsonb(t) FROM millrace.parked_key AS t").await?,
            positions: rows(&mut tx, "SELECT to_jsonb(t) FROM millrace.view_position AS t").await?,
            ..Books::default()
        };
        for (table, query) in self.ledgers.queries(name) {
            let found: Vec<serde_json::Value> = rows(&mut tx, query).await?;
            let effects = found.iter().filter_map(|row| self.ledgers.effect(name, table, row));
            books.effects.extend(effects);
            books.ledgers.insert((*table).to_owned(), found);
        }
        tx.commit().await?;
        books.committed = self.committed(admin, service, &books.group).await?;
        Ok(books)
    }

    async fn committed(
        &self,
        admin: &Admin,
        service: &Service,
        group: &str,
    ) -> Result<Vec<Committed>> {
        let prefix = self.world.prefix();
        let mut topics: Vec<String> = service
            .reads()
            .iter()
            .map(|(_, topic)| TopicSpec::from(*topic).prefixed(prefix).name)
            .collect();
        topics.sort();
        topics.dedup();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if topics.is_empty() {
            return Ok(vec![]);
        }
        let offsets = admin.group_offsets(group, &topics).await?;
        let committed = |at: millrace::admin::GroupOffset| Committed {
            topic: at.topic.strip_prefix(prefix).unwrap_or(&at.topic).to_owned(),
            partition: at.partition,
            offset: at.committed,
        };
        Ok(offsets.into_iter().map(committed).collect())
    }
}

/// The first word of its topics, which its group carries too.
fn domain(service: &Service) -> &'static str {
    let topics = service.reads().into_iter().chain(service.emits());
    let first = topics.map(|(_, topic)| topic.name).next();
    first.and_then(|name| name.split('.').next()).unwrap_or("millrace")
}

fn pair(fact: &str, topic: &str) -> (String, String) {
    (fact.to_owned(), topic.to_owned())
}

fn as_logged(record: Record, datum: super::evidence::Datum) -> Logged {
    let Record { partition, offset, timestamp: timestamp_ms, key, payload, headers } = record;
    Logged { partition, offset, timestamp_ms, key, payload, headers, datum }
}

/// Rows of one JSON column, whatever the table has besides what is asked for.
async fn rows<T: DeserializeOwned>(db: &mut PgConnection, query: &'static str) -> Result<Vec<T>> {
    let found: Vec<serde_json::Value> =
        sqlx::query_scalar(query).fetch_all(db).await.with_context(|| query)?;
    found.into_iter().map(|row| serde_json::from_value(row).with_context(|| query)).collect()
}
