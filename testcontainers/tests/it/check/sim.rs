//! Made-up evidence of a run in which nothing is wrong: every way an order can go, with records
//! sent twice, records that had to wait, dead letters and their redrive, repeated requests and a
//! partner. It shares no code with the services.

use std::collections::BTreeMap;

use harness::SpanRecord;
use harness::check::{
    Act, Books, Committed, Datum, Entry, Evidence, InboxRow, Kind, LastVersion, Log, Logged,
    OutboxRow, ParkedRow, PartnerCall, Poison, Seen, Step, ViewPosition, digest_of_headers,
    partition_of, sha256,
};
use millrace::contract::headers_to_json;
use schemas::EVENTS;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A fact that was said: its identity, and the span that made it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) id: Uuid,
    trace: String,
    span: String,
}

/// A run in the making.
pub(super) struct Sim {
    pub(super) evidence: Evidence,
    ids: u128,
    clock_ms: i64,
    said: usize,
    /// The span in which a service worked on a fact.
    worked: BTreeMap<(String, Uuid), String>,
}

impl Sim {
    /// All services with empty books, and all topics without a record.
    pub(super) fn new() -> Self {
        let services = [
            catalogue::service(),
            orders::service(),
            stock::service(),
            payments::service(),
            sales::service(),
            order_view::service(),
        ];
        let mut evidence = Evidence { spans_whole: true, ..Evidence::default() };
        for topic in schemas::topics::ALL {
            let kind = if topic.name.contains(".state.") { Kind::State } else { Kind::Facts };
            evidence.topics.push(log(topic.name, kind, topic.owner, topic.partitions));
        }
        for service in &services {
            let name = service.name();
            let reads = service.reads();
            let reads = reads.iter().map(|(fact, topic)| ((*fact).into(), topic.name.into()));
            evidence.services.push(Books {
                service: name.to_owned(),
                group: format!("retail.{name}"),
                reads: reads.collect(),
                is_view: name == "order-view",
                is_keeper: service.is_keeper(),
                ..Books::default()
            });
            let letters = format!("retail.{name}.dlq.v1");
            evidence.topics.push(log(&letters, Kind::DeadLetters, name, 6));
        }
        let (worked, clock_ms) = (BTreeMap::new(), 1_795_248_000_000);
        Self { evidence, ids: 1, clock_ms, said: 0, worked }
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids << 16 | 0x7000_8000_0000_0000_0000)
    }

    pub(super) fn books(&mut self, service: &str) -> &mut Books {
        let found = self.evidence.services.iter_mut().find(|books| books.service == service);
        found.expect("a service of the retailer")
    }

    pub(super) fn log(&mut self, topic: &str) -> &mut Log {
        let found = self.evidence.topics.iter_mut().find(|log| log.topic == topic);
        found.expect("a topic of the retailer")
    }

    pub(super) fn row(&mut self, service: &str, table: &str, row: Value) {
        self.books(service).ledgers.entry(table.to_owned()).or_default().push(row);
    }

    /// A moment later, in milliseconds and as text.
    pub(super) fn now(&mut self) -> (i64, String) {
        self.clock_ms += 1;
        let ms = self.clock_ms % 60_000;
        (self.clock_ms, format!("2026-11-21T08:00:{:02}.{:03}Z", ms / 1000, ms % 1000))
    }

    /// A request at a front door, whose span is the root of a trace.
    pub(super) fn request(&mut self) -> Said {
        let id = self.uuid();
        let trace = id.simple().to_string();
        let span = self.span("orders", "POST /v1/orders", "server", &trace, None, &[]);
        Said { id: Uuid::nil(), trace, span }
    }

    fn span(
        &mut self,
        service: &str,
        name: &str,
        kind: &'static str,
        trace_id: &str,
        parent: Option<&str>,
        attributes: &[(&str, String)],
    ) -> String {
        self.ids += 1;
        let span_id = format!("{:016x}", self.ids);
        let (start, _) = self.now();
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        self.evidence.spans.push(SpanRecord {
            trace_id: trace_id.to_owned(),
            span_id: span_id.clone(),
            parent: parent.map(str::to_owned),
            name: name.to_owned(),
            kind,
            service: service.to_owned(),
            attributes: attributes.collect(),
            links: vec![],
            start: start.unsigned_abs() * 1_000_000,
            end: start.unsigned_abs() * 1_000_000 + 1,
        });
        span_id
    }

    /// What a service works in when it reacts to a fact.
    fn reaction(&self, service: &str, to: &Said) -> String {
        let worked = self.worked.get(&(service.to_owned(), to.id));
        worked.unwrap_or(&to.span).clone()
    }

    /// A fact is committed, published and taken in by everybody who reads it.
    pub(super) fn say(&mut self, by: &str, name: &str, key: &str, data: Value, to: &Said) -> Said {
        let info = EVENTS.iter().find(|info| info.name == name).expect("a fact of the retailer");
        let topic = info.topic.name;
        let id = self.uuid();
        let parent = self.reaction(by, to);
        let made = [("messaging.message.id", id.to_string())];
        let name_of = format!("create {topic}");
        let span = self.span(by, &name_of, "producer", &to.trace, Some(&parent), &made);
        let cause = (!to.id.is_nil()).then_some(to.id);
        let version = self.books(by).outbox.iter();
        let version = version.filter(|row| row.topic == topic && row.key == key).count() as u64 + 1;
        let payload = serde_json::to_vec(&data).expect("JSON");
        let (at, recorded_at) = self.now();
        let row_id = self.ids as i64;
        self.books(by).outbox.push(OutboxRow {
            event_id: id,
            id: row_id,
            topic: topic.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            version,
            payload: Some(payload.clone()),
            raw_headers: None,
            causation_id: cause,
            recorded_at,
            sent: true,
        });
        let flow = if key.len() == 36 { key.to_owned() } else { to.trace.clone() };
        let mut headers = vec![
            ("ce_id", id.to_string()),
            ("ce_type", name.to_owned()),
            ("ce_sequence", format!("{version:020}")),
            ("ce_correlationid", flow),
            ("traceparent", format!("00-{}-{span}-01", to.trace)),
        ];
        headers.extend(cause.map(|cause| ("ce_causationid", cause.to_string())));
        let record = Logged {
            partition: 0,
            offset: 0,
            timestamp_ms: Some(at),
            key: Some(key.as_bytes().to_vec()),
            payload: Some(payload),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), Some(v.into()))).collect(),
            datum: Datum::Value(data),
        };
        self.said += 1;
        let place = self.append(topic, record.clone());
        let said = Said { id, trace: to.trace.clone(), span };
        self.take_in(topic, name, key, version, &record, place, &said);
        // The relay died before it could mark the row.
        if self.said.is_multiple_of(7) {
            self.append(topic, record);
        }
        said
    }

    pub(super) fn append(&mut self, topic: &str, mut record: Logged) -> (i32, i64) {
        let log = self.log(topic);
        let key = record.key.clone().unwrap_or_default();
        record.partition = partition_of(&key, log.ends.len() as u32);
        let end = &mut log.ends[record.partition as usize].1;
        record.offset = *end;
        *end += 1;
        let place = (record.partition, record.offset);
        log.records.push(record);
        place
    }

    #[expect(clippy::too_many_arguments, reason = "what an inbox row and a span are made of")]
    fn take_in(
        &mut self,
        topic: &str,
        name: &str,
        key: &str,
        version: u64,
        record: &Logged,
        (partition, offset): (i32, i64),
        said: &Said,
    ) {
        let reads = |books: &Books| books.reads.iter().any(|(n, t)| n == name && t == topic);
        let readers = self.evidence.services.iter().filter(|books| reads(books));
        let readers: Vec<_> = readers
            .map(|books| (books.service.clone(), books.group.clone(), books.is_view))
            .collect();
        for (service, group, is_view) in readers {
            let attributes = [
                ("messaging.message.id", said.id.to_string()),
                ("messaging.consumer.group.name", group),
                ("messaging.destination.partition.id", partition.to_string()),
                ("messaging.kafka.offset", offset.to_string()),
            ];
            let label = format!("process {topic}");
            let span =
                self.span(&service, &label, "consumer", &said.trace, Some(&said.span), &attributes);
            self.worked.insert((service.clone(), said.id), span);
            if is_view {
                continue;
            }
            let (_, recorded_at) = self.now();
            let books = self.books(&service);
            books.inbox.push(InboxRow {
                event_id: said.id,
                topic: topic.to_owned(),
                partition,
                offset,
                digest: Some(digest(record)),
                outcome: "handled".to_owned(),
                recorded_at,
            });
            books
                .last_versions
                .retain(|last| (last.topic.as_str(), last.key.as_str()) != (topic, key));
            let (topic, key) = (topic.to_owned(), key.to_owned());
            books.last_versions.push(LastVersion { topic, key, version });
        }
    }

    /// A record that nobody can read is put on a topic, and its readers bury it.
    pub(super) fn poison(&mut self, topic: &str, key: &str) {
        let (at, _) = self.now();
        let id = self.uuid();
        let headers = [("ce_id", id.to_string()), ("ce_type", "retail.order.OrderPlaced".into())];
        let record = Logged {
            partition: 0,
            offset: 0,
            timestamp_ms: Some(at),
            key: Some(key.as_bytes().to_vec()),
            payload: Some(vec![7, 7, 7]),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), Some(v.into()))).collect(),
            datum: Datum::Unreadable("it is not framed".to_owned()),
        };
        let (partition, offset) = self.append(topic, record.clone());
        let poison = Poison {
            topic: topic.to_owned(),
            partition,
            offset,
            key: record.key.as_deref().map(sha256),
            value: record.payload.as_deref().map(sha256),
            headers: digest_of_headers(&record.headers),
            refused_by: Some(vec!["stock".to_owned()]),
            of_datum: true,
        };
        self.evidence.poisons.push(poison);
        self.bury("stock", topic, &Logged { partition, offset, ..record }, id, "undecodable");
        self.books("stock").parked.last_mut().expect("buried").status = "dead".to_owned();
    }

    /// A record becomes a dead letter of a service, and was redriven since.
    pub(super) fn bury(
        &mut self,
        service: &str,
        topic: &str,
        record: &Logged,
        id: Uuid,
        reason: &str,
    ) {
        let (_, now) = self.now();
        let letters = format!("retail.{service}.dlq.v1");
        let timestamp = record.timestamp_ms.unwrap_or_default().to_string();
        let ours = [
            ("dlq_id", id.to_string()),
            ("dlq_original_topic", topic.to_owned()),
            ("dlq_original_partition", record.partition.to_string()),
            ("dlq_original_offset", record.offset.to_string()),
            ("dlq_original_timestamp", timestamp),
            ("dlq_original_group", format!("retail.{service}")),
            ("dlq_error_type", "datum".to_owned()),
            ("dlq_error_message", "payload is not framed".to_owned()),
            ("dlq_error_chain", "magic byte".to_owned()),
            ("dlq_fingerprint", "7f3a0c11".to_owned()),
            ("dlq_attempts", "1".to_owned()),
            ("dlq_first_failed_at", now.clone()),
            ("dlq_last_failed_at", now.clone()),
            ("dlq_reason", reason.to_owned()),
            ("dlq_service_version", "0.1.0".to_owned()),
            ("dlq_redrive_count", "0".to_owned()),
        ];
        let mut letter = record.clone();
        letter.headers.extend(ours.map(|(name, value)| (name.to_owned(), Some(value.into()))));
        let key = record.key_text().to_owned();
        let (row, topic) = (self.books(service).parked.len() as i64, topic.to_owned());
        self.books(service).parked.push(ParkedRow {
            id: row,
            key: key.clone(),
            event_id: id,
            topic,
            partition: record.partition,
            offset: record.offset,
            status: "redriven".to_owned(),
            reason: reason.to_owned(),
        });
        self.ids += 1;
        let outbox = OutboxRow {
            event_id: self.uuid(),
            id: self.ids as i64,
            topic: letters.clone(),
            name: "retail.order.OrderPlaced".to_owned(),
            key,
            version: 0,
            payload: record.payload.clone(),
            raw_headers: Some(headers_to_json(&letter.headers)),
            causation_id: None,
            recorded_at: now,
            sent: true,
        };
        self.books(service).outbox.push(outbox);
        self.append(&letters, letter);
    }

    /// Notes a step of the history.
    pub(super) fn note(&mut self, op: Option<u64>, step: Step) -> u64 {
        let (at_ms, _) = self.now();
        let op = op.unwrap_or(self.evidence.history.len() as u64);
        self.evidence.history.push(Entry { at_ms, op, step });
        op
    }

    /// A client looks at an order.
    pub(super) fn look(&mut self, client: &str, order: &str, status: &str, version: u64) {
        let (client, subject) = (client.to_owned(), Some(order.to_owned()));
        let act = Act::Read;
        let token = Some(version);
        let op = self.note(None, Step::Invoke { client, act, key: None, subject, token });
        let (subject, answer) = (Some(order.to_owned()), sha256(status.as_bytes()));
        let seen = Some(Seen { status: status.to_owned(), version });
        self.note(Some(op), Step::Ok { subject, answer, seen });
    }

    pub(super) fn partner(&mut self, order: &str, purpose: &str, amount: i64) {
        let key = format!("{order}-{purpose}");
        let call = |effective| PartnerCall {
            subject: order.to_owned(),
            purpose: purpose.to_owned(),
            key: key.clone(),
            amount,
            effective,
        };
        self.evidence.partner.extend([call(true), call(false)]);
    }

    /// Everything has come to rest: offsets and positions are behind the last record.
    pub(super) fn rest(&mut self) {
        let ends: BTreeMap<String, Vec<(i64, i64)>> =
            self.evidence.topics.iter().map(|log| (log.topic.clone(), log.ends.clone())).collect();
        for books in &mut self.evidence.services {
            books.committed.clear();
            books.positions.clear();
            let mut topics: Vec<&String> = books.reads.iter().map(|(_, topic)| topic).collect();
            topics.sort();
            topics.dedup();
            for topic in topics {
                for (partition, (_, next)) in ends[topic].iter().enumerate() {
                    let (topic, partition) = (topic.clone(), partition as i32);
                    let offset = Some(*next);
                    books.committed.push(Committed { topic: topic.clone(), partition, offset });
                    if books.is_view {
                        books.positions.push(ViewPosition { topic, partition, next_offset: *next });
                    }
                }
            }
        }
    }

    /// Takes a fact back, as if it had never been said.
    pub(super) fn unsay(&mut self, name: &str, key: &str) {
        let rows = self.evidence.services.iter().flat_map(|books| &books.outbox);
        let row = rows.clone().find(|row| row.name == name && row.key == key);
        let id = row.expect("it was said").event_id;
        let text = id.to_string();
        for log in &mut self.evidence.topics {
            log.records.retain(|record| record.header("ce_id") != Some(&text));
        }
        for books in &mut self.evidence.services {
            books.outbox.retain(|row| row.event_id != id);
            books.inbox.retain(|row| row.event_id != id);
        }
        let about = |span: &SpanRecord| span.attributes.get("messaging.message.id") == Some(&text);
        self.evidence.spans.retain(|span| !about(span));
    }

    /// Changes every record of a fact.
    pub(super) fn alter(&mut self, name: &str, key: &str, change: impl Fn(&mut Logged)) {
        let mut found = 0;
        let logs = self.evidence.topics.iter_mut().filter(|log| log.kind != Kind::DeadLetters);
        for record in logs.flat_map(|log| &mut log.records) {
            if record.header("ce_type") == Some(name) && record.key_text() == key {
                change(record);
                found += 1;
            }
        }
        assert!(found > 0, "there is no {name} of {key}");
    }

    /// The row of a table that says this.
    pub(super) fn find(&mut self, service: &str, table: &str, says: &[&str]) -> &mut Value {
        let rows = self.books(service).ledgers.get_mut(table).expect("a table");
        let says = |row: &&mut Value| says.iter().all(|word| row.to_string().contains(word));
        rows.iter_mut().rev().find(says).expect("a row that says so")
    }

    /// The last order that stands so in the end; with the account charged if it was confirmed.
    pub(super) fn last(&mut self, status: &str) -> String {
        let paid_outside: Vec<String> =
            self.evidence.partner.iter().map(|call| call.subject.clone()).collect();
        let rows = &self.books("orders").ledgers["orders"];
        let rows = rows.iter().rev().filter(|row| row["status"] == status);
        let mut orders = rows.filter_map(|row| row["order_id"].as_str());
        let found = orders.find(|order| !paid_outside.iter().any(|paid| paid == order));
        found.expect("an order").to_owned()
    }
}

fn log(topic: &str, kind: Kind, owner: &str, partitions: u32) -> Log {
    let ends = vec![(0, 0); partitions as usize];
    Log { topic: topic.to_owned(), kind, owner: owner.to_owned(), ends, records: vec![] }
}

fn digest(record: &Logged) -> i64 {
    let mut bytes = record.key.clone().unwrap_or_default();
    bytes.extend(record.payload.clone().unwrap_or_default());
    let hash = Sha256::digest(&bytes);
    i64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

/// Two mugs at 19.90.
pub(super) fn lines() -> Value {
    json!([{ "sku": "mug", "quantity": 2, "unit_price": { "amount": 1990, "currency": "CAD" } }])
}
