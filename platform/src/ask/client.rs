//! A partner over HTTP: JSON there and back under an idempotency key, to the one host that is
//! configured. It follows no redirect and reads no more than a bounded answer.

use std::time::Duration;

use serde::Serialize;

use super::AskError;
use crate::Secret;

/// Longest answer that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A client of one partner.
pub struct Client {
    http: reqwest::Client,
    base: reqwest::Url,
    token: Secret,
}

/// What a partner answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: serde_json::Value,
}

impl Client {
    /// A client of the partner at this base URL; `token` goes with every call as a bearer token
    /// unless it is empty. A call takes at most `deadline`.
    ///
    /// # Errors
    /// When the URL is not one of http or https.
    pub fn new(base: &str, token: Secret, deadline: Duration) -> Result<Self, String> {
        let base: reqwest::Url =
            base.parse().map_err(|error| format!("is not a URL: {error}; write https://host"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("is not an http or https URL; write https://host".to_owned());
        }
        let http = reqwest::Client::builder()
            .timeout(deadline)
            .connect_timeout(CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("cannot be called: {error}"))?;
        Ok(Self { http, base, token })
    }

    /// Posts to a path under the base URL.
    ///
    /// # Errors
    /// [`AskError::Away`] when no whole answer came: whether the partner acted is not known then.
    pub async fn post(
        &self,
        path: &str,
        key: &str,
        body: &impl Serialize,
    ) -> Result<Reply, AskError> {
        let url = self.base.join(path).map_err(|error| AskError::Away(error.to_string()))?;
        let mut request = self.http.post(url).header("Idempotency-Key", key).json(body);
        if !self.token.expose().is_empty() {
            request = request.bearer_auth(self.token.expose());
        }
        let mut response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        let mut bytes = vec![];
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(AskError::Away(format!("an answer over {BODY_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Reply { status, body })
    }
}

/// The URL may say more than a log or a table should: only the cause is told.
fn away(error: reqwest::Error) -> AskError {
    use std::error::Error;
    let error = error.without_url();
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    AskError::Away(told)
}
