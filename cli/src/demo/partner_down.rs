//! The payment provider is away: first its answers are lost, although it charged, then it cannot be
//! reached at all. Its breaker opens, orders wait, and when it is back each is charged exactly once
//! by the provider's own ledger. The provider is the harness's; it is the only thing here that is
//! not real.

use std::time::Duration;

use anyhow::Result;
use harness::eventually;
use harness::partner::{Behaviour, Provider, Wire};
use ops::late::late;
use ops::status::{groups, statuses};
use schemas::OrderId;
use serde_json::json;
use sqlx::PgPool;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::audit::few;
use super::report::Tale;
use super::stage::{Means, Shop, Stage};
use super::{facts, law};

pub(super) const ABOUT: &str =
    "The payment provider is away: its breaker opens, orders wait, each is charged once.";

/// Orders that are charged without anybody hearing of it.
const UNHEARD: usize = 4;
/// Orders that come when nobody answers any more.
const LATER: usize = 12;
const ORDERS: usize = UNHEARD + LATER;
/// Calls of one order, on average, before the breaker is open; afterwards there are none.
const CALLS_MAX: usize = 3;
const SECRET: &str = "what the provider signs with";
const SOON: Duration = Duration::from_secs(30);

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let provider = Provider::start(SECRET)?;
    let shop = stage.shop("partner-down", Means { on_hand: 100, funds: "100.00" }).await?;
    let over_http = vec![
        ("provider", json!("http")),
        ("provider_url", json!(provider.url())),
        ("provider_secret", json!(SECRET)),
    ];
    let usual = stage.set("payments", over_http).await?;
    let told = away_and_back(stage, tale, &shop, &provider).await;
    stage.set("payments", usual).await?;
    told
}

async fn away_and_back(
    stage: &Stage,
    tale: &mut Tale,
    shop: &Shop,
    provider: &Provider,
) -> Result<()> {
    provider.behave(Behaviour { reply: Wire::Lost, ..Behaviour::default() });
    let mut orders = stage.place(shop, UNHEARD).await?;
    until_charged(provider, &orders).await?;
    provider.down();
    orders.extend(stage.place(shop, LATER).await?);
    let told = "the circuit breaker payment_provider of payments is open";
    until_told(stage, orders[0], told).await?;
    tale.count("while it is away", told);
    stage.until_quiet().await?;
    let database = &stage.books("payments")?.database;
    let (unanswered, calls) = asks(database, &orders).await?;
    tale.expect("asks that wait", ORDERS, unanswered);
    let few = usize::try_from(calls)? <= CALLS_MAX * ORDERS;
    tale.expect_that("few calls before it is left alone", few, calls);
    tale.expect("orders meanwhile", json!({ "reserved": ORDERS }), stage.statuses(&orders).await?);

    provider.behave(Behaviour::default());
    provider.up()?;
    let ends = stage.until_all_ended(&orders).await?;
    until_closed(stage).await?;
    tale.expect("orders when it is back", json!({ "confirmed": ORDERS }), ends);
    tale.expect("asks that wait in the end", 0, asks(database, &orders).await?.0);
    ledgers(stage, tale, shop, provider, &orders).await
}

/// What the provider and payments have in their books.
async fn ledgers(
    stage: &Stage,
    tale: &mut Tale,
    shop: &Shop,
    provider: &Provider,
    orders: &[OrderId],
) -> Result<()> {
    let charged_otherwise =
        orders.iter().filter(|order| provider.moved(&order.to_string()) != (1, 0));
    tale.expect("orders not charged exactly once", 0, charged_otherwise.count());
    let calls = provider.calls();
    let effective = calls.iter().filter(|call| call.effective).count();
    tale.expect("charges in the provider's ledger", ORDERS, effective);
    let repeated = calls.len() - effective;
    tale.count("calls that the provider knew by their key", repeated);
    tale.expect_that("what was unheard is asked again", repeated >= UNHEARD, repeated);
    let ids: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
    let entries: (i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(amount)::bigint FROM money_ledger WHERE order_id = ANY($1)",
    )
    .bind(ids)
    .fetch_one(&stage.books("payments")?.database)
    .await?;
    tale.expect("entries in the ledger of payments, and their sum", (2 * ORDERS, 0), entries);
    let after = stage.state(shop).await?;
    tale.effect("available", shop.on_hand, after.available);
    tale.expect("available", shop.on_hand - i64::try_from(ORDERS)?, after.available);
    tale.expect("balance of the account, which nobody asked", shop.funds, after.balance);
    let published = stage.until_quiet().await?;
    let breaches = orders.iter().flat_map(|order| law::breaches(&published.of_order(*order)));
    tale.expect("breaches of the flow", [""; 0], few(&breaches.collect::<Vec<_>>()));
    let facts = stage.facts(orders[0]).await?;
    tale.order(orders[0], "confirmed, after its first answer was lost", &facts);
    let way =
        ["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed", "OrderConfirmed"];
    tale.expect("facts", way, facts::names(&facts));
    Ok(())
}

async fn until_charged(provider: &Provider, orders: &[OrderId]) -> Result<()> {
    eventually(SOON, "the provider has charged every order", async || {
        let left = orders.iter().filter(|order| provider.moved(&order.to_string()).0 == 0).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await
}

/// Waits until an operator who asks why the order is late is told this.
async fn until_told(stage: &Stage, order: OrderId, reason: &str) -> Result<()> {
    let (endpoints, admin) = (stage.retailer().endpoints(), stage.log().admin());
    eventually(SOON, reason, async || {
        let view = stage.view(order).await.map_err(|error| error.to_string())?;
        let now = OffsetDateTime::now_utc().into();
        let late = late(endpoints, Ok(admin), vec![view], now).await;
        let owed = late.iter().flat_map(|late| &late.owed);
        let told: Vec<String> = owed.map(|(_, why)| why.sentence(now)).collect();
        if told == [reason] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
}

/// Waits until payments says of itself that no breaker is open.
async fn until_closed(stage: &Stage) -> Result<()> {
    eventually(SOON, "the breaker is closed", async || {
        let said = statuses(stage.log().admin(), stage.log().prefix()).await;
        let said = said.map_err(|error| error.to_string())?;
        let now = OffsetDateTime::now_utc().into();
        let groups = groups(stage.retailer().endpoints(), &said, now);
        let payments = groups.into_iter().find(|group| group.service == "payments");
        let breakers = payments.map(|group| group.breakers).unwrap_or_default();
        if breakers.is_empty() { Ok(()) } else { Err(format!("{breakers:?}")) }
    })
    .await
}

/// How many asks for these orders have no answer, and how many calls were made for all of them.
async fn asks(database: &PgPool, orders: &[OrderId]) -> Result<(i64, i64)> {
    let streams: Vec<String> = orders.iter().map(OrderId::to_string).collect();
    let count = "SELECT count(*) FILTER (WHERE answered_at IS NULL), sum(attempts)::bigint
                 FROM millrace.ask WHERE stream = ANY($1)";
    Ok(sqlx::query_as(count).bind(streams).fetch_one(database).await?)
}
