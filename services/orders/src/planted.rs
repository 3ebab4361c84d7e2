//! Defects of this service's store, for the checker of the invariants to find. Without the
//! platform's feature `plants` each of these passes on what it was given.

use std::time::Duration;

use millrace::plant::{self, Plant};

use crate::domain::{Order, Status, Step};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An order as it is read.
pub(crate) fn order(order: Order) -> Order {
    match order.closed_at {
        Some(closed_at) if plant::is(Plant::OrderEndsTwice) => Order {
            status: Status::Paid,
            deadline: Some(closed_at.plus(DAY)),
            closed_at: None,
            ..order
        },
        _ => order,
    }
}

/// Whether new orders are not stored, this time.
pub(crate) fn lost() -> bool {
    plant::is_turn(Plant::OrderLost, 10)
}

/// What is known of the payment, as it is written.
pub(crate) fn payment(step: Step) -> Step {
    if plant::is(Plant::OrderStepLost) { Step::Pending } else { step }
}

/// A price of our copy of the catalogue, as it is written.
pub(crate) fn price(minor: i64) -> i64 {
    minor + i64::from(plant::is(Plant::PriceCopyWrong))
}
