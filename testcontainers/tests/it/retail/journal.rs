//! The journal keeps every fact of every order byte for byte, shows an order as it was, shows when
//! somebody changed a row, and takes from outside what fits.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harness::eventually;
use journal::verify::{Report, Unanchored, verify};
use millrace::Timestamp;
use millrace::admin::{RawRecord, Record};
use millrace::contract::{frame, headers_to_json, unframe};
use reqwest::StatusCode;
use schemas::history::{Fact, Facts, What};
use schemas::{OrderId, topics};
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

use super::Shop;
use super::shop::{SOON, same};

const TOPICS: [&millrace::Topic; 5] = [
    topics::ORDER_EVENTS,
    topics::STOCK_EVENTS,
    topics::PAYMENT_EVENTS,
    topics::SALE_EVENTS,
    topics::OUTSIDE_EVENTS,
];

/// A shop with orders that end in different ways.
struct Told {
    shop: Shop,
    orders: Vec<OrderId>,
}

impl Told {
    async fn open() -> Result<Self> {
        let shop = Shop::open(8, "150.00").await?;
        // 59.70, then nothing left in the account, then nothing left in the store.
        let mut orders = vec![];
        for mugs in [3, 5, 6] {
            let order = shop.order(mugs).await?;
            shop.ended(order).await?;
            orders.push(order);
        }
        let told = Self { shop, orders };
        told.until_recorded().await?;
        Ok(told)
    }

    /// Every record of every topic of orders.
    async fn records(&self) -> Result<Vec<(&'static str, Record)>> {
        let admin = self.shop.world.admin().await?;
        let mut all = vec![];
        for topic in TOPICS {
            let records = admin.read_all(&self.shop.world.topic(topic)).await?;
            all.extend(records.into_iter().map(|record| (topic.name, record)));
        }
        Ok(all)
    }

    /// Waits until the journal has as many entries as the topics have records.
    async fn until_recorded(&self) -> Result<()> {
        eventually(SOON, "everything is recorded", async || {
            let told = |error: anyhow::Error| format!("{error:#}");
            let said = self.records().await.map_err(told)?.len() as i64;
            let mut db = self.shop.world.database("journal").await.map_err(told)?;
            let count = sqlx::query_scalar("SELECT count(*) FROM entry").fetch_one(&mut db).await;
            let kept: i64 = count.map_err(|error| error.to_string())?;
            if kept == said { Ok(()) } else { Err(format!("{kept} of {said}")) }
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Value)> {
        let url = format!("{}/v1/journal/orders/{path}", self.shop.service("journal")?.url());
        let answer = reqwest::get(url).await?;
        Ok((answer.status(), answer.json().await?))
    }

    async fn post(&self, path: &str, key: Uuid, body: &Value) -> Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.shop.service("journal")?.url());
        let request = reqwest::Client::new().post(url).header("Idempotency-Key", key.to_string());
        let answer = request.json(body).send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    async fn verify(&self) -> Result<Report> {
        let mut db = self.shop.world.database("journal").await?;
        Ok(verify(&mut db, None, &mut Unanchored, &mut |_| ()).await?)
    }

    async fn execute(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        let mut db = self.shop.world.database("journal").await.expect("the journal's database");
        Ok(sqlx::raw_sql(sql).execute(&mut db).await?.rows_affected())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fact_of_every_order_is_kept_once_byte_for_byte_in_a_whole_chain() -> Result<()> {
    let told = Told::open().await?;
    let records = told.records().await?;
    let mut db = told.shop.world.database("journal").await?;
    let rows = sqlx::query(
        r#"SELECT topic, "partition", "offset", order_id, name, schema_id, payload, headers,
               event_id::text FROM entry"#,
    );
    let mut kept = BTreeMap::new();
    for row in rows.fetch_all(&mut db).await? {
        let at: (String, i32, i64) = (row.get(0), row.get(1), row.get(2));
        ensure!(kept.insert(at, row).is_none(), "a record is kept twice");
    }
    same(kept.len(), records.len())?;
    ensure!(records.len() > 12, "{} facts are no story", records.len());
    for (topic, record) in records {
        let row = kept.get(&(topic.to_owned(), record.partition, record.offset));
        let row = row.with_context(|| format!("{topic} {} is not kept", record.offset))?;
        let payload = record.payload.as_deref().context("a fact has a payload")?;
        same(row.get::<&[u8], _>(6), payload)?;
        same(row.get::<i64, _>(5), unframe(payload)?.0.into())?;
        same(row.get::<&str, _>(7).as_bytes(), &headers_to_json(&record.headers)[..])?;
        same(Some(row.get::<&str, _>(4)), record.header("ce_type"))?;
        same(Some(row.get::<&str, _>(8)), record.header("ce_id"))?;
        let key = record.key.as_deref().context("a fact has a key")?;
        same(row.get::<Uuid, _>(3).to_string().as_bytes(), key)?;
    }
    let report = told.verify().await?;
    ensure!(report.broken.is_empty() && report.entries == kept.len() as u64, "{report:?}");
    same(report.orders, told.orders.len() as u64)?;
    told.shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_as_it_was_at_every_version_and_time() -> Result<()> {
    let told = Told::open().await?;
    for order in &told.orders {
        let (_, now) = told.get(&order.to_string()).await?;
        let entries = now["entries"].as_array().context("entries")?.clone();
        let facts = entries.iter().map(fact).collect::<Result<Vec<Fact>>>()?;
        for version in 0..=facts.len() {
            let (status, then) = told.get(&format!("{order}?version={version}")).await?;
            same(status, StatusCode::OK)?;
            let wanted = Facts::new(facts[..version].to_vec()).map(|facts| facts.summary());
            let state = &then["state"];
            same(state["status"].as_str(), wanted.as_ref().map(|it| it.status.as_str()))?;
            let total = wanted.as_ref().and_then(|it| it.total).map(|it| json!(it));
            same(state.get("total").cloned(), wanted.as_ref().map(|_| total.unwrap_or_default()))?;
            same(state["settled"].as_bool(), wanted.as_ref().map(|it| it.settled))?;
            same(then["entries"].as_array().map(Vec::len), Some(version))?;
        }
        let first = facts.iter().map(|fact| fact.occurred_at).min().context("a first fact")?;
        let before = Timestamp::from_micros(first.micros() - 1).context("a time")?;
        let (status, then) = told.get(&format!("{order}?at={before}")).await?;
        same(
            (status, &then["state"], &then["version"]),
            (StatusCode::OK, &Value::Null, &json!(0)),
        )?;
        ensure!(then["note"].as_str().is_some_and(|it| it.contains(&first.to_string())), "{then}");
        let (_, then) = told.get(&format!("{order}?at={first}")).await?;
        same(&then["state"]["status"], &json!("placed"))?;
    }
    let (_, diff) = told.get(&format!("{}/diff?from=1", told.orders[0])).await?;
    let sentences = diff["sentences"].to_string();
    ensure!(sentences.contains("payment of 59.70 CAD accepted; status reserved -> paid"), "{diff}");
    let unknown = Uuid::now_v7();
    let last = &told.orders[0];
    for (path, status, code) in [
        (format!("{unknown}"), 404, "unknown_order"),
        (format!("{unknown}/diff"), 404, "unknown_order"),
        (format!("{last}?version=99"), 404, "unknown_version"),
        (format!("{last}?version=1&at=2026-01-01T00:00:00Z"), 400, "invalid_query"),
        (format!("{last}?when=1"), 400, "invalid_query"),
        (format!("{last}?at=yesterday"), 400, "invalid_query"),
        (format!("{last}/diff?from=3&to=1"), 400, "invalid_query"),
        (format!("{last}/diff?from=x"), 400, "invalid_query"),
        ("nonsense".to_owned(), 400, "invalid_path"),
    ] {
        let (found, problem) = told.get(&path).await?;
        ensure!(found == status && problem["code"] == code, "{path}: {found} {problem}");
    }
    told.shop.close().await
}

/// A fact of an order from the entry that tells of it.
fn fact(entry: &Value) -> Result<Fact> {
    let text = |field: &str| entry[field].as_str().context("a text");
    let name = text("fact")?.rsplit('.').next().unwrap_or_default();
    let what: What = serde_json::from_value(json!({ "fact": name, "data": entry["data"] }))?;
    Ok(Fact {
        id: text("event_id")?.parse()?,
        topic: text("topic")?.to_owned(),
        partition: 0,
        offset: 0,
        producer: text("producer")?.to_owned(),
        version: 0,
        occurred_at: text("occurred_at")?.parse()?,
        what,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_row_cannot_be_changed_by_its_owner_and_a_change_behind_its_back_is_found()
-> Result<()> {
    let told = Told::open().await?;
    for refused in ["UPDATE entry SET name = 'x'", "DELETE FROM entry", "TRUNCATE entry"] {
        let error = told.execute(refused).await.err().context("it was allowed")?;
        ensure!(error.to_string().contains("permission denied"), "{refused}: {error}");
    }
    told.execute("GRANT UPDATE, DELETE, TRUNCATE ON entry TO CURRENT_USER").await?;
    for refused in ["UPDATE entry SET name = 'x'", "DELETE FROM entry", "TRUNCATE entry"] {
        let error = told.execute(refused).await.err().context("it was allowed")?;
        ensure!(error.to_string().contains("append-only"), "{refused}: {error}");
    }
    ensure!(told.verify().await?.broken.is_empty());
    told.execute("ALTER TABLE entry DISABLE TRIGGER entry_is_kept").await?;
    let damages = [
        ("UPDATE entry SET payload = payload || '\\x00' WHERE seq = 3", 3, "it was changed"),
        (
            "UPDATE entry SET occurred_at = occurred_at - interval '1 us' WHERE seq = 2",
            2,
            "changed",
        ),
        ("DELETE FROM entry WHERE seq = 1", 1, "entry 1 is missing"),
    ];
    for (damage, seq, what) in damages {
        ensure!(told.execute(damage).await? > 0, "{damage} did nothing");
        let report = told.verify().await?;
        let first = report.broken.first().context("nothing was found")?;
        ensure!(first.seq == seq && first.what.contains(what), "{damage}: {first:?}");
        same(report.broken_orders, told.orders.len() as u64)?;
    }
    told.shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_outside_are_heard_once_when_what_they_say_fits() -> Result<()> {
    let told = Told::open().await?;
    let order = told.orders[0];
    let data =
        json!({ "order_id": order, "source": "carrier-7", "kind": "DELAYED", "text": "snow" });
    let body = json!({ "type": "retail.outside.OutsideNoted", "key": order, "data": data });
    let key = Uuid::now_v7();
    for _ in 0..2 {
        let (status, answer) = told.post("/v1/events", key, &body).await?;
        ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
    }
    told.until_recorded().await?;
    let (_, history) = told.get(&order.to_string()).await?;
    let notes = history["entries"].as_array().context("entries")?;
    let notes: Vec<_> = notes.iter().filter(|it| it["producer"] == "journal").collect();
    same(notes.len(), 1)?;
    same(&notes[0]["data"], &data)?;
    let with = |path: &[&str], value: Value| {
        let mut body = body.clone();
        let place = path.iter().fold(&mut body, |value, part| &mut value[*part]);
        *place = value;
        body
    };
    let unknown = Uuid::now_v7().to_string();
    let elsewhere = json!({ "order_id": unknown, "source": "a", "kind": "b", "text": "c" });
    let nobody = json!({ "type": body["type"], "key": unknown, "data": elsewhere });
    for (body, status, code, pointer) in [
        (with(&["type"], json!("retail.order.OrderPlaced")), 422, "unknown_type", "/type"),
        (with(&["type"], json!("retail.nothing.Said")), 422, "unknown_type", "/type"),
        (with(&["key"], json!(unknown)), 422, "wrong_key", "/key"),
        (with(&["data", "text"], json!(7)), 422, "invalid_data", "/data/text"),
        (with(&["data", "more"], json!(7)), 422, "invalid_data", "/data/more"),
        (with(&["data", "order_id"], json!("x")), 422, "invalid_data", "/data/order_id"),
        (with(&["data", "text"], json!("")), 422, "invalid_text", "/data/text"),
        (with(&["data", "kind"], json!("FROZEN")), 422, "invalid_text", "/data/kind"),
        (
            with(&["occurred_at"], json!("2999-01-01T00:00:00Z")),
            422,
            "invalid_time",
            "/occurred_at",
        ),
        (with(&["surprise"], json!(1)), 422, "invalid_body", "/surprise"),
        (nobody, 404, "unknown_order", ""),
    ] {
        let (found, problem) = told.post("/v1/events", Uuid::now_v7(), &body).await?;
        let place = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        let right = found == status && problem["code"] == code && place == pointer;
        ensure!(right, "{body}: {found} {problem}");
    }
    told.shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_journal_says_so_records_on_and_takes_nothing_from_outside() -> Result<()> {
    let told = Told::open().await?;
    let order = told.orders[0];
    let path = format!("/v1/journal/orders/{order}/freeze");
    let freeze = json!({ "author": "auditor-1", "reason": "complaint 7" });
    for _ in 0..2 {
        let (status, frozen) = told.post(&path, Uuid::now_v7(), &freeze).await?;
        ensure!(status == StatusCode::OK && frozen["by"] == "auditor-1", "{status} {frozen}");
    }
    let other = json!({ "author": "auditor-2", "reason": "complaint 7" });
    let (status, problem) = told.post(&path, Uuid::now_v7(), &other).await?;
    ensure!(status == StatusCode::CONFLICT && problem["code"] == "journal_frozen", "{problem}");
    let data = json!({ "order_id": order, "source": "a", "kind": "b", "text": "c" });
    let body = json!({ "type": "retail.outside.OutsideNoted", "key": order, "data": data });
    let (status, problem) = told.post("/v1/events", Uuid::now_v7(), &body).await?;
    ensure!(status == StatusCode::CONFLICT && problem["code"] == "journal_frozen", "{problem}");
    told.until_recorded().await?;
    let (_, history) = told.get(&order.to_string()).await?;
    same(&history["frozen"]["reason"], &json!("complaint 7"))?;
    let last = history["entries"].as_array().and_then(|entries| entries.last());
    same(last.map(|entry| &entry["data"]["kind"]), Some(&json!("FROZEN")))?;
    let nobody = format!("/v1/journal/orders/{}/freeze", Uuid::now_v7());
    same(told.post(&nobody, Uuid::now_v7(), &freeze).await?.0, StatusCode::NOT_FOUND)?;
    told.shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_a_type_that_no_build_knows_yet_is_kept_and_shown() -> Result<()> {
    let told = Told::open().await?;
    let order = told.orders[0];
    let schema = r#"{"type":"record","name":"StockCounted","namespace":"retail.stock","fields":[
        {"name":"order_id","type":"string"},{"name":"boxes","type":"long"}]}"#;
    let subject = "retail.stock.events.v1-retail.stock.StockCounted";
    let id = told.shop.world.registry().register(subject, schema).await?;
    let topic = told.shop.world.topic(topics::STOCK_EVENTS);
    let admin = told.shop.world.admin().await?;
    let key = order.to_string();
    let records = admin.read_all(&topic).await?;
    let mut ours = records.iter().filter(|it| it.key.as_deref() == Some(key.as_bytes()));
    let mut headers = ours.next_back().context("a fact of stock")?.headers.clone();
    for (name, value) in &mut headers {
        match name.as_str() {
            "ce_id" => *value = Some(Uuid::now_v7().to_string().into_bytes()),
            "ce_type" => *value = Some(b"retail.stock.StockCounted".to_vec()),
            "ce_sequence" => *value = Some(b"00000000000000000002".to_vec()),
            _ => {}
        }
    }
    let datum = [&[72], key.as_bytes(), &[14]].concat();
    let (key, payload) = (Some(key.into_bytes()), Some(frame(id, &datum)));
    admin.produce(&topic, RawRecord { partition: None, key, payload, headers }).await?;
    told.until_recorded().await?;
    let (_, history) = told.get(&order.to_string()).await?;
    let last = history["entries"].as_array().and_then(|entries| entries.last());
    let last = last.context("entries")?;
    same(&last["fact"], &json!("retail.stock.StockCounted"))?;
    same(&last["data"], &json!({ "order_id": order, "boxes": 7 }))?;
    same(&history["state"]["status"], &json!("confirmed"))?;
    ensure!(told.verify().await?.broken.is_empty());
    told.shop.close().await
}
