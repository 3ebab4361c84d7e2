//! A payment provider that is away, forgetful, late or a liar: every order is charged once or not at
//! all, by the provider's own ledger.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::check::{Collector, History, TRANSPORT, judge};
use harness::eventually;
use harness::partner::{Behaviour, Provider, Wire};
use millrace::ask::sign;
use millrace::{Config, Secret};
use schemas::OrderId;
use serde_json::{Value, json};

use super::Shop;
use super::shop::{SERVICES, SOON, history, same};
use crate::law::{self, LAW};

const SECRET: &str = "the provider's secret";

/// A shop whose orders are charged to a provider.
async fn open() -> Result<(Shop, Provider)> {
    let provider = Provider::start(SECRET)?;
    let url = provider.url();
    let shop = Shop::open_with(100, "100.00", |service, config| {
        match service {
            "payments" => charged_to(&url, config),
            // No order expires while its provider is taught manners.
            "orders" => {
                let patient = json!({ "payment_deadline_ms": 300_000 });
                config.service.insert("orders".to_owned(), patient);
            }
            _ => {}
        }
    })
    .await?;
    provider.events_to(events(&shop)?);
    Ok((shop, provider))
}

fn charged_to(url: &str, config: &mut Config) {
    let settings = json!({ "provider": "http", "provider_url": url, "provider_secret": SECRET });
    config.service.insert("payments".to_owned(), settings);
}

fn events(shop: &Shop) -> Result<String> {
    Ok(format!("{}/v1/provider/events", shop.service("payments")?.url()))
}

/// Waits until a metric of payments contains this.
async fn until_metric(shop: &Shop, wanted: &str) -> Result<()> {
    let url = format!("{}/metrics", shop.service("payments")?.url());
    eventually(SOON, wanted, async || {
        let told = async { reqwest::get(&url).await?.text().await };
        let text = told.await.map_err(|error| error.to_string())?;
        let about = wanted.split('{').next().unwrap_or_default();
        match text.contains(wanted) {
            true => Ok(()),
            false => Err(text.lines().filter(|line| line.starts_with(about)).collect()),
        }
    })
    .await
}

/// How often the provider charged and refunded an order.
async fn until_moved(provider: &Provider, order: OrderId, wanted: (usize, usize)) -> Result<()> {
    eventually(SOON, "the provider's ledger", async || {
        let moved = provider.moved(&order.to_string());
        if moved == wanted { Ok(()) } else { Err(format!("{moved:?}, wanted {wanted:?}")) }
    })
    .await
}

async fn post(url: &str, body: &Value, signature: Option<&str>) -> Result<(u16, Value)> {
    let request = reqwest::Client::new().post(url).body(body.to_string());
    let request = match signature {
        Some(signature) => request.header("Provider-Signature", signature),
        None => request,
    };
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

fn signed(secret: &str, age_seconds: u64, body: &Value) -> String {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().unsigned_abs();
    sign(&Secret::new(secret), now - age_seconds, body.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_charged_once_whoever_brings_the_answer() -> Result<()> {
    let (shop, provider) = open().await?;
    // The answer of the call and two events race each other.
    provider.behave(Behaviour { events: 2, ..Behaviour::default() });
    let orders = futures::future::try_join_all((0..8).map(|_| shop.order(1))).await?;
    for order in orders {
        same(shop.ended(order).await?.status.as_str(), "confirmed")?;
        same(provider.moved(&order.to_string()), (1, 0))?;
        same(shop.facts(schemas::topics::PAYMENT_EVENTS, order).await?, 1)?;
    }
    let order = shop.order(2).await?;
    let view = shop.ended(order).await?;
    same(view.status.as_str(), "confirmed")?;
    let steps =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    same(history(&view), steps.to_vec())?;
    same(provider.moved(&order.to_string()), (1, 0))?;
    // The account is not touched, and the ledger has both sides.
    shop.until(90, 10, "100.00").await?;
    same(ledger(&shop, order).await?, (2, 0))?;
    shop.close().await
}

/// Entries of an order in the ledger, and their sum.
async fn ledger(shop: &Shop, order: OrderId) -> Result<(i64, i64)> {
    let mut db = shop.world.database("payments").await?;
    let entries = "SELECT count(*), COALESCE(sum(amount), 0)::bigint FROM money_ledger
         WHERE order_id = $1";
    Ok(sqlx::query_as(entries).bind(order.uuid()).fetch_one(&mut db).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_opens_the_breaker_and_every_order_waits_and_is_charged_once()
-> Result<()> {
    let (shop, provider) = open().await?;
    provider.down();
    let mut orders = vec![];
    for _ in 0..12 {
        orders.push(shop.order(1).await?);
    }
    until_metric(
        &shop,
        "circuit_breaker_state{service=\"payments\",dependency=\"payment_provider\"} 2",
    )
    .await?;
    let readyz = format!("{}/readyz?verbose", shop.service("payments")?.url());
    let answer = reqwest::get(readyz).await?;
    same(answer.status().as_u16(), 200)?;
    let told: Value = answer.json().await?;
    let told = told["conditions"]["payment_provider"].as_str().unwrap_or_default().to_owned();
    ensure!(told.starts_with("its breaker is"), "{told}");
    let burnt = attempts(&shop).await?;
    provider.up()?;
    for order in &orders {
        same(shop.ended(*order).await?.status.as_str(), "confirmed")?;
        same(provider.moved(&order.to_string()), (1, 0))?;
    }
    until_metric(
        &shop,
        "circuit_breaker_state{service=\"payments\",dependency=\"payment_provider\"} 0",
    )
    .await?;
    until_metric(&shop, "asks_pending{service=\"payments\",ask=\"payments.charge\"} 0").await?;
    // Twelve orders, each called a few times before the breaker opened, and not for as long as
    // the provider was away.
    ensure!(burnt <= 12 * 3, "{burnt} calls while it was down");
    shop.close().await
}

async fn attempts(shop: &Shop) -> Result<i64> {
    let mut db = shop.world.database("payments").await?;
    let sum = "SELECT COALESCE(sum(attempts), 0)::bigint FROM millrace.ask";
    Ok(sqlx::query_scalar(sum).fetch_one(&mut db).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_provider_answers_an_order_is_charged_once() -> Result<()> {
    let (shop, provider) = open().await?;
    let wrong = [Wire::Lost, Wire::Garbage, Wire::WrongAmount, Wire::Fails];
    let wrong = wrong.map(|reply| Behaviour { reply, ..Behaviour::default() });
    let slow = Behaviour { slow: Duration::from_secs(3), ..Behaviour::default() };
    for behaviour in wrong.into_iter().chain([slow]) {
        provider.behave(behaviour.clone());
        let before = provider.calls().len();
        let order = shop.order(1).await?;
        eventually(SOON, "the provider is asked again", async || {
            let calls = provider.calls().len() - before;
            if calls >= 2 { Ok(()) } else { Err(format!("{calls} calls")) }
        })
        .await?;
        let facts = shop.facts(schemas::topics::PAYMENT_EVENTS, order).await?;
        ensure!(facts == 0, "{behaviour:?} was taken for an answer");
        provider.behave(Behaviour::default());
        same(shop.ended(order).await?.status.as_str(), "confirmed")?;
        same(provider.moved(&order.to_string()), (1, 0))?;
        let keys: std::collections::BTreeSet<String> =
            provider.calls().into_iter().skip(before).map(|call| call.key).collect();
        same(keys.len(), 1)?;
    }
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_comes_by_a_signed_event_and_counts_once() -> Result<()> {
    let (shop, provider) = open().await?;
    let late = Some(Duration::from_secs(1));
    provider.behave(Behaviour { late, events: 2, ..Behaviour::default() });
    let order = shop.order(1).await?;
    same(shop.ended(order).await?.status.as_str(), "confirmed")?;
    same(provider.moved(&order.to_string()), (1, 0))?;
    let event = provider.charge_event(&order.to_string()).unwrap_or_default();
    let url = events(&shop)?;
    let (status, told) = post(&url, &event, Some(&signed(SECRET, 0, &event))).await?;
    same((status, told), (200, json!({ "settled": "before" })))?;
    let mut other = event.clone();
    other["status"] = json!("refused");
    let (status, told) = post(&url, &other, Some(&signed(SECRET, 0, &other))).await?;
    ensure!(status == 422 && told["code"] == "idempotency_key_reused", "{status}: {told}");
    other["id"] = json!("another event");
    let (status, told) = post(&url, &other, Some(&signed(SECRET, 0, &other))).await?;
    same((status, told), (200, json!({ "settled": "before" })))?;
    same(shop.facts(schemas::topics::PAYMENT_EVENTS, order).await?, 1)?;
    same(ledger(&shop, order).await?, (2, 0))?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_signed_by_the_provider_is_not_heard() -> Result<()> {
    let (shop, provider) = open().await?;
    provider.behave(Behaviour { late: Some(Duration::from_secs(600)), ..Behaviour::default() });
    let order = shop.order(1).await?;
    until_moved(&provider, order, (1, 0)).await?;
    let event = provider.charge_event(&order.to_string()).unwrap_or_default();
    let url = events(&shop)?;
    let forged = signed("another secret", 0, &event);
    let replayed = signed(SECRET, 301, &event);
    let other = signed(SECRET, 0, &json!({ "id": "e" }));
    for signature in
        [None, Some(""), Some("t=1,v1=00"), Some(&forged), Some(&replayed), Some(&other)]
    {
        let (status, told) = post(&url, &event, signature).await?;
        ensure!(status == 401 && told["code"] == "invalid_signature", "{signature:?}: {told}");
    }
    let cases = [
        (json!({ "id": "e" }), 422, "invalid_body"),
        (changed(&event, "order", json!(uuid::Uuid::now_v7())), 404, "unknown_ask"),
        (changed(&event, "amount", json!("0.01")), 422, "unusable_answer"),
        (changed(&event, "status", json!("pending")), 422, "unusable_answer"),
    ];
    for (body, status, code) in cases {
        let (found, told) = post(&url, &body, Some(&signed(SECRET, 0, &body))).await?;
        ensure!(found == status && told["code"] == code, "{code}: {found} {told}");
    }
    same(shop.facts(schemas::topics::PAYMENT_EVENTS, order).await?, 0)?;
    let (status, told) = post(&url, &event, Some(&signed(SECRET, 0, &event))).await?;
    same((status, told), (200, json!({ "settled": "now" })))?;
    same(shop.ended(order).await?.status.as_str(), "confirmed")?;
    shop.close().await
}

fn changed(event: &Value, field: &str, value: Value) -> Value {
    let mut changed = event.clone();
    changed[field] = value;
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_provider_is_a_refused_payment() -> Result<()> {
    let (shop, provider) = open().await?;
    let refuses = Some("INSUFFICIENT_FUNDS".to_owned());
    provider.behave(Behaviour { refuses, ..Behaviour::default() });
    let order = shop.order(1).await?;
    same(shop.ended(order).await?.status.as_str(), "refused")?;
    shop.until(100, 0, "100.00").await?;
    same(ledger(&shop, order).await?, (0, 0))?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_ends_with_nothing_taken_whenever_the_cancellation_comes() -> Result<()> {
    let (shop, provider) = open().await?;
    // While the charge is being decided.
    let late = Some(Duration::from_secs(2));
    provider.behave(Behaviour { late, events: 1, ..Behaviour::default() });
    let asked = shop.order(1).await?;
    until_moved(&provider, asked, (1, 0)).await?;
    shop.retailer.cancel(asked, None).await?;
    until_moved(&provider, asked, (1, 1)).await?;
    // After the charge, before the sale.
    provider.behave(Behaviour::default());
    shop.service("sales")?.hold();
    let charged = shop.order(1).await?;
    eventually(SOON, "the charge is known", async || {
        let facts = shop.facts(schemas::topics::PAYMENT_EVENTS, charged).await;
        if facts.is_ok_and(|facts| facts == 1) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await?;
    shop.retailer.cancel(charged, None).await?;
    shop.service("sales")?.release();
    until_moved(&provider, charged, (1, 1)).await?;
    shop.until(100, 0, "100.00").await?;
    for order in [asked, charged] {
        same(shop.ended(order).await?.status.as_str(), "cancelled")?;
        eventually(SOON, "both sides of charge and refund", async || {
            let ledger = ledger(&shop, order).await.map_err(|error| error.to_string())?;
            if ledger == (4, 0) { Ok(()) } else { Err(format!("{ledger:?}")) }
        })
        .await?;
    }
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_a_moody_provider_is_clean_for_the_checker() -> Result<()> {
    let (shop, provider) = open().await?;
    let moods = [
        Behaviour { events: 2, ..Behaviour::default() },
        Behaviour { reply: Wire::Lost, events: 1, ..Behaviour::default() },
        Behaviour { late: Some(Duration::from_millis(700)), events: 1, ..Behaviour::default() },
        Behaviour { reply: Wire::Fails, ..Behaviour::default() },
        Behaviour { refuses: Some("OTHER".to_owned()), ..Behaviour::default() },
    ];
    let mut orders = vec![];
    for mood in moods {
        provider.behave(mood);
        let placed = futures::future::try_join_all((0..4).map(|_| shop.order(1))).await?;
        // Whether it comes in time is for the order to say.
        drop(shop.retailer.cancel(placed[0], None).await);
        orders.extend(placed);
    }
    provider.behave(Behaviour::default());
    for order in orders {
        shop.ended(order).await?;
    }
    let services: Vec<_> = SERVICES.iter().map(|service| service()).collect();
    let collector = Collector::new(&shop.world, &services, &law::Books);
    let verdict = eventually(SOON, "nothing is wrong", async || {
        let nobody = History::default();
        let evidence = collector.collect(&nobody, &[], &provider.calls()).await;
        let verdict = judge(&evidence.map_err(|error| format!("{error:#}"))?, &[TRANSPORT, LAW]);
        if verdict.is_clean() { Ok(verdict) } else { Err(verdict.to_string()) }
    })
    .await?;
    ensure!(!verdict.vacuous().iter().any(|id| ["I8", "I15"].contains(id)), "{verdict}");
    shop.close().await
}
