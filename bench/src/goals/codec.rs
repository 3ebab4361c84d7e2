//! Framed Avro: from a typed event to the bytes of a record and back, beside the registry's own
//! converter as its documentation shows it; what encoding into a buffer allocates, and what a crowd that
//! meets a schema for the first time asks of the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apache_avro::from_value;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use millrace::contract::unframe;
use millrace::{Event, Registry, config};
use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::schema_registry_common::SubjectNameStrategy;
use schemas::{Money, OrderLine, OrderPlaced};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::meter::{Beside, Meter};
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};
use crate::{Size, order};

pub(crate) const GOALS: [&str; 3] =
    ["codec_rate_times_converter", "codec_bytes_allocated", "codec_requests_of_a_crowd"];
const SIDES: [&str; 2] = ["millrace", "converter"];

const ID: u32 = 7;
const EVENTS: u32 = 200_000;
const CROWD: usize = 1_000;
const ANSWER: Duration = Duration::from_millis(50);

pub(crate) async fn measure(size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let asked = Arc::new(AtomicUsize::new(0));
    let url = serve(asked.clone()).await?;
    let events = EVENTS / size.less;
    let placed = order::placed()?;
    let converter = Converter::new(&url);
    let rounds = take_turns("codec", &SIDES, 1, size.rounds, async |side| {
        let meter = Meter::begin(Beside::default());
        match side {
            0 => ours(&placed, events)?,
            _ => converter.there_and_back(&plain(&placed), events).await?,
        }
        Ok(meter.end(events.into()))
    });
    let rounds = rounds.await?;
    let us = |side| rounds.median(|it: &Sample| it.own_us, side);
    let told = format!(
        "{:.2} us there and back, the converter {:.2} us; an order of three lines",
        us(0),
        us(1)
    );
    let ratios = rounds.ratios(|it| it.rate, 0, 1);
    let allocated = allocated().await?;
    let crowd = crowd(&url, &asked).await? as f64;
    let verdicts = vec![
        Verdict::new(GOALS[0], &ratios, Bound::AtLeast, 3.0, told),
        Verdict::new(
            GOALS[1],
            &[allocated],
            Bound::AtMost,
            0.0,
            "bytes at the peak of many encodings into a buffer that is used again".to_owned(),
        ),
        Verdict::new(
            GOALS[2],
            &[crowd],
            Bound::AtMost,
            1.0,
            format!("{CROWD} first uses of a schema id at the same time"),
        ),
    ];
    Ok((rounds, verdicts))
}

fn ours(placed: &OrderPlaced, events: u32) -> Result<()> {
    let mut buffer = Vec::with_capacity(1024);
    for _ in 0..events {
        buffer.clear();
        placed.write_framed(ID, &mut buffer);
        let (id, datum) = unframe(std::hint::black_box(&buffer))?;
        let read = OrderPlaced::from_datum(datum)?;
        ensure!(id == ID && std::hint::black_box(read).lines.len() == 3);
    }
    Ok(())
}

/// What encoding takes beyond the buffer, at its peak, as a program of its own tells: counting would
/// cost the others here.
async fn allocated() -> Result<f64> {
    let program = std::env::current_exe()?.with_file_name("allocations");
    let output = tokio::process::Command::new(&program).output().await;
    let output = output.with_context(|| format!("{} is not built", program.display()))?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// How many requests a crowd of first uses makes.
async fn crowd(url: &str, asked: &AtomicUsize) -> Result<usize> {
    let registry = Registry::new(&config::Registry { url: url.to_owned(), timeout: ANSWER * 20 });
    asked.store(0, Ordering::Relaxed);
    let uses = (0..CROWD).map(|_| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.schema(ID).await.map(drop) })
    });
    for used in futures::future::join_all(uses).await {
        used??;
    }
    Ok(asked.load(Ordering::Relaxed))
}

/// An order as its users write it for the converter.
#[derive(Clone, Serialize, Deserialize)]
struct Plain {
    order_id: String,
    customer_id: String,
    store_id: String,
    lines: Vec<PlainLine>,
    total: PlainMoney,
}

#[derive(Clone, Serialize, Deserialize)]
struct PlainLine {
    sku: String,
    quantity: i64,
    unit_price: PlainMoney,
}

#[derive(Clone, Serialize, Deserialize)]
struct PlainMoney {
    amount: i64,
    currency: String,
}

fn plain(placed: &OrderPlaced) -> Plain {
    let money =
        |money: Money| PlainMoney { amount: money.minor(), currency: money.currency().to_string() };
    let line = |line: &OrderLine| PlainLine {
        sku: line.sku.to_string(),
        quantity: line.quantity,
        unit_price: money(line.unit_price),
    };
    Plain {
        order_id: placed.order_id.to_string(),
        customer_id: placed.customer_id.to_string(),
        store_id: placed.store_id.to_string(),
        lines: placed.lines.iter().map(line).collect(),
        total: money(placed.total),
    }
}

/// The registry's converter with its caches filled.
struct Converter {
    encoder: AvroEncoder,
    decoder: AvroDecoder,
    subject: SubjectNameStrategy,
}

impl Converter {
    fn new(url: &str) -> Self {
        let settings = SrSettings::new(url.to_owned());
        let (topic, name) = (OrderPlaced::TOPIC.name.to_owned(), OrderPlaced::NAME.to_owned());
        Self {
            encoder: AvroEncoder::new(settings.clone()),
            decoder: AvroDecoder::new(settings),
            subject: SubjectNameStrategy::TopicRecordNameStrategy(topic, name),
        }
    }

    async fn there_and_back(&self, plain: &Plain, events: u32) -> Result<()> {
        for _ in 0..events {
            let bytes = self.encoder.encode_struct(plain, &self.subject).await?;
            let decoded = self.decoder.decode(Some(std::hint::black_box(&bytes))).await?;
            let read: Plain = from_value(&decoded.value)?;
            ensure!(std::hint::black_box(read).lines.len() == 3);
        }
        Ok(())
    }
}

/// A registry with one schema; it counts who asks for it by its id, and takes its time.
async fn serve(asked: Arc<AtomicUsize>) -> Result<String> {
    async fn by_id(State(asked): State<Arc<AtomicUsize>>) -> Json<Value> {
        asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(ANSWER).await;
        Json(json!({ "schema": OrderPlaced::SCHEMA }))
    }
    async fn latest() -> Json<Value> {
        let (subject, schema) = (OrderPlaced::subject(), OrderPlaced::SCHEMA);
        Json(json!({ "subject": subject, "version": 1, "id": ID, "schema": schema }))
    }
    let routes = Router::new()
        .route("/schemas/ids/{id}", get(by_id))
        .route("/subjects/{subject}/versions/latest", get(latest))
        .with_state(asked);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}
