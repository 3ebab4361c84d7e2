//! Defects of this service's store, for the checker of the invariants to find. Without the
//! platform's feature `plants` each of these passes on what it was given.

use std::borrow::Cow;

use millrace::plant::{self, Plant};
use schemas::Money;
use uuid::Uuid;

use crate::domain::{Kind, Posting};

/// Movements of money as they are written.
pub(crate) fn postings(postings: &[Posting]) -> Cow<'_, [Posting]> {
    if plant::is(Plant::RefundHalf) {
        return postings.iter().map(half).collect();
    }
    let twice = match () {
        () if plant::is(Plant::ChargeTwice) => Kind::Charge,
        () if plant::is(Plant::RefundTwice) => Kind::Refund,
        () => return Cow::Borrowed(postings),
    };
    let again = postings.iter().filter(|posting| posting.kind == twice).map(|posting| {
        let cause = Uuid::from_u128(posting.cause.as_u128() ^ 1);
        Posting { cause, ..posting.clone() }
    });
    postings.iter().cloned().chain(again).collect()
}

fn half(posting: &Posting) -> Posting {
    let whole = posting.amount;
    let amount = match posting.kind {
        Kind::Refund => Money::new(whole.minor() / 2, whole.currency()),
        Kind::Deposit | Kind::Charge => whole,
    };
    Posting { amount, ..posting.clone() }
}
