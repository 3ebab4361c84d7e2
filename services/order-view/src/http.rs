//! The front door of the order view: one order, with waiting for news, and lists. It takes no
//! commands.

mod body;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Door, Json, Path, Problem, Query};
use schemas::history::{Facts, Status};
use schemas::{CustomerId, OrderId, StoreId, Timestamp};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::store::{self, Filter};
use body::{OrderBody, OrdersPage};

/// Items of a page when nothing is said, and at most.
const PAGE: (u32, u32) = (50, 200);

/// The longest wait for news; it stays below the time a request may take.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// Another process of this service may have folded the news, so a waiting answer looks for
/// itself this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait for news.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct News {
    /// Answers when the order has ended, or after this time: `10s` or `500ms`, at most 25 s.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    wait: Wait,
    /// Answers when more than this many facts are known, instead.
    version: Option<usize>,
}

/// A time with its unit.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Wait(Duration);

/// Which orders, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Search {
    /// placed, reserved, paid, confirmed, rejected, refused, cancelled or expired.
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    #[param(value_type = Option<String>)]
    store: Option<StoreId>,
    #[param(value_type = Option<String>)]
    customer: Option<CustomerId>,
    /// Whether they have ended, with everything undone that is to be undone.
    settled: Option<bool>,
    /// Only those of which nothing was heard since this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    quiet_since: Option<Timestamp>,
    /// Items of a page, at most 200; 50 when nothing is said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<OrderId>,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(order)).routes(routes!(orders))
}

/// Where an order stands, and everything that was said about it.
#[utoipa::path(
    get,
    path = "/v1/orders/{order}",
    params(("order" = Uuid, Path), News),
    responses(
        (status = 200, body = OrderBody),
        (status = 404, description = "unknown_order"),
        (status = 503, description = "unreadable_order")
    )
)]
async fn order(
    State(door): State<Door>,
    Path(order): Path<OrderId>,
    Query(news): Query<News>,
) -> Result<Json<OrderBody>, Problem> {
    let deadline = Instant::now() + news.wait.0.min(WAIT_MAX);
    let mut changes = door.news(order);
    while Instant::now() < deadline && !news.is_told(&door, order).await? {
        // Over this time it looks for itself.
        let look = deadline.min(Instant::now() + LOOK_EVERY);
        timeout_at(look, changes.next()).await.unwrap_or_default();
    }
    match facts(&door, order).await? {
        (Some(facts), stale) => Ok(Json(OrderBody::of(order, &facts, stale))),
        (None, Some(reason)) => Err(unreadable(&reason)),
        (None, None) => Err(unknown()),
    }
}

/// Orders by status, store and customer, the latest first.
#[utoipa::path(
    get,
    path = "/v1/orders",
    params(Search),
    responses((status = 200, body = OrdersPage))
)]
async fn orders(
    State(door): State<Door>,
    Query(search): Query<Search>,
) -> Result<Json<OrdersPage>, Problem> {
    let limit = search.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let Search { status, store, customer, settled, quiet_since, cursor: before, .. } = search;
    let filter = Filter { status, store, customer, settled, quiet_since, before };
    let mut tx = door.read().await?;
    let listed = store::list(&mut tx, &filter, limit.into()).await?;
    let keys: Vec<String> = listed.iter().map(|order| order.order_id.to_string()).collect();
    let stale = tx.stale(&keys).await?;
    Ok(Json(OrdersPage::of(listed, stale, limit as usize)?))
}

impl News {
    /// Whether there is to be told what was waited for.
    async fn is_told(&self, door: &Door, order: OrderId) -> Result<bool, Problem> {
        let standing = store::standing(&mut door.read().await?, order).await?;
        Ok(standing.is_some_and(|(status, known)| match self.version {
            Some(version) => known > version,
            None => status.is_end(),
        }))
    }
}

impl TryFrom<String> for Wait {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "a time is a whole number of seconds or milliseconds: 10s, 500ms";
        let (number, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix("ms") {
            Some(number) => (number, Duration::from_millis),
            None => (text.strip_suffix('s').ok_or(wrong)?, Duration::from_secs),
        };
        number.parse().map(|number| Self(unit(number))).map_err(|_| wrong)
    }
}

/// What is folded of an order, and why there is more to fold, if there is. The connection goes back
/// before anything waits.
async fn facts(door: &Door, order: OrderId) -> Result<(Option<Facts>, Option<String>), Problem> {
    let mut tx = door.read().await?;
    let facts = store::order(&mut tx, order).await?;
    let key = order.to_string();
    Ok((facts, tx.stale(std::slice::from_ref(&key)).await?.remove(&key)))
}

fn unreadable(reason: &str) -> Problem {
    let detail = format!("What was said of this order cannot be read: {reason}.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unreadable_order", detail)
}

fn unknown() -> Problem {
    let detail = "Nothing is known of this order yet; if it was just placed, ask with ?wait=10s.";
    Problem::new(StatusCode::NOT_FOUND, "unknown_order", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_a_unit_and_nothing_else() {
        let wait = |text: &str| Wait::try_from(text.to_owned()).map(|wait| wait.0).ok();
        assert_eq!(wait("10s"), Some(Duration::from_secs(10)));
        assert_eq!(wait("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "10", "s", "ms", "-1s", "1.5s", "1m", "10 s", "99999999999999999999s"] {
            assert_eq!(wait(wrong), None, "{wrong}");
        }
    }
}
