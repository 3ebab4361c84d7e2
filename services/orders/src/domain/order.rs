//! The life of an order. Facts come in any order across topics; exactly one of them ends it, and
//! whatever comes later changes only what is known of its steps.

use schemas::{CustomerId, Money, StoreId, Timestamp};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// What is known of one step that another service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing yet.
    Pending,
    /// It was taken.
    Done,
    /// It could not be taken.
    Failed,
    /// It was taken, and taken back.
    Undone,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who placed it.
    pub customer: CustomerId,
    /// Where the goods come from.
    pub store: StoreId,
    /// What it costs.
    pub total: Money,
    /// Where it stands.
    pub status: Status,
    /// What stock did.
    pub stock: Step,
    /// What payments did.
    pub payment: Step,
    /// What sales did.
    pub sale: Step,
    /// When the step it waits for is too late; `None` once it has ended.
    pub deadline: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Placed,
        Self::Reserved,
        Self::Paid,
        Self::Confirmed,
        Self::Rejected,
        Self::Refused,
        Self::Cancelled,
        Self::Expired,
    ];

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

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing can come after it.
    pub fn is_end(self) -> bool {
        self > Self::Paid
    }
}

impl Step {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
        }
    }

    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed, Self::Undone]
            .into_iter()
            .find(|step| step.as_str() == name)
    }

    /// Learns something about the step; it never goes back.
    pub fn learn(&mut self, now: Self) {
        *self = now.max(*self);
    }
}

impl Order {
    /// A new order, which waits for its goods until the deadline.
    pub fn placed(customer: CustomerId, store: StoreId, total: Money, deadline: Timestamp) -> Self {
        Self {
            customer,
            store,
            total,
            status: Status::Placed,
            stock: Step::Pending,
            payment: Step::Pending,
            sale: Step::Pending,
            deadline: Some(deadline),
            closed_at: None,
        }
    }

    /// The order gets this far, if it is not further or at its end, and waits for the next step
    /// until the deadline.
    pub fn reach(&mut self, status: Status, deadline: Timestamp) {
        if status > self.status {
            self.status = status;
            self.deadline = Some(deadline);
        }
    }

    /// The order ends, if it has not ended before; says whether it did.
    pub fn close(&mut self, end: Status, now: Timestamp) -> bool {
        if self.status.is_end() {
            return false;
        }
        (self.status, self.deadline, self.closed_at) = (end, None, Some(now));
        true
    }

    /// Whether the step it waits for is too late.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}
