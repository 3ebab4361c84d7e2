//! The front door of stock: receipts of goods, and what there is. It decides nothing itself.

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Answer, Caller, Door, IdempotencyKey, Json, Path, Problem, Query};
use schemas::{Sku, StoreId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::domain::{Level, Place, Refusal, Shelf};
use crate::store::{self, Keys};

/// Receipts in one request, at most.
const RECEIPTS_MAX: usize = 500;

/// Items of a page when nothing is said, and at most.
const PAGE: (u32, u32) = (50, 200);

/// Goods that came into a store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Receipt {
    /// Units that came in.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
}

/// Goods that came into stores, of several articles: all of them count, or none.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Receipts {
    #[schema(min_items = 1, max_items = 500)]
    receipts: Vec<ReceiptLine>,
}

/// Goods of one article that came into one store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReceiptLine {
    #[schema(value_type = String)]
    store: StoreId,
    #[schema(value_type = String)]
    sku: Sku,
    /// Units that came in.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
}

/// What a store has of an article.
#[derive(Debug, Serialize, ToSchema)]
struct LevelBody {
    #[schema(value_type = String)]
    store: StoreId,
    #[schema(value_type = String)]
    sku: Sku,
    /// Units in the store.
    on_hand: i64,
    /// Units of these that are promised to orders.
    reserved: i64,
    /// Units that an order can still take.
    available: i64,
}

/// How many receipts were taken.
#[derive(Debug, Serialize, ToSchema)]
struct Received {
    received: usize,
}

/// A page of levels.
#[derive(Debug, Serialize, ToSchema)]
struct Levels {
    items: Vec<LevelBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Sku>,
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Items of a page, at most 200; 50 when nothing is said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Sku>,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(receive))
        .routes(routes!(receive_many))
        .routes(routes!(level))
        .routes(routes!(levels))
}

/// Takes in goods of one article.
#[utoipa::path(
    post,
    path = "/v1/stores/{store}/stock/{sku}/receipts",
    params(("store" = String, Path), ("sku" = String, Path), ("Idempotency-Key" = String, Header)),
    request_body = Receipt,
    responses((status = 201, body = LevelBody), (status = 422, description = "invalid_quantity or stock_too_large"))
)]
async fn receive(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Path(place): Path<Place>,
    Json(body): Json<Receipt>,
) -> Result<Answer, Problem> {
    let keys = Keys { receiving: [place.clone()].into(), ..Keys::default() };
    let receipt = Uuid::now_v7();
    let asked = ("receipt", &place, &body);
    door.command_once::<Shelf>(&caller, &key, &asked, keys, |shelf, _emit| {
        let level = shelf
            .receive(receipt, &place, body.quantity)
            .map_err(|refusal| problem(&refusal, "/quantity"))?;
        Ok(Answer::new(StatusCode::CREATED, &level_body(&place, level)))
    })
    .await
}

/// Takes in goods of many articles at once: all or none.
#[utoipa::path(
    post,
    path = "/v1/stock-receipts",
    params(("Idempotency-Key" = String, Header)),
    request_body = Receipts,
    responses((status = 201, body = Received), (status = 422, description = "invalid_quantity, invalid_count or stock_too_large"))
)]
async fn receive_many(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(body): Json<Receipts>,
) -> Result<Answer, Problem> {
    if !(1..=RECEIPTS_MAX).contains(&body.receipts.len()) {
        let detail = format!("give from 1 to {RECEIPTS_MAX} receipts");
        return Err(unprocessable("invalid_count").at("/receipts", detail));
    }
    let receipt = |line: &ReceiptLine| (Uuid::now_v7(), (line.store.clone(), line.sku.clone()));
    let receipts: Vec<(Uuid, Place)> = body.receipts.iter().map(receipt).collect();
    let receiving = receipts.iter().map(|(_, place)| place.clone()).collect();
    let keys = Keys { receiving, ..Keys::default() };
    door.command_once::<Shelf>(&caller, &key, &("receipts", &body), keys, |shelf, _emit| {
        for (n, ((receipt, place), line)) in receipts.iter().zip(&body.receipts).enumerate() {
            let refused = |refusal| problem(&refusal, &format!("/receipts/{n}/quantity"));
            shelf.receive(*receipt, place, line.quantity).map_err(refused)?;
        }
        Ok(Answer::new(StatusCode::CREATED, &Received { received: receipts.len() }))
    })
    .await
}

/// What a store has of an article; zero when it never had any.
#[utoipa::path(
    get,
    path = "/v1/stores/{store}/stock/{sku}",
    params(("store" = String, Path), ("sku" = String, Path)),
    responses((status = 200, body = LevelBody))
)]
async fn level(
    State(door): State<Door>,
    Path(place): Path<Place>,
) -> Result<Json<LevelBody>, Problem> {
    let mut tx = door.read().await?;
    let level = store::level(&mut tx, &place).await?;
    Ok(Json(level_body(&place, level)))
}

/// What a store has, by article.
#[utoipa::path(
    get,
    path = "/v1/stores/{store}/stock",
    params(("store" = String, Path), Page),
    responses((status = 200, body = Levels))
)]
async fn levels(
    State(door): State<Door>,
    Path(store): Path<StoreId>,
    Query(page): Query<Page>,
) -> Result<Json<Levels>, Problem> {
    let limit = page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let mut tx = door.read().await?;
    let levels = store::levels(&mut tx, &store, page.cursor.as_ref(), limit.into()).await?;
    let full = levels.len() == limit as usize;
    let next_cursor = levels.last().filter(|_| full).map(|(sku, _)| sku.clone());
    let body = |(sku, level)| level_body(&(store.clone(), sku), level);
    Ok(Json(Levels { items: levels.into_iter().map(body).collect(), next_cursor }))
}

fn level_body((store, sku): &Place, level: Level) -> LevelBody {
    LevelBody {
        store: store.clone(),
        sku: sku.clone(),
        on_hand: level.on_hand,
        reserved: level.reserved,
        available: level.available(),
    }
}

fn problem(refusal: &Refusal, pointer: &str) -> Problem {
    let code = match refusal {
        Refusal::Quantity => "invalid_quantity",
        Refusal::TooMuch => "stock_too_large",
    };
    unprocessable(code).at(pointer, refusal.to_string())
}

fn unprocessable(code: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The goods cannot be taken in.")
}
