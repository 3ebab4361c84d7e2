//! How an order would have ended under other rules: a pure function of what was said about it. What
//! the rules leave alone stays as it was, and what nobody can know is not made up.

use std::time::Duration;

use schemas::history::{Facts, Status, What};
use schemas::{CancelledBy, Money, Timestamp};
use serde::{Deserialize, Serialize};

/// Rules that are other than they were. None of them changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// An order expires when a step takes longer.
    pub deadline: Option<Duration>,
    /// A payment of more is refused, in this currency.
    pub payment_limit: Option<Money>,
}

/// Where an order arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "status")]
pub enum Outcome {
    /// It ends so.
    Ends(Status),
    /// It would still have waited here when what is known ends.
    Waits(Status),
}

/// How an order ended, or where it stands.
pub fn actual(facts: &Facts) -> Outcome {
    match facts.summary().status {
        end if end.is_end() => Outcome::Ends(end),
        status => Outcome::Waits(status),
    }
}

/// How it would have ended; `None` when it is not known how it began.
pub fn outcome(facts: &Facts, rules: &Rules) -> Option<Outcome> {
    let mut since = time(facts, |what| matches!(what, What::OrderPlaced(_)))?;
    let reserved = time(facts, |what| matches!(what, What::StockReserved(_)));
    let short = time(facts, |what| matches!(what, What::StockUnavailable(_)));
    let paid = time(facts, |what| matches!(what, What::PaymentAccepted(_)));
    let refused = time(facts, |what| matches!(what, What::PaymentRefused(_)));
    let sold = time(facts, |what| matches!(what, What::SaleConfirmed(_)));
    let steps = [
        (Status::Placed, reserved, short),
        (Status::Reserved, paid, refused),
        (Status::Paid, sold, None),
    ];
    for (status, forward, back) in steps {
        if status == Status::Reserved && over_limit(facts, rules) {
            return Some(Outcome::Ends(Status::Refused));
        }
        let answered = forward.or(back);
        if let Some(outcome) = too_late(facts, rules, status, since, answered) {
            return Some(outcome);
        }
        match forward {
            Some(at) => since = at,
            None => return Some(actual(facts)),
        }
    }
    match actual(facts) {
        // It was given up before the sale that would have been in time.
        Outcome::Ends(Status::Expired) if rules.deadline.is_some() => {
            Some(Outcome::Ends(Status::Confirmed))
        }
        actual => Some(actual),
    }
}

/// What becomes of an order whose step is not answered in time; `None` when it goes on as it went.
fn too_late(
    facts: &Facts,
    rules: &Rules,
    status: Status,
    since: Timestamp,
    answered: Option<Timestamp>,
) -> Option<Outcome> {
    let due = since.plus(rules.deadline?);
    let by = |wanted: CancelledBy| {
        time(facts, move |what| matches!(what, What::OrderCancelled(it) if it.by == wanted))
    };
    let cancelled = by(CancelledBy::Customer).is_some_and(|at| at <= due);
    if let Some(at) = answered {
        return (at > due && !cancelled).then_some(Outcome::Ends(Status::Expired));
    }
    let expired = by(CancelledBy::Deadline)?;
    Some(match expired >= due {
        true => Outcome::Ends(Status::Expired),
        false => Outcome::Waits(status),
    })
}

fn over_limit(facts: &Facts, rules: &Rules) -> bool {
    let total = facts.summary().total;
    let over = |(limit, total): (Money, Money)| {
        limit.currency() == total.currency() && total.minor() > limit.minor()
    };
    rules.payment_limit.zip(total).is_some_and(over)
}

fn time(facts: &Facts, is: impl Fn(&What) -> bool) -> Option<Timestamp> {
    facts.iter().find(|fact| is(&fact.what)).map(|fact| fact.occurred_at)
}
