//! Others, written as their own communities would write them, at the same work: a paid order becomes a
//! sale, with an inbox, the sale's row and an outbox in one transaction, and the sale is announced.

pub(crate) mod bare;
pub(crate) mod per_message;
pub(crate) mod random_ids;
pub(crate) mod skip_locked;
pub(crate) mod spans;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millrace::Event;
use millrace::contract::{Timestamp, frame, unframe};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use schemas::{PaymentAccepted, SaleConfirmed, SaleId};
use serde_json::Value;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

/// The outbox of those who mark or delete what they have sent: ours and its days, with the mark, and with the
/// indexes that marking and looking for what is not sent need.
const OUTBOX: &str = "
    CREATE TABLE outbox (LIKE millrace.outbox INCLUDING DEFAULTS, sent_at timestamptz,
        PRIMARY KEY (event_id)) PARTITION BY RANGE (event_id);
    CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
    DO $$
    DECLARE day record;
    BEGIN
        FOR day IN SELECT relname, pg_get_expr(relpartbound, oid) AS bounds FROM pg_class
            WHERE oid IN (SELECT inhrelid FROM pg_inherits
                          WHERE inhparent = 'millrace.outbox'::regclass)
        LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF outbox %s', day.relname, day.bounds);
        END LOOP;
    END $$";

/// Makes the table that peers have beside ours.
pub(crate) async fn make_outbox(db: &mut PgConnection) -> Result<()> {
    Ok(db.execute(OUTBOX).await.map(drop)?)
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Where a peer works.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bootstrap: String,
    pub(crate) group: String,
    /// Topics, without the prefix that they have on the broker.
    pub(crate) reads: &'static str,
    pub(crate) writes: &'static str,
    pub(crate) prefix: String,
    pub(crate) database: String,
    pub(crate) announces: Announces,
    /// The registry's id of what is announced.
    pub(crate) schema: u32,
    /// Each record that comes and each that leaves has a span.
    pub(crate) spans: bool,
}

/// What is announced of a payment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Announces {
    /// Its sale.
    Sale,
    /// The same payment under another name: the next step of a chain.
    Step(&'static str),
}

/// A payment as it came.
pub(crate) struct Paid {
    pub(crate) id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) fact: PaymentAccepted,
}

/// A sale as it is announced.
pub(crate) struct Sold {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) cause: Uuid,
}

/// Reads a topic, from now on.
pub(crate) fn sink(place: &Place, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &place.bootstrap)
        .set("group.id", format!("{}sink", place.group))
        .set("enable.auto.commit", "false")
        .create()?;
    let mut all = rdkafka::TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().context("the topic is not there")?;
    ensure!(!found.partitions().is_empty(), "the topic has no partitions");
    for partition in found.partitions() {
        let end = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?.1;
        all.add_partition_offset(topic, partition.id(), rdkafka::Offset::Offset(end))?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

impl Paid {
    pub(crate) fn read(message: &BorrowedMessage<'_>) -> Result<Self> {
        let headers = message.headers().context("no headers")?;
        let id = headers.iter().find(|header| header.key == "ce_id").and_then(|it| it.value);
        let (_, datum) = unframe(message.payload().context("no payload")?)?;
        Ok(Self {
            id: std::str::from_utf8(id.context("no id")?)?.parse()?,
            partition: message.partition(),
            offset: message.offset(),
            fact: PaymentAccepted::from_datum(datum)?,
        })
    }

    /// The articles as the sale's row has them.
    pub(crate) fn lines(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.fact.lines)?)
    }

    pub(crate) fn sale(&self) -> SaleId {
        SaleId::of(self.fact.order_id)
    }

    pub(crate) fn sold(&self, place: &Place) -> Sold {
        let span = || {
            tracing::info_span!(
                "process",
                otel.kind = "consumer",
                messaging.system = "kafka",
                messaging.destination.name = place.reads,
                messaging.destination.partition.id = self.partition,
                messaging.kafka.message.offset = self.offset,
                messaging.message.id = %self.id,
            )
        };
        let _entered = place.spans.then(|| span().entered());
        let fact = &self.fact;
        let sale = || SaleConfirmed {
            order_id: fact.order_id,
            sale_id: self.sale(),
            customer_id: fact.customer_id.clone(),
            store_id: fact.store_id.clone(),
            total: fact.amount,
        };
        let datum = match place.announces {
            Announces::Sale => sale().to_datum(),
            Announces::Step(_) => fact.to_datum(),
        };
        Sold {
            id: Uuid::now_v7(),
            key: fact.order_id.to_string(),
            payload: frame(place.schema, &datum),
            cause: self.id,
        }
    }
}

impl Announces {
    /// Its CloudEvents type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sale => SaleConfirmed::NAME,
            Self::Step(name) => name,
        }
    }
}

impl Place {
    /// What it reads, on the broker.
    pub(crate) fn read(&self) -> String {
        format!("{}{}", self.prefix, self.reads)
    }

    pub(crate) fn consumer(&self) -> Result<BaseConsumer> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", &self.group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "1000")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "2000")
            .create()?;
        consumer.subscribe(&[&self.read()])?;
        Ok(consumer)
    }

    pub(crate) fn producer(&self) -> Result<FutureProducer> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .create()?;
        Ok(producer)
    }

    /// Hands a sale to the producer; somebody awaits the acknowledgement.
    pub(crate) fn send(&self, producer: &FutureProducer, sold: &Sold) -> Result<DeliveryFuture> {
        let span = || {
            tracing::info_span!(
                "send",
                otel.kind = "producer",
                messaging.system = "kafka",
                messaging.destination.name = self.writes,
                messaging.message.id = %sold.id,
                messaging.kafka.message.key = sold.key,
            )
        };
        let _entered = self.spans.then(|| span().entered());
        // As ours would say it, attribute for attribute but for a trace; its flow has the name of its key.
        let now = Timestamp::from(time::OffsetDateTime::now_utc());
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &sold.id.to_string()),
            ("ce_source", "/retail/sales"),
            ("ce_type", self.announces.name()),
            ("ce_subject", &sold.key),
            ("ce_partitionkey", &sold.key),
            ("ce_time", &now.to_string()),
            ("ce_recordedtime", &now.to_string()),
            ("ce_dataschema", &format!("http://127.0.0.1:8081/schemas/ids/{}", self.schema)),
            ("ce_sequence", &format!("{:020}", 1)),
            ("ce_correlationid", &sold.key),
            ("ce_causationid", &sold.cause.to_string()),
            ("content-type", "application/avro"),
        ];
        let insert = |all: OwnedHeaders, (key, value): &(&str, &str)| {
            all.insert(Header { key, value: Some(*value) })
        };
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), insert);
        let topic = format!("{}{}", self.prefix, self.writes);
        let mut record = FutureRecord::to(&topic).key(&sold.key).payload(&sold.payload);
        record = record.headers(headers);
        loop {
            match producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((error, returned)) => {
                    let full = rdkafka::types::RDKafkaErrorCode::QueueFull;
                    if error.rdkafka_error_code() != Some(full) {
                        return Err(error.into());
                    }
                    record = returned;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}
