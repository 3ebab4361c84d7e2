//! News of orders as server-sent events. The id of an event is a place in the topic, so that a
//! client that comes back goes on where it was, at any replica.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use millrace::replica::{Feed, Lookup, Marks, News};
use millrace::{Path, Problem, Query};
use schemas::OrderId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{ErasedBody, OrderBody};
use super::unknown;
use crate::copy::Orders;

/// A comment is sent this often, so that nobody on the way takes the silence for an end.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LAST_EVENT_ID: &str = "last-event-id";

/// Where the news begin, when the client does not come back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    /// `now`, or `beginning` for the latest state of every order first.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    from: From,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    #[default]
    Now,
    Beginning,
}

/// Nothing can be said here.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// News of one order, its state now first. An event `order` has the order as it is read; `erased`
/// says that it is no more. A client that comes back sends `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/v1/orders/{order}/events",
    params(
        ("order" = Uuid, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    responses(
        (status = 200, description = "A stream of events", content_type = "text/event-stream"),
        (status = 404, description = "unknown_order"),
        (status = 503, description = "too_many_subscribers"),
    )
)]
pub(super) async fn of_order(
    State(lookup): State<Lookup<Orders>>,
    Path(order): Path<OrderId>,
    Query(NoParameters {}): Query<NoParameters>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Problem> {
    let last = last(&headers)?;
    let is_known = lookup.get(&order)?.is_some_and(|held| held.state.is_some());
    if last.is_none() && !is_known {
        return Err(unknown());
    }
    let feed = lookup.follow(Some(&order), last.unwrap_or_default())?;
    Ok(stream(feed))
}

/// News of all orders. Who is slow is told the latest state of an order and not each one before it.
#[utoipa::path(
    get,
    path = "/v1/orders/events",
    params(
        Begin,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    responses(
        (status = 200, description = "A stream of events", content_type = "text/event-stream"),
        (status = 503, description = "too_many_subscribers"),
    )
)]
pub(super) async fn of_all(
    State(lookup): State<Lookup<Orders>>,
    Query(begin): Query<Begin>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Problem> {
    let marks = match (last(&headers)?, begin.from) {
        (Some(marks), _) => marks,
        (None, From::Now) => lookup.now()?,
        (None, From::Beginning) => Marks::default(),
    };
    Ok(stream(lookup.follow(None, marks)?))
}

/// The marks behind the last event that a client has seen.
fn last(headers: &HeaderMap) -> Result<Option<Marks>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let marks = value.to_str().ok().and_then(|text| text.parse().ok());
    marks.map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID is not the id of an event of this service; come without it.";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_event_id", detail)
    })
}

fn stream(feed: Feed<Orders>) -> Sse<impl Stream<Item = Result<Event, axum::Error>>> {
    let events = futures::stream::unfold(feed, async |mut feed| {
        let (marks, news) = feed.next().await?;
        Some((event(&marks, news), feed))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("nothing new"))
}

fn event(marks: &Marks, news: News<Orders>) -> Result<Event, axum::Error> {
    let event = Event::default().id(marks.to_string());
    match news {
        News::State(state) => event.event("order").json_data(OrderBody::of(state, None)),
        News::Erased(order_id) => event.event("erased").json_data(ErasedBody { order_id }),
    }
}
