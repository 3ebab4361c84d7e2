//! The settings of this service, from `[service.orders]`. Plain values; nothing is read here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What an operator may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long stock may take to reserve, in milliseconds.
    pub stock_deadline_ms: u64,
    /// How long payments may take to charge, in milliseconds.
    pub payment_deadline_ms: u64,
    /// How long sales may take to record the sale, in milliseconds.
    pub sale_deadline_ms: u64,
    /// What comes before `/v1/orders/{id}` where an order can be followed: the base URL of the
    /// order view, or nothing when one gateway serves both.
    pub follow_base: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stock_deadline_ms: 30_000,
            payment_deadline_ms: 30_000,
            sale_deadline_ms: 30_000,
            follow_base: String::new(),
        }
    }
}

impl Settings {
    /// How long stock may take.
    pub fn stock_deadline(&self) -> Duration {
        Duration::from_millis(self.stock_deadline_ms)
    }

    /// How long payments may take.
    pub fn payment_deadline(&self) -> Duration {
        Duration::from_millis(self.payment_deadline_ms)
    }

    /// How long sales may take.
    pub fn sale_deadline(&self) -> Duration {
        Duration::from_millis(self.sale_deadline_ms)
    }
}
