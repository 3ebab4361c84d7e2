//! The settings of this service, from `[service.payments]`. Plain values; nothing is read here.

use millrace::Secret;
use serde::{Deserialize, Serialize};

/// What an operator may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What new orders are charged to.
    pub provider: Provider,
    /// Base URL of the provider. Kept for as long as anything it was asked is unanswered.
    pub provider_url: String,
    /// Goes with every call to the provider as a bearer token; none when it is empty.
    pub provider_token: Secret,
    /// What the provider signs its events with; without it no event is believed.
    pub provider_secret: Secret,
}

/// Who takes the money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The customer's account with us.
    #[default]
    Balance,
    /// A payment provider over HTTP.
    Http,
}
