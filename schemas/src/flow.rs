//! The flow of an order as data: what each fact leads to, who reacts, what undoes what. Documents,
//! the search for stuck orders and the checker of the invariants are made from it. Never executed:
//! the services meet only in their topics.

use millrace_contract::{Event, Topic};

use crate::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefused, OrderRejected, PaymentAccepted,
    PaymentRefunded, PaymentRefused, SaleCancelled, SaleConfirmed, StockReleased, StockReserved,
    StockUnavailable,
};

/// One fact in the life of an order.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Avro full name of the fact.
    pub fact: &'static str,
    /// The service that says it: the owner of its topic.
    pub emitted_by: &'static str,
    /// The topic that carries it.
    pub topic: &'static Topic,
    /// Facts of which exactly one follows, unless the order is cancelled meanwhile.
    pub awaited: &'static [&'static str],
    /// Which services react, and what they do.
    pub reacts: &'static [(&'static str, &'static str)],
    /// The fact that this one takes back; it follows it, and at most once.
    pub undoes: Option<&'static str>,
    /// Whether the order ends here. Every order has exactly one such fact.
    pub ends: bool,
}

/// The whole flow, the good way first. If an order ends in anything but `OrderConfirmed`,
/// whatever was done for it and can be undone is undone.
pub const STEPS: &[Step] = &[
    Step {
        awaited: &[StockReserved::NAME, StockUnavailable::NAME],
        reacts: &[("stock", "reserves every line, or none")],
        ..fact::<OrderPlaced>()
    },
    Step {
        awaited: &[PaymentAccepted::NAME, PaymentRefused::NAME],
        reacts: &[("payments", "charges the total"), ("orders", "awaits the payment")],
        ..fact::<StockReserved>()
    },
    Step {
        awaited: &[OrderRejected::NAME],
        reacts: &[("orders", "closes the order as rejected")],
        ..fact::<StockUnavailable>()
    },
    Step {
        awaited: &[SaleConfirmed::NAME],
        reacts: &[("sales", "records the sale"), ("orders", "awaits the sale")],
        ..fact::<PaymentAccepted>()
    },
    Step {
        awaited: &[OrderRefused::NAME],
        reacts: &[
            ("stock", "releases what it reserved"),
            ("orders", "closes the order as refused"),
        ],
        ..fact::<PaymentRefused>()
    },
    Step {
        awaited: &[OrderConfirmed::NAME],
        reacts: &[("orders", "closes the order as confirmed")],
        ..fact::<SaleConfirmed>()
    },
    Step { ends: true, ..fact::<OrderConfirmed>() },
    Step { ends: true, ..fact::<OrderRejected>() },
    Step { ends: true, ..fact::<OrderRefused>() },
    Step {
        reacts: &[
            ("stock", "releases what it reserved"),
            ("payments", "refunds what it charged"),
            ("sales", "cancels the sale"),
        ],
        ends: true,
        ..fact::<OrderCancelled>()
    },
    Step { undoes: Some(StockReserved::NAME), ..fact::<StockReleased>() },
    Step { undoes: Some(PaymentAccepted::NAME), ..fact::<PaymentRefunded>() },
    Step { undoes: Some(SaleConfirmed::NAME), ..fact::<SaleCancelled>() },
];

/// The step of a fact by its full name; `None` for facts that are not of an order.
pub fn step(fact: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.fact == fact)
}

const fn fact<E: Event>() -> Step {
    Step {
        fact: E::NAME,
        emitted_by: E::TOPIC.owner,
        topic: E::TOPIC,
        awaited: &[],
        reacts: &[],
        undoes: None,
        ends: false,
    }
}
