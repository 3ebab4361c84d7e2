//! Decisions on money: a charge is taken whole or refused, a refund is its exact inverse, and a
//! refund that comes first leaves a tombstone. Every movement has two sides. Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Currency, CustomerId, Money, OrderId, RefusalReason};
use uuid::Uuid;

pub use self::charge::{Answered, Charge, Charged, Purse, State, Undone};

mod charge;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod tests;

/// The most an account may hold, in minor units; far below what 64 bits can count, so that a
/// refund always fits.
pub const BALANCE_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// One movement of money between a customer and the shop or the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The fact or deposit that caused it.
    pub cause: Uuid,
    /// Why.
    pub kind: Kind,
    /// The order it was for, if any.
    pub order: Option<OrderId>,
    /// Where it came from or went to beside the shop.
    pub purse: Purse,
    /// Whose money moved.
    pub customer: CustomerId,
    /// How much moved; never negative.
    pub amount: Money,
}

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From outside to the customer.
    Deposit,
    /// From the customer to the shop.
    Charge,
    /// From the shop to the customer.
    Refund,
}

/// Why money cannot be paid in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody opened this account.
    #[error("there is no account of this customer")]
    UnknownAccount,
    /// The account is in another currency.
    #[error("the account is in {0}")]
    Currency(Currency),
    /// Nothing or less than nothing would be paid in.
    #[error("a deposit must be more than zero")]
    NotPositive,
    /// The account would hold more than allowed.
    #[error("an account may hold at most {BALANCE_MINOR_MAX} minor units")]
    TooMuch,
}

/// Facts and rows that do not fit together; no customer can cause it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No cart of ours makes such an order.
    #[error("the total of order {0} is not more than zero")]
    Total(OrderId),
    /// A charge is there, but not the account it was taken from.
    #[error("the account that order {0} was charged to cannot take the refund")]
    Account(OrderId),
    /// The provider speaks of another amount than it was asked for.
    #[error("the provider moved another amount than it was asked to for order {0}")]
    Amount(OrderId),
}

/// The accounts and charges in hand.
#[derive(Debug, Default)]
pub struct Till {
    /// What new orders are charged to.
    purse: Purse,
    accounts: BTreeMap<CustomerId, Money>,
    charges: BTreeMap<OrderId, Charge>,
    decided: BTreeSet<OrderId>,
    postings: Vec<Posting>,
}

impl Kind {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }
}

impl Posting {
    /// The accounts it changes and by how many minor units; they add up to zero.
    pub fn sides(&self) -> [(String, i64); 2] {
        let amount = self.amount.minor();
        let (moved, other) = match self.kind {
            Kind::Deposit => (amount, "cash"),
            Kind::Charge => (-amount, "shop"),
            Kind::Refund => (amount, "shop"),
        };
        let account = match self.purse {
            Purse::Account => format!("customer:{}", self.customer),
            Purse::Provider => "provider".to_owned(),
        };
        [(account, moved), (other.to_owned(), -moved)]
    }
}

impl Till {
    /// Takes the rows that were read.
    pub fn new(accounts: BTreeMap<CustomerId, Money>, charges: BTreeMap<OrderId, Charge>) -> Self {
        Self { accounts, charges, ..Self::default() }
    }

    /// Charges new orders to this.
    pub fn paid_by(self, purse: Purse) -> Self {
        Self { purse, ..self }
    }

    /// What a customer has; `None` without an account.
    pub fn balance(&self, customer: &CustomerId) -> Option<Money> {
        self.accounts.get(customer).copied()
    }

    /// What was decided for an order.
    pub fn charge_of(&self, order: OrderId) -> Option<&Charge> {
        self.charges.get(&order)
    }

    /// What a customer has, in the currency the account is to have.
    pub fn opened(&self, customer: &CustomerId, currency: Currency) -> Result<Money, Refusal> {
        let balance = self.balance(customer).ok_or(Refusal::UnknownAccount)?;
        match balance.currency() == currency {
            true => Ok(balance),
            false => Err(Refusal::Currency(balance.currency())),
        }
    }

    /// A customer pays in; answers the new balance.
    pub fn deposit(
        &mut self,
        cause: Uuid,
        customer: &CustomerId,
        amount: Money,
    ) -> Result<Money, Refusal> {
        let before = self.opened(customer, amount.currency())?;
        if amount.minor() <= 0 {
            return Err(Refusal::NotPositive);
        }
        let after = before.plus(amount).map_err(|_| Refusal::TooMuch)?;
        if after.minor() > BALANCE_MINOR_MAX {
            return Err(Refusal::TooMuch);
        }
        let (kind, customer) = (Kind::Deposit, customer.clone());
        let (order, purse) = (None, Purse::Account);
        self.apply(after, Posting { cause, kind, order, purse, customer, amount });
        Ok(after)
    }

    /// Takes what an order costs, or says why not.
    pub fn charge(
        &mut self,
        cause: Uuid,
        order: OrderId,
        customer: &CustomerId,
        amount: Money,
    ) -> Result<Charged, Invalid> {
        if self.charges.contains_key(&order) {
            return Ok(Charged::Before);
        }
        if amount.minor() <= 0 {
            return Err(Invalid::Total(order));
        }
        let (customer, kind) = (customer.clone(), Kind::Charge);
        if self.purse == Purse::Provider {
            self.decide(order, customer, self.purse, State::Asked(amount));
            return Ok(Charged::Asked);
        }
        let purse = Purse::Account;
        match self.after_charge(&customer, amount) {
            Ok(after) => {
                self.decide(order, customer.clone(), purse, State::Charged(amount));
                let order = Some(order);
                self.apply(after, Posting { cause, kind, order, purse, customer, amount });
                Ok(Charged::Accepted)
            }
            Err(reason) => {
                self.decide(order, customer, purse, State::Refused);
                Ok(Charged::Refused(reason))
            }
        }
    }

    /// Gives back what the order has taken, or has the provider asked for it. An order that is not
    /// known yet will take nothing later either.
    pub fn refund(
        &mut self,
        cause: Uuid,
        order: OrderId,
        customer: &CustomerId,
    ) -> Result<Undone, Invalid> {
        let Some(Charge { customer, purse, state }) = self.charges.get(&order).cloned() else {
            self.decide(order, customer.clone(), self.purse, State::Tombstone);
            return Ok(Undone::Nothing);
        };
        match (state, purse) {
            (State::Asked(amount), _) => {
                self.decide(order, customer, purse, State::Withdrawn(amount));
                Ok(Undone::Withdrawn)
            }
            (State::Charged(amount), Purse::Provider) => {
                self.decide(order, customer.clone(), purse, State::Refunding(amount));
                Ok(Undone::Asked(customer, amount))
            }
            (State::Charged(amount), Purse::Account) => {
                let before = self.balance(&customer).ok_or(Invalid::Account(order))?;
                let after = before.plus(amount).map_err(|_| Invalid::Account(order))?;
                self.decide(order, customer.clone(), purse, State::Refunded(amount));
                let (kind, payee, of) = (Kind::Refund, customer.clone(), Some(order));
                self.apply(
                    after,
                    Posting { cause, kind, order: of, purse, customer: payee, amount },
                );
                Ok(Undone::Refunded(customer, amount))
            }
            _ => Ok(Undone::Nothing),
        }
    }

    /// The provider has answered a charge: it took so much, or refused.
    pub fn answered(
        &mut self,
        cause: Uuid,
        order: OrderId,
        taken: Option<Money>,
    ) -> Result<Answered, Invalid> {
        let Some(Charge { customer, state, .. }) = self.charges.get(&order).cloned() else {
            return Ok(Answered::Before);
        };
        let (asked, accepted, after) = match state {
            State::Asked(amount) => (amount, Answered::Accepted, State::Charged(amount)),
            State::Withdrawn(amount) => (amount, Answered::TooLate, State::Refunding(amount)),
            _ => return Ok(Answered::Before),
        };
        match taken {
            Some(taken) if taken != asked => Err(Invalid::Amount(order)),
            Some(_) => {
                self.move_outside(cause, Kind::Charge, order, customer, after);
                Ok(accepted)
            }
            None => {
                self.decide(order, customer, Purse::Provider, State::Refused);
                Ok(Answered::Refused)
            }
        }
    }

    /// The provider has given back what an order had taken; `false` when it said so before.
    pub fn given_back(
        &mut self,
        cause: Uuid,
        order: OrderId,
        given: Money,
    ) -> Result<bool, Invalid> {
        let Some(Charge { customer, state, .. }) = self.charges.get(&order).cloned() else {
            return Ok(false);
        };
        match state {
            State::Refunding(amount) if amount != given => Err(Invalid::Amount(order)),
            State::Refunding(amount) => {
                self.move_outside(cause, Kind::Refund, order, customer, State::Refunded(amount));
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Accounts whose balance changed.
    pub fn changed_accounts(&self) -> impl Iterator<Item = (&CustomerId, Money)> {
        let ours = self.postings.iter().filter(|posting| posting.purse == Purse::Account);
        let moved = ours.map(|posting| &posting.customer);
        let changed: BTreeSet<&CustomerId> = moved.collect();
        changed.into_iter().filter_map(|customer| Some((customer, self.balance(customer)?)))
    }

    /// Charges that changed.
    pub fn changed_charges(&self) -> impl Iterator<Item = (OrderId, &Charge)> {
        self.decided.iter().filter_map(|order| Some((*order, self.charges.get(order)?)))
    }

    /// Movements that the ledger does not have yet.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn after_charge(&self, customer: &CustomerId, amount: Money) -> Result<Money, RefusalReason> {
        let balance = self.balance(customer).ok_or(RefusalReason::UnknownAccount)?;
        let after = balance.minus(amount).map_err(|_| RefusalReason::CurrencyMismatch)?;
        match after.is_negative() {
            true => Err(RefusalReason::InsufficientFunds),
            false => Ok(after),
        }
    }

    fn decide(&mut self, order: OrderId, customer: CustomerId, purse: Purse, state: State) {
        self.charges.insert(order, Charge { customer, purse, state });
        self.decided.insert(order);
    }

    /// The provider moved money.
    fn move_outside(
        &mut self,
        cause: Uuid,
        kind: Kind,
        order: OrderId,
        customer: CustomerId,
        state: State,
    ) {
        let Some(amount) = state.amount() else { return };
        let (purse, payer) = (Purse::Provider, customer.clone());
        self.decide(order, customer, purse, state);
        let order = Some(order);
        self.postings.push(Posting { cause, kind, order, purse, customer: payer, amount });
    }

    /// The only place where a balance with us changes, so that no change is without its posting.
    fn apply(&mut self, after: Money, posting: Posting) {
        self.accounts.insert(posting.customer.clone(), after);
        self.postings.push(posting);
    }
}
