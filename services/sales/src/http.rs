//! The front door of sales: what was sold. It takes no commands.

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Door, Json, Path, Problem, Query};
use schemas::{CustomerId, Money, OrderId, OrderLine, SaleId, StoreId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::Sale;
use crate::store;

/// Items of a page when nothing is said, and at most.
const PAGE: (u32, u32) = (50, 200);

/// An amount of money: `{"amount":"19.90","currency":"CAD"}`.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "it describes the JSON form of `Money` and is never made")]
struct MoneyBody {
    /// A decimal number with as many digits after the point as the currency has.
    amount: String,
    /// Three letters of ISO 4217.
    currency: String,
}

/// An article that was sold.
#[derive(ToSchema)]
#[schema(as = OrderLine)]
#[expect(dead_code, reason = "it describes the JSON form of `OrderLine` and is never made")]
struct LineBody {
    sku: String,
    quantity: i64,
    unit_price: MoneyBody,
}

/// A sale.
#[derive(Debug, Serialize, ToSchema)]
struct SaleBody {
    #[schema(value_type = Uuid)]
    sale_id: SaleId,
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    #[schema(value_type = String)]
    customer_id: CustomerId,
    #[schema(value_type = String)]
    store_id: StoreId,
    /// `confirmed` or `cancelled`.
    status: &'static str,
    #[schema(value_type = Vec<LineBody>)]
    lines: Vec<OrderLine>,
    #[schema(value_type = MoneyBody)]
    total: Money,
    #[schema(value_type = String, format = DateTime)]
    confirmed_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    cancelled_at: Option<Timestamp>,
}

/// A page of sales.
#[derive(Debug, Serialize, ToSchema)]
struct SalesPage {
    items: Vec<SaleBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<Uuid>)]
    next_cursor: Option<OrderId>,
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Items of a page, at most 200; 50 when nothing is said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<Uuid>)]
    cursor: Option<OrderId>,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(sale)).routes(routes!(sales))
}

/// One sale.
#[utoipa::path(
    get,
    path = "/v1/sales/{sale}",
    params(("sale" = Uuid, Path)),
    responses((status = 200, body = SaleBody), (status = 404, description = "unknown_sale"))
)]
async fn sale(
    State(door): State<Door>,
    Path(sale): Path<SaleId>,
) -> Result<Json<SaleBody>, Problem> {
    let mut tx = door.read().await?;
    let found = store::sale(&mut tx, sale).await?;
    let body = found.and_then(|(order, sale)| sale_body(order, sale));
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "unknown_sale", "No sale has this id.");
    body.map(Json).ok_or_else(unknown)
}

/// The sales of a store, the latest order first.
#[utoipa::path(
    get,
    path = "/v1/stores/{store}/sales",
    params(("store" = String, Path), Page),
    responses((status = 200, body = SalesPage))
)]
async fn sales(
    State(door): State<Door>,
    Path(store): Path<StoreId>,
    Query(page): Query<Page>,
) -> Result<Json<SalesPage>, Problem> {
    let limit = page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let mut tx = door.read().await?;
    let sales = store::of_store(&mut tx, &store, page.cursor, limit.into()).await?;
    let full = sales.len() == limit as usize;
    let next_cursor = sales.last().filter(|_| full).map(|(order, _)| *order);
    let items = sales.into_iter().filter_map(|(order, sale)| sale_body(order, sale)).collect();
    Ok(Json(SalesPage { items, next_cursor }))
}

/// `None` for a tombstone, which is no sale.
fn sale_body(order_id: OrderId, sale: Sale) -> Option<SaleBody> {
    let (status, cancelled_at) = (sale.state.as_str(), sale.state.cancelled_at());
    let sold = sale.state.sold()?.clone();
    Some(SaleBody {
        sale_id: SaleId::of(order_id),
        order_id,
        customer_id: sale.customer,
        store_id: sale.store,
        status,
        lines: sold.lines,
        total: sold.total,
        confirmed_at: sold.at,
        cancelled_at,
    })
}
