//! Decisions on money: a charge is taken whole or refused, a refund is its exact inverse, and a
//! refund that comes first leaves a tombstone. Every movement has two sides. Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Currency, CustomerId, Money, OrderId, RefusalReason};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The most an account may hold, in minor units; far below what 64 bits can count, so that a
/// refund always fits.
pub const BALANCE_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// What was decided for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Whose account it concerns.
    pub customer: CustomerId,
    /// Where it stands.
    pub state: State,
}

/// Where a charge stands. The only way from one to another is from charged to refunded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The amount was taken.
    Charged(Money),
    /// Nothing was taken, and nothing will be.
    Refused,
    /// The amount was given back.
    Refunded(Money),
    /// The refund came first; nothing may be taken any more.
    Tombstone,
}

/// The answer to a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// The amount was taken.
    Accepted,
    /// Nothing was taken.
    Refused(RefusalReason),
    /// It was decided before; there is nothing to say.
    Before,
}

/// One movement of money between a customer and the shop or the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The fact or deposit that caused it.
    pub cause: Uuid,
    /// Why.
    pub kind: Kind,
    /// The order it was for, if any.
    pub order: Option<OrderId>,
    /// Whose account moved.
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
}

/// The accounts and charges in hand.
#[derive(Debug, Default)]
pub struct Till {
    accounts: BTreeMap<CustomerId, Money>,
    charges: BTreeMap<OrderId, Charge>,
    decided: BTreeSet<OrderId>,
    postings: Vec<Posting>,
}

impl State {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charged(_) => "charged",
            Self::Refused => "refused",
            Self::Refunded(_) => "refunded",
            Self::Tombstone => "tombstone",
        }
    }

    /// The amount that was taken, whether it was given back or not.
    pub fn amount(self) -> Option<Money> {
        match self {
            Self::Charged(amount) | Self::Refunded(amount) => Some(amount),
            Self::Refused | Self::Tombstone => None,
        }
    }

    /// The state of this name.
    pub fn named(name: &str, amount: Option<Money>) -> Option<Self> {
        match (name, amount) {
            ("charged", Some(amount)) => Some(Self::Charged(amount)),
            ("refused", None) => Some(Self::Refused),
            ("refunded", Some(amount)) => Some(Self::Refunded(amount)),
            ("tombstone", None) => Some(Self::Tombstone),
            _ => None,
        }
    }
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
        let (customer, other) = match self.kind {
            Kind::Deposit => (amount, "cash"),
            Kind::Charge => (-amount, "shop"),
            Kind::Refund => (amount, "shop"),
        };
        [(format!("customer:{}", self.customer), customer), (other.to_owned(), -customer)]
    }
}

impl Till {
    /// Takes the rows that were read.
    pub fn new(accounts: BTreeMap<CustomerId, Money>, charges: BTreeMap<OrderId, Charge>) -> Self {
        Self { accounts, charges, ..Self::default() }
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
        self.apply(after, Posting { cause, kind, order: None, customer, amount });
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
        match self.after_charge(&customer, amount) {
            Ok(after) => {
                self.decide(order, customer.clone(), State::Charged(amount));
                let order = Some(order);
                self.apply(after, Posting { cause, kind, order, customer, amount });
                Ok(Charged::Accepted)
            }
            Err(reason) => {
                self.decide(order, customer, State::Refused);
                Ok(Charged::Refused(reason))
            }
        }
    }

    /// Gives back what the order has taken and says how much that was; `None` when it has taken
    /// nothing. An order that is not known yet will take nothing later either.
    pub fn refund(
        &mut self,
        cause: Uuid,
        order: OrderId,
        customer: &CustomerId,
    ) -> Result<Option<(CustomerId, Money)>, Invalid> {
        let Some(Charge { customer, state }) = self.charges.get(&order).cloned() else {
            self.decide(order, customer.clone(), State::Tombstone);
            return Ok(None);
        };
        let State::Charged(amount) = state else { return Ok(None) };
        let before = self.balance(&customer).ok_or(Invalid::Account(order))?;
        let after = before.plus(amount).map_err(|_| Invalid::Account(order))?;
        self.decide(order, customer.clone(), State::Refunded(amount));
        let (kind, payee) = (Kind::Refund, customer.clone());
        self.apply(after, Posting { cause, kind, order: Some(order), customer: payee, amount });
        Ok(Some((customer, amount)))
    }

    /// Accounts whose balance changed.
    pub fn changed_accounts(&self) -> impl Iterator<Item = (&CustomerId, Money)> {
        let moved = self.postings.iter().map(|posting| &posting.customer);
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

    fn decide(&mut self, order: OrderId, customer: CustomerId, state: State) {
        self.charges.insert(order, Charge { customer, state });
        self.decided.insert(order);
    }

    /// The only place where a balance changes, so that no change is without its posting.
    fn apply(&mut self, after: Money, posting: Posting) {
        self.accounts.insert(posting.customer.clone(), after);
        self.postings.push(posting);
    }
}
