//! Defects of this service's store, for the checker of the invariants to find. Without the
//! platform's feature `plants` each of these passes on what it was given.

use millrace::plant::{self, Plant};
use schemas::OrderId;

use crate::domain::{Sale, State};

/// Whether a changed sale is written.
pub(crate) fn kept((_, sale): &(OrderId, &Sale)) -> bool {
    match sale.state {
        State::Tombstone => !plant::is(Plant::SaleTombstoneMissing),
        State::Cancelled(..) => !plant::is(Plant::SaleNotTakenBack),
        State::Confirmed(_) => true,
    }
}

/// What a sale amounts to, as it is written.
pub(crate) fn total(minor: i64) -> i64 {
    minor + i64::from(plant::is(Plant::SaleAmountWrong))
}
