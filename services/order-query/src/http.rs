//! The front door of the query side: one order, with waiting for news or for a version, lists, and
//! news as they come. It takes no commands.

mod body;
mod events;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace::replica::{Held, Lookup, Place, Scan};
use millrace::{Json, Path, Problem, Query};
use schemas::history::Status;
use schemas::{CustomerId, OrderId, OrderState, Sku, StoreId, Timestamp};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::copy::{Filter, Orders};
use body::{OrderBody, OrdersPage};

/// Items of a page when nothing is said, and at most.
const PAGE: (u32, u32) = (50, 200);
/// The longest wait for news; it stays below the time a request may take.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// The wait for a version when nothing is said; it stays below the time an answer may take.
const VERSION_WAIT: Duration = Duration::from_secs(4);
/// Longest text that is searched for, and words in it.
const SEARCH_CHARS_MAX: usize = 100;
const WORDS_MAX: usize = 8;
/// How old the answer may be, in seconds.
const BEHIND: HeaderName = HeaderName::from_static("x-replica-behind");

/// What to wait for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct News {
    /// Answers when the order has ended, or after this time: `10s` or `500ms`, at most 25 s.
    #[param(value_type = Option<String>)]
    wait: Option<Wait>,
    /// Answers when at least this many facts are known, instead; waits 4 s when nothing is said.
    version: Option<u32>,
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
    /// Only those with this article.
    #[param(value_type = Option<String>)]
    sku: Option<Sku>,
    /// Only those placed at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    placed_after: Option<Timestamp>,
    /// Only those placed before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    placed_before: Option<Timestamp>,
    /// Words that have to be in the order, in any case: in its id, its status, its customer, its
    /// store, its articles or the reason of its end.
    q: Option<String>,
    /// Items of a page, at most 200; 50 when nothing is said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// All routes.
pub(crate) fn routes() -> OpenApiRouter<Lookup<Orders>> {
    OpenApiRouter::new()
        .routes(routes!(order))
        .routes(routes!(orders))
        .routes(routes!(events::of_order))
        .routes(routes!(events::of_all))
}

/// Where an order stands. The answer has an `ETag`, and says in `X-Replica-Behind` how many seconds
/// old it may be.
#[utoipa::path(
    get,
    path = "/v1/orders/{order}",
    params(("order" = Uuid, Path), News),
    responses(
        (status = 200, body = OrderBody),
        (status = 304, description = "As `If-None-Match` says"),
        (status = 404, description = "unknown_order"),
        (status = 503, description = "unreadable_order, replica_not_ready"),
        (status = 504, description = "version_not_here_yet"),
    )
)]
async fn order(
    State(lookup): State<Lookup<Orders>>,
    Path(order): Path<OrderId>,
    Query(news): Query<News>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patience = news.wait.map(|wait| wait.0.min(WAIT_MAX));
    let patience = patience.or(news.version.map(|_| VERSION_WAIT)).unwrap_or_default();
    let deadline = Instant::now() + patience;
    let mut changes = lookup.changes();
    loop {
        changes.borrow_and_update();
        let held = lookup.get(&order)?;
        let told = held.as_ref().is_some_and(|held| news.told_by(held));
        let closing = !told
            && Instant::now() < deadline
            && matches!(timeout_at(deadline, changes.changed()).await, Ok(Err(_)));
        if told || closing || Instant::now() >= deadline {
            let held = held.filter(|_| told || news.version.is_none());
            return match (held, news.version) {
                (Some(held), _) => answer(&lookup, held, &headers),
                (None, Some(version)) => Err(behind(version)),
                (None, None) => Err(unknown()),
            };
        }
    }
}

/// Orders by what they have, the latest first. What is searched for by words is looked for among
/// the latest orders first, some of them for each page.
#[utoipa::path(
    get,
    path = "/v1/orders",
    params(Search),
    responses((status = 200, body = OrdersPage))
)]
async fn orders(
    State(lookup): State<Lookup<Orders>>,
    Query(search): Query<Search>,
) -> Result<Response, Problem> {
    let limit = search.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1) as usize;
    let Search { status, store, customer, sku, placed_after, placed_before, .. } = search;
    let words = words(search.q.as_deref())?;
    let filter = Filter { status, store, customer, sku, placed_after, placed_before, words };
    let (index, value) = filter.index();
    let (from, until, cursor) = (placed_after, placed_before, search.cursor);
    let scan = Scan { index, value, from, until, cursor, limit };
    let page = lookup.scan(scan, move |state| filter.fits(state)).await?;
    let body = Json(OrdersPage::of(page.states, page.next));
    Ok(([(BEHIND, seconds(&lookup))], body).into_response())
}

impl News {
    fn told_by(&self, held: &Held<OrderState>) -> bool {
        let Some(state) = &held.state else { return true };
        match (self.version, self.wait) {
            (Some(version), _) => state.version >= version.into(),
            (None, Some(_)) => Status::of(state.status).is_some_and(Status::is_end),
            (None, None) => true,
        }
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

fn answer(
    lookup: &Lookup<Orders>,
    held: Held<OrderState>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let Held { state, place, stale } = held;
    let Some(state) = state else {
        return Err(stale.map_or_else(unknown, |reason| unreadable(&reason)));
    };
    let tag = tag(state.version, place, stale.is_some());
    let about = [(header::ETAG, tag.clone()), (BEHIND, seconds(lookup))];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known == tag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    Ok((about, Json(OrderBody::of(state, stale))).into_response())
}

/// The same state has the same tag on every replica.
fn tag(version: i64, place: Option<Place>, stale: bool) -> HeaderValue {
    let Place { partition, offset } = place.unwrap_or(Place { partition: 0, offset: 0 });
    let stale = if stale { "-stale" } else { "" };
    let tag = format!("\"{version}-{partition}.{offset}{stale}\"");
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

fn seconds(lookup: &Lookup<Orders>) -> HeaderValue {
    let seconds = format!("{:.3}", lookup.behind().as_secs_f64());
    HeaderValue::try_from(seconds).unwrap_or(HeaderValue::from_static("0"))
}

fn words(q: Option<&str>) -> Result<Vec<String>, Problem> {
    let q = q.unwrap_or_default();
    let words: Vec<String> = q.split_whitespace().map(str::to_lowercase).collect();
    if q.chars().count() > SEARCH_CHARS_MAX || words.len() > WORDS_MAX {
        let detail = "The query is not valid.";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail);
        let limits = format!("it has at most {SEARCH_CHARS_MAX} characters and {WORDS_MAX} words");
        return Err(problem.at("q", limits));
    }
    Ok(words)
}

fn unknown() -> Problem {
    let detail = "Nothing is known of this order; if it was just placed, ask with ?wait=10s.";
    Problem::new(StatusCode::NOT_FOUND, "unknown_order", detail)
}

/// Never an older state than the client has seen.
fn behind(version: u32) -> Problem {
    let detail = format!(
        "This replica does not know {version} facts of this order yet. Try again, or ask another one."
    );
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "version_not_here_yet", detail).retry_after(1)
}

fn unreadable(reason: &str) -> Problem {
    let detail = format!("The state of this order cannot be read: {reason}.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unreadable_order", detail)
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

    #[test]
    fn a_search_has_a_bound() {
        assert_eq!(words(Some(" Mug  NORTH ")).unwrap(), ["mug", "north"]);
        assert!(words(Some(&"x".repeat(101))).is_err());
        assert!(words(Some("a b c d e f g h i")).is_err());
    }

    #[test]
    fn a_tag_tells_states_apart() {
        let at = |offset| Some(Place { partition: 1, offset });
        assert_ne!(tag(3, at(1), false), tag(3, at(2), false));
        assert_ne!(tag(3, at(1), false), tag(3, at(1), true));
        assert_eq!(tag(3, at(1), false), "\"3-1.1\"");
    }
}
