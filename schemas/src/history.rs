//! The history of an order: the facts that were said about it, and what they amount to. A pure
//! function of the set of facts: the order in which they came, and how often, changes nothing.

use millrace_contract::{DecodeError, Event, Money, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CancelledBy, CustomerId, OrderCancelled, OrderConfirmed, OrderId, OrderLine, OrderPlaced,
    OrderRefused, OrderRejected, OrderState, OrderStatus, PaymentAccepted, PaymentRefunded,
    PaymentRefused, SaleCancelled, SaleConfirmed, ShortLine, StockReleased, StockReserved,
    StockUnavailable, StoreId, flow,
};

/// A fact about an order, with what is known of its publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Identity of the fact.
    pub id: Uuid,
    /// The topic it was read from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The service that said it.
    pub producer: String,
    /// Its place among the facts of this order in its topic, from 1.
    pub version: u64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it says.
    pub what: What,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its goods.
    Placed,
    /// It waits for its payment.
    Reserved,
    /// It waits for its sale.
    Paid,
    /// The end: sold.
    Confirmed,
    /// The end: the store had too little.
    Rejected,
    /// The end: the payment was refused.
    Refused,
    /// The end: the customer did not want it any more.
    Cancelled,
    /// The end: a step took too long.
    Expired,
}

/// What the facts of an order amount to. What no fact has told yet is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Where it stands.
    pub status: Status,
    /// Who ordered.
    pub customer: Option<CustomerId>,
    /// Where.
    pub store: Option<StoreId>,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub total: Option<Money>,
    /// When it was placed.
    pub placed_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// When the latest fact happened.
    pub updated_at: Timestamp,
    /// Articles of which the store had too little.
    pub missing: Vec<ShortLine>,
    /// Why it ended, when somebody said so.
    pub reason: Option<String>,
    /// It has ended, and what was done for an order that ended badly is undone.
    pub settled: bool,
}

/// The facts of one order: at least one, each once, in causal order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts(Vec<Fact>);

macro_rules! facts {
    ($($event:ident)*) => {
        /// What a fact says.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "fact", content = "data")]
        #[expect(missing_docs, reason = "each is the fact of the same name")]
        pub enum What {
            $($event($event),)*
        }

        impl What {
            /// The name of the fact without its namespace.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$event(_) => stringify!($event),)*
                }
            }

            /// Every fact of an order: its full name and its schema in this build.
            pub const SCHEMAS: &'static [(&'static str, &'static str)] =
                &[$(($event::NAME, $event::SCHEMA),)*];

            /// Reads a datum that is written in the schema of this build; `None` when no fact of
            /// an order has this full name.
            pub fn read(name: &str, datum: &[u8]) -> Option<Result<Self, DecodeError>> {
                match name {
                    $(<$event as Event>::NAME => Some($event::from_datum(datum).map(Self::$event)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$event> for What {
            fn from(event: $event) -> Self {
                Self::$event(event)
            }
        })*
    };
}

facts! {
    OrderPlaced StockReserved StockUnavailable PaymentAccepted PaymentRefused SaleConfirmed
    OrderConfirmed OrderRejected OrderRefused OrderCancelled
    StockReleased PaymentRefunded SaleCancelled
}

impl What {
    /// Causes before effects, so that clocks that differ a little cannot turn a history round.
    fn rank(&self) -> u8 {
        match self {
            Self::OrderPlaced(_) => 0,
            Self::StockReserved(_) | Self::StockUnavailable(_) => 1,
            Self::PaymentAccepted(_) | Self::PaymentRefused(_) => 2,
            Self::SaleConfirmed(_) => 3,
            Self::OrderConfirmed(_)
            | Self::OrderRejected(_)
            | Self::OrderRefused(_)
            | Self::OrderCancelled(_) => 4,
            Self::StockReleased(_) | Self::PaymentRefunded(_) | Self::SaleCancelled(_) => 5,
        }
    }
}

impl Status {
    /// Its name in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// What a state says; `None` when this version does not know its status.
    pub fn of(status: OrderStatus) -> Option<Self> {
        Some(match status {
            OrderStatus::Other => return None,
            OrderStatus::Placed => Self::Placed,
            OrderStatus::Reserved => Self::Reserved,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Confirmed => Self::Confirmed,
            OrderStatus::Rejected => Self::Rejected,
            OrderStatus::Refused => Self::Refused,
            OrderStatus::Cancelled => Self::Cancelled,
            OrderStatus::Expired => Self::Expired,
        })
    }

    /// Whether nothing can come after it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Placed | Self::Reserved | Self::Paid)
    }
}

impl Facts {
    /// Puts facts in order; `None` when there are none.
    pub fn new(mut facts: Vec<Fact>) -> Option<Self> {
        facts.sort_by_key(|fact| (fact.what.rank(), fact.occurred_at, fact.id));
        (!facts.is_empty()).then_some(Self(facts))
    }

    /// Each fact, in causal order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fact> {
        self.0.iter()
    }

    /// As a plain list.
    pub fn as_slice(&self) -> &[Fact] {
        &self.0
    }

    /// The list itself.
    pub fn into_vec(self) -> Vec<Fact> {
        self.0
    }

    /// What they amount to, as it is published.
    pub fn state(&self, order_id: OrderId) -> OrderState {
        let summary = self.summary();
        OrderState {
            order_id,
            version: self.0.len() as i64,
            status: summary.status.into(),
            settled: summary.settled,
            customer_id: summary.customer,
            store_id: summary.store,
            lines: summary.lines,
            total: summary.total,
            placed_at: summary.placed_at,
            closed_at: summary.closed_at,
            updated_at: summary.updated_at,
            missing: summary.missing,
            reason: summary.reason,
        }
    }

    /// What they amount to.
    pub fn summary(&self) -> Summary {
        let latest = self.0.iter().map(|fact| fact.occurred_at).max();
        let mut summary = Summary {
            status: Status::Placed,
            customer: None,
            store: None,
            lines: vec![],
            total: None,
            placed_at: None,
            closed_at: None,
            updated_at: latest.unwrap_or_default(),
            missing: vec![],
            reason: None,
            settled: false,
        };
        for fact in &self.0 {
            summary.learn(fact);
        }
        let status = summary.status;
        summary.settled =
            status == Status::Confirmed || (status.is_end() && !self.has_something_to_undo());
        summary
    }

    fn has_something_to_undo(&self) -> bool {
        let said =
            |fact: &str| self.0.iter().any(|it| fact.ends_with(&format!(".{}", it.what.name())));
        let undoing = flow::STEPS.iter().filter_map(|step| Some((step.fact, step.undoes?)));
        undoing.into_iter().any(|(undo, done)| said(done) && !said(undo))
    }
}

impl Summary {
    fn learn(&mut self, fact: &Fact) {
        match &fact.what {
            What::OrderPlaced(placed) => {
                self.placed_at = Some(fact.occurred_at);
                self.lines = placed.lines.clone();
                self.about(&placed.customer_id, &placed.store_id, Some(placed.total));
            }
            What::StockReserved(reserved) => {
                self.status = Status::Reserved;
                self.lines = reserved.lines.clone();
                self.about(&reserved.customer_id, &reserved.store_id, Some(reserved.total));
            }
            What::PaymentAccepted(paid) => {
                self.status = Status::Paid;
                self.lines = paid.lines.clone();
                self.about(&paid.customer_id, &paid.store_id, Some(paid.amount));
            }
            What::OrderConfirmed(end) => {
                self.about(&end.customer_id, &end.store_id, Some(end.total));
                self.end(Status::Confirmed, fact);
            }
            What::OrderRejected(end) => {
                self.about(&end.customer_id, &end.store_id, None);
                self.missing = end.missing.clone();
                self.end(Status::Rejected, fact);
            }
            What::OrderRefused(end) => {
                self.about(&end.customer_id, &end.store_id, None);
                self.reason = Some(end.reason.as_str().to_owned());
                self.end(Status::Refused, fact);
            }
            What::OrderCancelled(end) => {
                self.about(&end.customer_id, &end.store_id, None);
                self.reason = end.reason.clone();
                self.end(cancelled(end.by), fact);
            }
            What::StockUnavailable(_)
            | What::StockReleased(_)
            | What::PaymentRefused(_)
            | What::PaymentRefunded(_)
            | What::SaleConfirmed(_)
            | What::SaleCancelled(_) => {}
        }
    }

    fn about(&mut self, customer: &CustomerId, store: &StoreId, total: Option<Money>) {
        self.customer = Some(customer.clone());
        self.store = Some(store.clone());
        self.total = total.or(self.total);
    }

    fn end(&mut self, status: Status, fact: &Fact) {
        self.status = status;
        self.closed_at = Some(fact.occurred_at);
    }
}

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Placed => Self::Placed,
            Status::Reserved => Self::Reserved,
            Status::Paid => Self::Paid,
            Status::Confirmed => Self::Confirmed,
            Status::Rejected => Self::Rejected,
            Status::Refused => Self::Refused,
            Status::Cancelled => Self::Cancelled,
            Status::Expired => Self::Expired,
        }
    }
}

fn cancelled(by: CancelledBy) -> Status {
    match by {
        CancelledBy::Deadline => Status::Expired,
        CancelledBy::Customer | CancelledBy::Other => Status::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_the_name_it_is_written_under() {
        use Status::{Cancelled, Confirmed, Expired, Paid, Placed, Refused, Rejected, Reserved};
        for status in [Placed, Reserved, Paid, Confirmed, Rejected, Refused, Cancelled, Expired] {
            let read: Status = serde_json::from_value(status.as_str().into()).unwrap();
            assert_eq!(read, status);
        }
    }
}
