//! What the front doors of the retailer refuse: a problem with a stable code, and nothing stored.

use anyhow::{Result, ensure};
use schemas::topics;
use serde_json::{Value, json};

use super::Shop;
use super::shop::same;

/// A request to a service and the answer it must get.
type Case = (&'static str, &'static str, Value, u16, &'static str);

fn order(lines: Value) -> Value {
    json!({ "customer_id": "customer-1", "store_id": "store-1", "lines": lines })
}

fn cases() -> Vec<Case> {
    let line = |sku: &str, quantity: Value| order(json!([{ "sku": sku, "quantity": quantity }]));
    let many: Vec<Value> =
        (0..51).map(|n| json!({ "sku": format!("sku-{n}"), "quantity": 1 })).collect();
    vec![
        ("orders", "/v1/orders", order(json!([])), 422, "empty_order"),
        ("orders", "/v1/orders", line("mug", json!(0)), 422, "invalid_quantity"),
        ("orders", "/v1/orders", line("mug", json!(-3)), 422, "invalid_quantity"),
        ("orders", "/v1/orders", line("mug", json!(10_001)), 422, "invalid_quantity"),
        ("orders", "/v1/orders", line("mug", json!(i64::MAX)), 422, "invalid_quantity"),
        ("orders", "/v1/orders", line("mug", json!(1.5)), 422, "invalid_body"),
        ("orders", "/v1/orders", line("mug", json!("one")), 422, "invalid_body"),
        ("orders", "/v1/orders", line("nothing", json!(1)), 422, "unknown_sku"),
        ("orders", "/v1/orders", line("no sku", json!(1)), 422, "invalid_body"),
        ("orders", "/v1/orders", order(json!(many)), 422, "too_many_articles"),
        ("orders", "/v1/orders", line("gold", json!(10_000)), 422, "total_overflow"),
        (
            "orders",
            "/v1/orders",
            order(json!([{ "sku": "mug", "quantity": 1 }, { "sku": "tea", "quantity": 1 }])),
            422,
            "wrong_currency",
        ),
        ("orders", "/v1/orders", json!({ "customer_id": "c", "surprise": 1 }), 422, "invalid_body"),
        ("orders", "/v1/carts/nonsense/checkout", json!({}), 400, "invalid_path"),
        (
            "orders",
            "/v1/carts/01a1fd6c-1fac-7300-a9c0-6a64f4c0a25b/checkout",
            json!({}),
            404,
            "unknown_cart",
        ),
        (
            "orders",
            "/v1/orders/01a1fd6c-1fac-7300-a9c0-6a64f4c0a25b/cancel",
            json!({}),
            404,
            "unknown_order",
        ),
        ("orders", "/v1/nowhere", json!({}), 404, "not_found"),
        ("order-view", "/v1/orders", json!({}), 405, "method_not_allowed"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_order_is_a_problem_with_a_stable_code_and_stores_nothing() -> Result<()> {
    let shop = Shop::open(10, "100.00").await?;
    list(&shop, "gold", "90000000000000.00", "CAD").await?;
    list(&shop, "tea", "4.50", "EUR").await?;
    let http = reqwest::Client::new();
    let before = written(&shop).await?;
    for (service, path, body, status, code) in cases() {
        let url = format!("{}{path}", shop.service(service)?.url());
        let key = uuid::Uuid::now_v7().to_string();
        let answer = http.post(&url).header("Idempotency-Key", key).json(&body).send().await?;
        let found = answer.status().as_u16();
        let problem: Value = answer.json().await?;
        ensure!(found == status && problem["code"] == code, "{code}: {found} {problem} for {body}");
    }
    same(written(&shop).await?, before)?;
    let records =
        shop.world.admin().await?.read_all(&shop.world.topic(topics::ORDER_EVENTS)).await?;
    same(records.len(), 0)?;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_and_goods_of_no_sense_are_refused() -> Result<()> {
    let shop = Shop::open(10, "100.00").await?;
    let amount = |amount: &str, currency: &str| json!({ "amount": { "amount": amount, "currency": currency } });
    let deposits = "/v1/accounts/customer-1/deposits";
    let receipts = "/v1/stores/store-1/stock/mug/receipts";
    let cases = [
        ("payments", deposits, amount("-1.00", "CAD")),
        ("payments", deposits, amount("0.00", "CAD")),
        ("payments", deposits, amount("1.999", "CAD")),
        ("payments", deposits, amount("1.00", "EUR")),
        ("payments", deposits, amount("1.00", "ZZZ")),
        ("payments", deposits, amount("99999999999999999999.00", "CAD")),
        ("stock", receipts, json!({ "quantity": 0 })),
        ("stock", receipts, json!({ "quantity": -5 })),
        ("stock", receipts, json!({ "quantity": i64::MAX })),
    ];
    for (service, path, body) in cases {
        let url = format!("{}{path}", shop.service(service)?.url());
        let key = uuid::Uuid::now_v7().to_string();
        let request = reqwest::Client::new().post(&url).header("Idempotency-Key", key);
        let answer = request.json(&body).send().await?;
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await?;
        ensure!(matches!(status, 409 | 422) && problem["code"].is_string(), "{body}: {problem}");
    }
    shop.until(10, 0, "100.00").await?;
    shop.close().await
}

async fn list(shop: &Shop, sku: &str, amount: &str, currency: &str) -> Result<()> {
    let currency: millrace::Currency = currency.parse()?;
    let price = millrace::Money::parse(amount, currency)?;
    let sku = schemas::Sku::new(sku)?;
    let (name, category) = (sku.to_string(), "test".to_owned());
    shop.retailer.put_product(&ops::Product { sku: sku.clone(), name, price, category }).await?;
    let cart = shop.retailer.open_cart(&shop.customer, &shop.store).await?.cart_id;
    harness::eventually(super::shop::SOON, "orders knows the article", async || {
        let added = shop.retailer.add_to_cart(cart, &sku, 1).await;
        added.map(drop).map_err(|error| error.to_string())
    })
    .await
}

/// Orders, outbox rows and idempotency keys of `orders`.
async fn written(shop: &Shop) -> Result<(i64, i64, i64)> {
    let mut db = shop.world.database("orders").await?;
    let count = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM millrace.outbox),
         (SELECT count(*) FROM millrace.idempotency)";
    Ok(sqlx::query_as(count).fetch_one(&mut db).await?)
}
