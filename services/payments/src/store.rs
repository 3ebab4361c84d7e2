//! Accounts, charges and the ledger in Postgres: one statement for each table and batch. It
//! decides nothing and announces nothing.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Tx, WorkingSet};
use schemas::{Currency, CustomerId, Money, OrderId};
use uuid::Uuid;

use crate::domain::{Charge, Posting, Purse, State, Till};
use crate::planted;
use crate::settings::{Provider, Settings};

/// The rows a batch needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Orders whose charge is decided on; the account it concerns is loaded with it.
    pub orders: BTreeSet<OrderId>,
    /// Customers whose account is needed.
    pub customers: BTreeSet<CustomerId>,
    /// Customers whose account is opened in this currency when there is none.
    pub opening: BTreeMap<CustomerId, Currency>,
}

type ChargeRow = (Uuid, String, String, String, Option<i64>, Option<String>);

impl WorkingSet for Till {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let charges = load_charges(tx, &keys.orders).await?;
        let charged = charges.values().map(|charge| &charge.customer);
        let customers = keys.customers.iter().chain(keys.opening.keys()).chain(charged).collect();
        open_accounts(tx, &keys.opening).await?;
        let accounts = load_accounts(tx, &customers).await?;
        let purse = match tx.settings::<Settings>().provider {
            Provider::Balance => Purse::Account,
            Provider::Http => Purse::Provider,
        };
        Ok(Self::new(accounts, charges).paid_by(purse))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        save_accounts(tx, &self.changed_accounts().collect::<Vec<_>>()).await?;
        save_charges(tx, &self.changed_charges().collect::<Vec<_>>()).await?;
        save_postings(tx, &planted::postings(self.postings())).await
    }
}

/// What a customer has; `None` without an account.
pub async fn balance(tx: &mut Tx, customer: &CustomerId) -> Result<Option<Money>, Fault> {
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT balance, currency FROM account WHERE customer_id = $1")
            .bind(customer.as_str())
            .fetch_optional(tx.db())
            .await?;
    row.map(|(minor, currency)| money(minor, &currency)).transpose()
}

async fn load_charges(
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Charge>, Fault> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<ChargeRow> = sqlx::query_as(
        "SELECT order_id, state, customer_id, purse, amount, currency FROM charge
         WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(orders.iter().map(|order| order.uuid()).collect::<Vec<_>>())
    .fetch_all(tx.db())
    .await?;
    let charge = |(id, state, customer, purse, minor, currency): ChargeRow| {
        let amount = minor.zip(currency).map(|(minor, currency)| money(minor, &currency));
        let state = State::named(&state, amount.transpose()?);
        let state = state.ok_or_else(|| Fault::poison("unknown state of a charge"))?;
        let purse = Purse::named(&purse);
        let purse = purse.ok_or_else(|| Fault::poison("unknown purse of a charge"))?;
        let customer = CustomerId::new(&customer).map_err(Fault::poison)?;
        Ok((OrderId::new(id), Charge { customer, purse, state }))
    };
    rows.into_iter().map(charge).collect()
}

/// An account must exist to be locked, so that two deposits add up.
async fn open_accounts(tx: &mut Tx, opening: &BTreeMap<CustomerId, Currency>) -> Result<(), Fault> {
    if opening.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO account (customer_id, currency, balance)
         SELECT customer_id, currency, 0
         FROM unnest($1::text[], $2::text[]) AS new (customer_id, currency)
         ORDER BY customer_id ON CONFLICT DO NOTHING",
    )
    .bind(opening.keys().map(CustomerId::as_str).collect::<Vec<_>>())
    .bind(opening.values().map(Currency::code).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

async fn load_accounts(
    tx: &mut Tx,
    customers: &BTreeSet<&CustomerId>,
) -> Result<BTreeMap<CustomerId, Money>, Fault> {
    if customers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT customer_id, balance, currency FROM account
         WHERE customer_id = ANY($1) ORDER BY customer_id FOR UPDATE",
    )
    .bind(customers.iter().map(|customer| customer.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.db())
    .await?;
    let account = |(customer, minor, currency): (String, i64, String)| {
        let customer = CustomerId::new(&customer).map_err(Fault::poison)?;
        Ok((customer, money(minor, &currency)?))
    };
    rows.into_iter().map(account).collect()
}

/// A changed account was loaded, so its row exists and is locked.
async fn save_accounts(tx: &mut Tx, accounts: &[(&CustomerId, Money)]) -> Result<(), Fault> {
    if accounts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE account SET balance = new.balance
         FROM unnest($1::text[], $2::bigint[]) AS new (customer_id, balance)
         WHERE account.customer_id = new.customer_id",
    )
    .bind(accounts.iter().map(|(customer, _)| customer.as_str()).collect::<Vec<_>>())
    .bind(accounts.iter().map(|(_, balance)| balance.minor()).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// The facts of an order come by several topics, so two members of the group may decide on it at
/// the same time. The first to write wins and the other repeats: a row only ever changes along the
/// states of a charge.
async fn save_charges(tx: &mut Tx, charges: &[(OrderId, &Charge)]) -> Result<(), Fault> {
    if charges.is_empty() {
        return Ok(());
    }
    let values = || charges.iter().map(|(_, charge)| charge);
    let amounts: Vec<Option<Money>> = values().map(|charge| charge.state.amount()).collect();
    let code = |amount: &Option<Money>| amount.map(|amount| amount.currency().to_string());
    let written = sqlx::query(
        "INSERT INTO charge AS old (order_id, state, customer_id, purse, amount, currency)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[],
             $6::text[])
         ON CONFLICT (order_id) DO UPDATE SET state = EXCLUDED.state,
             amount = EXCLUDED.amount, currency = EXCLUDED.currency
         WHERE (old.state, EXCLUDED.state) IN (
             ('asked', 'charged'), ('asked', 'refused'), ('asked', 'withdrawn'),
             ('withdrawn', 'refunding'), ('withdrawn', 'refused'),
             ('charged', 'refunding'), ('charged', 'refunded'), ('refunding', 'refunded'))",
    )
    .bind(charges.iter().map(|(order, _)| order.uuid()).collect::<Vec<_>>())
    .bind(values().map(|charge| charge.state.as_str()).collect::<Vec<_>>())
    .bind(values().map(|charge| charge.customer.as_str()).collect::<Vec<_>>())
    .bind(values().map(|charge| charge.purse.as_str()).collect::<Vec<_>>())
    .bind(amounts.iter().map(|amount| amount.map(Money::minor)).collect::<Vec<_>>())
    .bind(amounts.iter().map(code).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if written < charges.len() as u64 {
        return Err(Fault::transient("another transaction has decided on the same order"));
    }
    Ok(())
}

async fn save_postings(tx: &mut Tx, postings: &[Posting]) -> Result<(), Fault> {
    if postings.is_empty() {
        return Ok(());
    }
    let entries: Vec<(&Posting, (String, i64))> =
        postings.iter().flat_map(|posting| posting.sides().map(|side| (posting, side))).collect();
    let values = || entries.iter().map(|(posting, _)| posting);
    sqlx::query(
        "INSERT INTO money_ledger (cause, account, kind, order_id, amount, currency)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bigint[],
             $6::text[])",
    )
    .bind(values().map(|posting| posting.cause).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, (account, _))| account.as_str()).collect::<Vec<_>>())
    .bind(values().map(|posting| posting.kind.as_str()).collect::<Vec<_>>())
    .bind(values().map(|posting| posting.order.map(OrderId::uuid)).collect::<Vec<_>>())
    .bind(entries.iter().map(|(_, (_, minor))| *minor).collect::<Vec<_>>())
    .bind(values().map(|posting| posting.amount.currency().to_string()).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

fn money(minor: i64, currency: &str) -> Result<Money, Fault> {
    Ok(Money::new(minor, currency.parse().map_err(Fault::poison)?))
}
