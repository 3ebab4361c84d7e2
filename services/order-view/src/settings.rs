//! The settings of this service, from `[service.order-view]`. Plain values; nothing is read here.

use serde::{Deserialize, Serialize};

/// What an operator may change. Rows that were folded by other settings are another build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the words in which customers say why they cancel are kept and shown.
    pub keep_reasons: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_reasons: true }
    }
}
