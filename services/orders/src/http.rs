//! The front door of orders: carts, checkout, orders of partners and cancellation. It decides
//! nothing itself; how an order goes on is told by the order view.

mod body;

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Answer, Caller, Door, IdempotencyKey, Json, Path, Problem};
use schemas::{OrderId, Sku};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::domain::{Desk, Lines, Refusal, Wish};
use crate::store::{self, Keys};
use body::{Cancellation, CartBody, Followed, Line, NewCart, NewOrder, Quantity};

/// Free text a customer or partner may give, in characters.
const REASON_CHARS_MAX: usize = 500;
const REFERENCE_CHARS_MAX: usize = 64;

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(open_cart))
        .routes(routes!(cart))
        .routes(routes!(add_line))
        .routes(routes!(set_line, remove_line))
        .routes(routes!(check_out))
        .routes(routes!(place))
        .routes(routes!(cancel))
}

/// Begins a cart.
#[utoipa::path(
    post,
    path = "/v1/carts",
    request_body = NewCart,
    responses((status = 201, body = CartBody))
)]
async fn open_cart(
    State(door): State<Door>,
    caller: Caller,
    Json(body): Json<NewCart>,
) -> Result<Answer, Problem> {
    let id = Uuid::now_v7();
    door.command::<Desk, _>(&caller, Keys::default(), |desk, _emit| {
        desk.open_cart(id, body.customer_id.clone(), body.store_id.clone());
        let answer = Answer::new(StatusCode::CREATED, &CartBody::of(desk, id)?);
        Ok(answer.header("location", &format!("/v1/carts/{id}")))
    })
    .await
}

/// A cart at the prices of now.
#[utoipa::path(
    get,
    path = "/v1/carts/{cart}",
    params(("cart" = Uuid, Path)),
    responses((status = 200, body = CartBody), (status = 404, description = "unknown_cart"))
)]
async fn cart(State(door): State<Door>, Path(cart): Path<Uuid>) -> Result<Json<CartBody>, Problem> {
    let mut tx = door.read().await?;
    let desk = store::cart(&mut tx, cart).await?;
    Ok(Json(CartBody::of(&desk, cart)?))
}

/// Adds pieces of an article to a cart.
#[utoipa::path(
    post,
    path = "/v1/carts/{cart}/lines",
    params(("cart" = Uuid, Path)),
    request_body = Line,
    responses(
        (status = 200, body = CartBody),
        (status = 404, description = "unknown_cart"),
        (status = 409, description = "cart_checked_out"),
        (status = 422, description = "unknown_sku, invalid_quantity or too_many_articles")
    )
)]
async fn add_line(
    State(door): State<Door>,
    caller: Caller,
    Path(cart): Path<Uuid>,
    Json(line): Json<Line>,
) -> Result<Json<CartBody>, Problem> {
    change_cart(&door, &caller, cart, &line.sku, |desk| desk.add(cart, &line.sku, line.quantity))
        .await
}

/// Sets how many pieces of an article are in a cart.
#[utoipa::path(
    put,
    path = "/v1/carts/{cart}/lines/{sku}",
    params(("cart" = Uuid, Path), ("sku" = String, Path)),
    request_body = Quantity,
    responses(
        (status = 200, body = CartBody),
        (status = 404, description = "unknown_cart"),
        (status = 409, description = "cart_checked_out"),
        (status = 422, description = "unknown_sku, invalid_quantity or too_many_articles")
    )
)]
async fn set_line(
    State(door): State<Door>,
    caller: Caller,
    Path((cart, sku)): Path<(Uuid, Sku)>,
    Json(body): Json<Quantity>,
) -> Result<Json<CartBody>, Problem> {
    change_cart(&door, &caller, cart, &sku, |desk| desk.set(cart, &sku, body.quantity)).await
}

/// Takes an article out of a cart; nothing happens when it is not in it.
#[utoipa::path(
    delete,
    path = "/v1/carts/{cart}/lines/{sku}",
    params(("cart" = Uuid, Path), ("sku" = String, Path)),
    responses(
        (status = 200, body = CartBody),
        (status = 404, description = "unknown_cart"),
        (status = 409, description = "cart_checked_out")
    )
)]
async fn remove_line(
    State(door): State<Door>,
    caller: Caller,
    Path((cart, sku)): Path<(Uuid, Sku)>,
) -> Result<Json<CartBody>, Problem> {
    change_cart(&door, &caller, cart, &sku, |desk| desk.remove(cart, &sku)).await
}

/// Turns a cart into an order. What becomes of it is to be followed.
#[utoipa::path(
    post,
    path = "/v1/carts/{cart}/checkout",
    params(("cart" = Uuid, Path), ("Idempotency-Key" = String, Header)),
    responses(
        (status = 202, body = Followed),
        (status = 404, description = "unknown_cart"),
        (status = 409, description = "cart_checked_out"),
        (status = 422, description = "empty_order, unknown_sku, wrong_currency or total_overflow")
    )
)]
async fn check_out(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Path(cart): Path<Uuid>,
) -> Result<Answer, Problem> {
    let order = OrderId::new(Uuid::now_v7());
    let keys = Keys { carts: [cart].into(), ..Keys::default() };
    door.command_once::<Desk>(&caller, &key, &("checkout", cart), keys, |desk, emit| {
        let refused = |refusal| problem(&refusal, &|sku, _| format!("/lines/{sku}"));
        let placed = desk.check_out(cart, order, emit.now()).map_err(refused)?;
        emit.fact(placed);
        Ok(followed(desk, order, "placed"))
    })
    .await
}

/// Places an order without a cart, for partners and imports, by the same rules.
#[utoipa::path(
    post,
    path = "/v1/orders",
    params(("Idempotency-Key" = String, Header)),
    request_body = NewOrder,
    responses(
        (status = 202, body = Followed),
        (status = 422, description = "empty_order, unknown_sku, invalid_quantity, too_many_articles, wrong_currency, total_overflow or invalid_order_ref")
    )
)]
async fn place(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(body): Json<NewOrder>,
) -> Result<Answer, Problem> {
    text("/order_ref", "invalid_order_ref", body.order_ref.as_deref(), REFERENCE_CHARS_MAX)?;
    let at = |sku: &Sku, field: &str| {
        let line = body.lines.iter().position(|line| line.sku == *sku);
        line.map_or("/lines".to_owned(), |n| format!("/lines/{n}/{field}"))
    };
    let mut lines = Lines::default();
    for line in &body.lines {
        lines.add(&line.sku, line.quantity).map_err(|refusal| problem(&refusal, &at))?;
    }
    let wish = Wish {
        order: OrderId::new(Uuid::now_v7()),
        customer: body.customer_id.clone(),
        store: body.store_id.clone(),
        lines,
        reference: body.order_ref.clone(),
        placed_at: body.placed_at,
    };
    let skus = body.lines.iter().map(|line| line.sku.clone()).collect();
    let keys = Keys { skus, ..Keys::default() };
    door.command_once::<Desk>(&caller, &key, &("order", &body), keys, |desk, emit| {
        let placed = desk.place(wish.clone(), emit.now());
        emit.fact(placed.map_err(|refusal| problem(&refusal, &at))?);
        Ok(followed(desk, wish.order, "placed"))
    })
    .await
}

/// Cancels an order that has not ended. What was done for it is undone by those who did it.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/cancel",
    params(("order" = Uuid, Path)),
    request_body = Cancellation,
    responses(
        (status = 202, body = Followed),
        (status = 404, description = "unknown_order"),
        (status = 409, description = "order_closed"),
        (status = 422, description = "invalid_reason")
    )
)]
async fn cancel(
    State(door): State<Door>,
    caller: Caller,
    Path(order): Path<OrderId>,
    Json(body): Json<Cancellation>,
) -> Result<Answer, Problem> {
    text("/reason", "invalid_reason", body.reason.as_deref(), REASON_CHARS_MAX)?;
    let keys = Keys { orders: [order].into(), ..Keys::default() };
    door.command::<Desk, _>(&caller, keys, |desk, emit| {
        let cancelled = desk.cancel(order, body.reason.clone(), emit.now());
        emit.fact(cancelled.map_err(|refusal| problem(&refusal, &|_, _| String::new()))?);
        Ok(followed(desk, order, "cancelled"))
    })
    .await
}

async fn change_cart(
    door: &Door,
    caller: &Caller,
    cart: Uuid,
    sku: &Sku,
    mut change: impl FnMut(&mut Desk) -> Result<(), Refusal> + Send,
) -> Result<Json<CartBody>, Problem> {
    let keys = Keys { carts: [cart].into(), skus: [sku.clone()].into(), ..Keys::default() };
    let changed = door.command::<Desk, _>(caller, keys, |desk, _emit| {
        change(desk).map_err(|refusal| problem(&refusal, &|_, field| format!("/{field}")))?;
        Ok(CartBody::of(desk, cart)?)
    });
    changed.await.map(Json)
}

fn followed(desk: &Desk, order_id: OrderId, status: &'static str) -> Answer {
    let follow = format!("{}/v1/orders/{order_id}", desk.settings().follow_base);
    Answer::accepted(&follow, &Followed { order_id, status, follow: follow.clone() })
}

fn text(
    pointer: &str,
    code: &'static str,
    text: Option<&str>,
    chars_max: usize,
) -> Result<(), Problem> {
    let fits = |text: &str| (1..=chars_max).contains(&text.chars().count());
    let plain = |text: &str| !text.chars().any(char::is_control);
    if text.is_none_or(|text| fits(text) && plain(text)) {
        return Ok(());
    }
    let detail = format!("give 1 to {chars_max} characters without control characters, or null");
    Err(unprocessable(code).at(pointer, detail))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        problem(&refusal, &|sku, _| format!("/lines/{sku}"))
    }
}

/// `at` says where in the request a field of an article's line stands.
fn problem(refusal: &Refusal, at: &dyn Fn(&Sku, &str) -> String) -> Problem {
    let line = |code, sku, field| unprocessable(code).at(at(sku, field), refusal.to_string());
    let lines = |code| unprocessable(code).at("/lines", refusal.to_string());
    match refusal {
        Refusal::UnknownCart => {
            Problem::new(StatusCode::NOT_FOUND, "unknown_cart", "There is no cart with this id.")
        }
        Refusal::UnknownOrder => {
            Problem::new(StatusCode::NOT_FOUND, "unknown_order", "There is no order with this id.")
        }
        Refusal::CheckedOut(order) => {
            let detail = format!("The cart was checked out as order {order}; begin another one.");
            Problem::new(StatusCode::CONFLICT, "cart_checked_out", detail)
        }
        Refusal::Closed(status) => {
            let detail = format!("The order is {} and changes no more.", status.as_str());
            Problem::new(StatusCode::CONFLICT, "order_closed", detail)
        }
        Refusal::Quantity(sku) => line("invalid_quantity", sku, "quantity"),
        Refusal::UnknownSku(sku) => line("unknown_sku", sku, "sku"),
        Refusal::Currency(sku) => line("wrong_currency", sku, "sku"),
        Refusal::TooManyArticles => lines("too_many_articles"),
        Refusal::Empty => lines("empty_order"),
        Refusal::Overflow => lines("total_overflow"),
    }
}

fn unprocessable(code: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "This cannot be ordered as it is.")
}
