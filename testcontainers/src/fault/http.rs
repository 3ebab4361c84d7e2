//! Requests that nobody should have sent, byte by byte past every client library. Whatever an
//! instance answers, it must not be its own failure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Field, Outcome, ParseError, text};

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// More than any service takes.
const LARGE_BYTES: usize = 2 * 1024 * 1024;
const DEEP: usize = 20_000;

/// How a request is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRequest {
    /// The head never ends.
    SlowHead,
    /// The body never ends.
    HalfBody,
    /// The body is larger than anybody takes.
    Oversize,
    /// JSON in JSON in JSON.
    DeepJson,
    /// One field twice.
    DuplicateKeys,
}

/// A bad request to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFault {
    /// How it is bad.
    pub bad: BadRequest,
    /// Name of the instance, `orders/1`.
    pub instance: String,
}

impl HttpFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let instance = field.fleet().instance(&self.instance)?;
        let Some(path) = field.path(instance.service()) else {
            let why = format!("nobody said where {} takes requests", instance.service());
            return Ok(Outcome::NotHere(why));
        };
        // An instance that is down just now is hurt by no request.
        let Ok(mut socket) = TcpStream::connect(instance.address()).await else {
            return Ok(Outcome::Injected);
        };
        let (head, body) = self.bad.request(path);
        // The server may close at the head already: that is an answer too.
        drop(socket.write_all(head.as_bytes()).await);
        drop(socket.write_all(&body).await);
        if matches!(self.bad, BadRequest::SlowHead | BadRequest::HalfBody) {
            field.sockets().entry(self.to_string()).or_default().push(socket);
            return Ok(Outcome::Injected);
        }
        let mut answer = vec![0; 1024];
        let read = tokio::time::timeout(ANSWER_MAX, socket.read(&mut answer)).await;
        let read = read.ok().and_then(Result::ok).unwrap_or_default();
        let said = String::from_utf8_lossy(&answer[..read]);
        let status = said.split_whitespace().nth(1).unwrap_or_default();
        // 503 is allowed: something the service stands on may be away at the same time.
        match status {
            "500" | "501" | "502" => {
                Ok(Outcome::Wrong(format!("{} answers {status} to it", self.instance)))
            }
            status if status.starts_with('2') => {
                Ok(Outcome::Wrong(format!("{} takes it with {status}", self.instance)))
            }
            _ => Ok(Outcome::Injected),
        }
    }

    /// Lets go of the connections that said nothing more.
    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        drop(field.sockets().remove(&self.to_string()));
        Ok(())
    }
}

impl BadRequest {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SlowHead, Self::HalfBody, Self::Oversize, Self::DeepJson, Self::DuplicateKeys];

    /// Its name in the text of a fault.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow-head",
            Self::HalfBody => "half-body",
            Self::Oversize => "oversize",
            Self::DeepJson => "deep-json",
            Self::DuplicateKeys => "duplicate-keys",
        }
    }

    fn request(self, path: &str) -> (String, Vec<u8>) {
        let body = match self {
            Self::SlowHead => {
                return (format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "), vec![]);
            }
            Self::HalfBody => b"{\"half\":".to_vec(),
            Self::Oversize => vec![b' '; LARGE_BYTES],
            Self::DeepJson => vec![b'['; DEEP],
            Self::DuplicateKeys => br#"{"a":1,"a":2}"#.to_vec(),
        };
        let length = if self == Self::HalfBody { body.len() * 2 } else { body.len() };
        let key = uuid::Uuid::now_v7();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Idempotency-Key: \"{key}\"\r\nContent-Length: {length}\r\n\r\n"
        );
        (head, body)
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.bad.as_str(), self.instance)
    }
}

impl FromStr for HttpFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let [bad, instance] = text::words(text)?;
        let found = BadRequest::ALL.into_iter().find(|known| known.as_str() == bad);
        let bad = found.ok_or_else(|| ParseError::new(bad, "a kind of bad request"))?;
        Ok(Self { bad, instance: instance.to_owned() })
    }
}
