//! The front door of payments: accounts, deposits and balances. It decides nothing itself.

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Answer, Caller, Door, IdempotencyKey, Json, Path, Problem};
use schemas::{Currency, CustomerId, Money};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::domain::{Refusal, Till};
use crate::store::{self, Keys};

mod events;

/// Deposits in one request, at most.
const DEPOSITS_MAX: usize = 500;

/// An amount of money: `{"amount":"19.90","currency":"CAD"}`. The schema of [`Money`] in answers
/// and requests.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "it describes the JSON form of `Money` and is never made")]
struct MoneyBody {
    /// A decimal number with as many digits after the point as the currency has.
    amount: String,
    /// Three letters of ISO 4217.
    currency: String,
}

/// How an account is kept.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Opening {
    /// Three letters of ISO 4217; it never changes.
    #[schema(value_type = String)]
    currency: Currency,
}

/// Money a customer pays in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Deposit {
    #[schema(value_type = MoneyBody)]
    amount: Money,
}

/// Money that many customers pay in: all of it counts, or none.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Deposits {
    #[schema(min_items = 1, max_items = 500)]
    deposits: Vec<DepositLine>,
}

/// Money that one customer pays in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DepositLine {
    /// Without an account, one is opened in the currency of the amount.
    #[schema(value_type = String)]
    customer: CustomerId,
    #[schema(value_type = MoneyBody)]
    amount: Money,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
struct AccountBody {
    #[schema(value_type = String)]
    customer: CustomerId,
    /// What is there to spend.
    #[schema(value_type = MoneyBody)]
    balance: Money,
}

/// How many deposits were taken.
#[derive(Debug, Serialize, ToSchema)]
struct Deposited {
    deposited: usize,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(account, open))
        .routes(routes!(deposit))
        .routes(routes!(deposit_many))
        .routes(routes!(events::event))
}

/// Opens an account; doing it again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/accounts/{customer}",
    params(("customer" = String, Path)),
    request_body = Opening,
    responses((status = 200, body = AccountBody), (status = 422, description = "wrong_currency"))
)]
async fn open(
    State(door): State<Door>,
    caller: Caller,
    Path(customer): Path<CustomerId>,
    Json(body): Json<Opening>,
) -> Result<Json<AccountBody>, Problem> {
    let keys = Keys { opening: [(customer.clone(), body.currency)].into(), ..Keys::default() };
    let opened = door.command::<Till, _>(&caller, keys, |till, _emit| {
        let refused = |refusal| problem(&refusal, "/currency");
        till.opened(&customer, body.currency).map_err(refused)
    });
    let balance = opened.await?;
    Ok(Json(AccountBody { customer, balance }))
}

/// What a customer has.
#[utoipa::path(
    get,
    path = "/v1/accounts/{customer}",
    params(("customer" = String, Path)),
    responses((status = 200, body = AccountBody), (status = 404, description = "unknown_account"))
)]
async fn account(
    State(door): State<Door>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<AccountBody>, Problem> {
    let mut tx = door.read().await?;
    let balance = store::balance(&mut tx, &customer).await?;
    let balance = balance.ok_or_else(|| problem(&Refusal::UnknownAccount, ""))?;
    Ok(Json(AccountBody { customer, balance }))
}

/// Pays into an account.
#[utoipa::path(
    post,
    path = "/v1/accounts/{customer}/deposits",
    params(("customer" = String, Path), ("Idempotency-Key" = String, Header)),
    request_body = Deposit,
    responses(
        (status = 201, body = AccountBody),
        (status = 404, description = "unknown_account"),
        (status = 422, description = "wrong_currency, invalid_amount or balance_too_large")
    )
)]
async fn deposit(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Path(customer): Path<CustomerId>,
    Json(body): Json<Deposit>,
) -> Result<Answer, Problem> {
    let keys = Keys { customers: [customer.clone()].into(), ..Keys::default() };
    let receipt = Uuid::now_v7();
    let asked = ("deposit", &customer, &body);
    door.command_once::<Till>(&caller, &key, &asked, keys, |till, _emit| {
        let refused = |refusal| problem(&refusal, "/amount");
        let balance = till.deposit(receipt, &customer, body.amount).map_err(refused)?;
        let customer = customer.clone();
        Ok(Answer::new(StatusCode::CREATED, &AccountBody { customer, balance }))
    })
    .await
}

/// Pays into many accounts at once, all or none, and opens those that do not exist yet.
#[utoipa::path(
    post,
    path = "/v1/deposits",
    params(("Idempotency-Key" = String, Header)),
    request_body = Deposits,
    responses((status = 201, body = Deposited), (status = 422, description = "wrong_currency, invalid_amount, invalid_count or balance_too_large"))
)]
async fn deposit_many(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(body): Json<Deposits>,
) -> Result<Answer, Problem> {
    if !(1..=DEPOSITS_MAX).contains(&body.deposits.len()) {
        let detail = format!("give from 1 to {DEPOSITS_MAX} deposits");
        return Err(unprocessable("invalid_count").at("/deposits", detail));
    }
    let receipts: Vec<Uuid> = body.deposits.iter().map(|_| Uuid::now_v7()).collect();
    let first_wins = body.deposits.iter().rev();
    let opening = first_wins.map(|line| (line.customer.clone(), line.amount.currency())).collect();
    let keys = Keys { opening, ..Keys::default() };
    door.command_once::<Till>(&caller, &key, &("deposits", &body), keys, |till, _emit| {
        for (n, (line, receipt)) in body.deposits.iter().zip(&receipts).enumerate() {
            let refused = |refusal| problem(&refusal, &format!("/deposits/{n}/amount"));
            till.deposit(*receipt, &line.customer, line.amount).map_err(refused)?;
        }
        Ok(Answer::new(StatusCode::CREATED, &Deposited { deposited: receipts.len() }))
    })
    .await
}

fn problem(refusal: &Refusal, pointer: &str) -> Problem {
    let code = match refusal {
        Refusal::UnknownAccount => {
            let detail = "There is no account of this customer; PUT it to open one.";
            return Problem::new(StatusCode::NOT_FOUND, "unknown_account", detail);
        }
        Refusal::Currency(_) => "wrong_currency",
        Refusal::NotPositive => "invalid_amount",
        Refusal::TooMuch => "balance_too_large",
    };
    unprocessable(code).at(pointer, refusal.to_string())
}

fn unprocessable(code: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The account cannot do this.")
}
