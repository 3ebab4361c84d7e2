//! What a charge is, where it can stand, and what is decided about it. Plain values.

use schemas::{CustomerId, Money, RefusalReason};

/// What was decided for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Whose account it concerns.
    pub customer: CustomerId,
    /// What it is taken from, and given back to.
    pub purse: Purse,
    /// Where it stands.
    pub state: State,
}

/// What pays for an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purse {
    /// The customer's account with us.
    #[default]
    Account,
    /// The payment provider, who is asked and answers later.
    Provider,
}

/// Where a charge stands. From an account it goes from charged to refunded; the provider is asked
/// first for the one and then for the other, and a cancellation in between withdraws the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The provider was asked to take the amount.
    Asked(Money),
    /// The order was cancelled before the answer; what is taken nevertheless is given back.
    Withdrawn(Money),
    /// The amount was taken.
    Charged(Money),
    /// Nothing was taken, and nothing will be.
    Refused,
    /// The provider was asked to give the amount back.
    Refunding(Money),
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
    /// The provider is to be asked.
    Asked,
    /// Nothing was taken.
    Refused(RefusalReason),
    /// It was decided before; there is nothing to say.
    Before,
}

/// What becomes of a charge by the provider's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The amount was taken.
    Accepted,
    /// It was taken although the order is cancelled: the provider is to be asked for it back.
    TooLate,
    /// Nothing was taken.
    Refused,
    /// It was answered before; there is nothing to say.
    Before,
}

/// What a cancellation leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Nothing was taken, or it is on its way back.
    Nothing,
    /// The provider has not answered: it need not be asked if it was not called yet.
    Withdrawn,
    /// So much was given back.
    Refunded(CustomerId, Money),
    /// The provider is to be asked for so much.
    Asked(CustomerId, Money),
}

impl Purse {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Provider => "provider",
        }
    }

    /// The purse of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Account, Self::Provider].into_iter().find(|purse| purse.as_str() == name)
    }
}

impl State {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked(_) => "asked",
            Self::Withdrawn(_) => "withdrawn",
            Self::Refunding(_) => "refunding",
            Self::Charged(_) => "charged",
            Self::Refused => "refused",
            Self::Refunded(_) => "refunded",
            Self::Tombstone => "tombstone",
        }
    }

    /// The amount that was asked for or taken, whether it was given back or not.
    pub fn amount(self) -> Option<Money> {
        match self {
            Self::Asked(amount)
            | Self::Withdrawn(amount)
            | Self::Charged(amount)
            | Self::Refunding(amount)
            | Self::Refunded(amount) => Some(amount),
            Self::Refused | Self::Tombstone => None,
        }
    }

    /// The state of this name.
    pub fn named(name: &str, amount: Option<Money>) -> Option<Self> {
        match (name, amount) {
            ("asked", Some(amount)) => Some(Self::Asked(amount)),
            ("withdrawn", Some(amount)) => Some(Self::Withdrawn(amount)),
            ("refunding", Some(amount)) => Some(Self::Refunding(amount)),
            ("charged", Some(amount)) => Some(Self::Charged(amount)),
            ("refused", None) => Some(Self::Refused),
            ("refunded", Some(amount)) => Some(Self::Refunded(amount)),
            ("tombstone", None) => Some(Self::Tombstone),
            _ => None,
        }
    }
}
