//! What happens to the schema registry: an HTTP proxy before it that answers as a registry does
//! that is ill, and its process. It passes everything on while nothing is set.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::{Field, Outcome, ParseError, text};
use crate::serve::Served;
use crate::{GroundKind, Part};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A schema that nobody ever wrote a record with.
const WRONG_SCHEMA: &str =
    r#"{"schema":"{\"type\":\"record\",\"name\":\"Stranger\",\"fields\":[]}"}"#;
const GARBAGE: &str = "<html><body>It works!</body></html>";

/// How a registry is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sick {
    /// It answers everything with this status.
    Status(u16),
    /// It answers 200 with a page in place of JSON.
    Garbage,
    /// It answers late.
    Slow(Duration),
    /// It answers every question for a schema with another one.
    WrongSchema,
}

/// A fault of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryFault {
    /// Its answers are wrong.
    Sick(Sick),
    /// It ends without farewell.
    Crash,
    /// It stands still with its connections open.
    Freeze,
}

/// What stands before the registry of a fleet.
#[derive(Debug)]
pub struct Front {
    served: Served,
    path: String,
    sick: watch::Sender<Option<Sick>>,
}

#[derive(Clone)]
struct Behind {
    base: String,
    http: reqwest::Client,
    sick: watch::Receiver<Option<Sick>>,
}

impl Front {
    /// Stands before the registry at this URL.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("a registry is asked by http")?;
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (sick, seen) = watch::channel(None);
        let (base, http) = (format!("http://{server}"), reqwest::Client::new());
        let behind = Behind { base, http, sick: seen };
        let served =
            Served::start("front of the registry", Router::new().fallback(ask).with_state(behind))?;
        Ok(Self { served, path: path.to_owned(), sick })
    }

    /// The base of the registry's API through this.
    pub fn url(&self) -> String {
        self.url_at(&self.address())
    }

    /// Answers like this from now on; `None` lets the registry answer.
    pub fn set(&self, sick: Option<Sick>) {
        self.sick.send_replace(sick);
    }

    /// `host:port`
    pub(crate) fn address(&self) -> String {
        self.served.url().trim_start_matches("http://").to_owned()
    }

    /// The base of the API at another address, which leads here.
    pub(crate) fn url_at(&self, address: &str) -> String {
        format!("http://{address}/{}", self.path).trim_end_matches('/').to_owned()
    }
}

async fn ask(State(behind): State<Behind>, request: Request) -> Response {
    let sick = *behind.sick.borrow();
    let json = [(header::CONTENT_TYPE, MEDIA_TYPE)];
    match sick {
        Some(Sick::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = format!(r#"{{"error_code":{},"message":"ill"}}"#, status.as_u16());
            return (status, json, body).into_response();
        }
        Some(Sick::Garbage) => {
            return ([(header::CONTENT_TYPE, "text/html")], GARBAGE).into_response();
        }
        Some(Sick::WrongSchema) if request.uri().path().contains("/schemas/ids/") => {
            return (json, WRONG_SCHEMA).into_response();
        }
        Some(Sick::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(Sick::WrongSchema) | None => {}
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match behind.pass_on(parts.method, &parts.uri, &parts.headers, body).await {
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl Behind {
    async fn pass_on(
        &self,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, reqwest::Error> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            request =
                headers.get(&name).into_iter().fold(request, |it, value| it.header(&name, value));
        }
        let answer = request.send().await?;
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let (status, body) = (answer.status(), answer.bytes().await?);
        let mut passed = (status, body).into_response();
        passed.headers_mut().remove(header::CONTENT_TYPE);
        passed.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        Ok(passed)
    }
}

impl RegistryFault {
    pub(crate) async fn inject(&self, field: &Field) -> Result<Outcome> {
        let ground = field.world().ground();
        match self {
            Self::Sick(sick) => field.fleet().front().set(Some(*sick)),
            _ if ground.kind() == GroundKind::Embedded => {
                return Ok(Outcome::NotHere("this registry is no process".to_owned()));
            }
            Self::Crash => ground.crash(Part::Registry).await?,
            Self::Freeze => ground.freeze(Part::Registry).await?,
        }
        Ok(Outcome::Injected)
    }

    pub(crate) async fn heal(&self, field: &Field) -> Result<()> {
        let ground = field.world().ground();
        match self {
            Self::Sick(_) => field.fleet().front().set(None),
            _ if ground.kind() == GroundKind::Embedded => {}
            Self::Crash => ground.restart(Part::Registry).await?,
            Self::Freeze => ground.thaw(Part::Registry).await?,
        }
        Ok(())
    }

    pub(crate) fn breaks(&self) -> String {
        match self {
            Self::Sick(_) => "registry-answers".to_owned(),
            Self::Crash | Self::Freeze => "registry".to_owned(),
        }
    }
}

impl fmt::Display for RegistryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sick(Sick::Status(status)) => write!(f, "status {status}"),
            Self::Sick(Sick::Garbage) => f.write_str("garbage"),
            Self::Sick(Sick::Slow(delay)) => write!(f, "slow {}", text::show(*delay)),
            Self::Sick(Sick::WrongSchema) => f.write_str("wrong-schema"),
            Self::Crash => f.write_str("crash"),
            Self::Freeze => f.write_str("freeze"),
        }
    }
}

impl FromStr for RegistryFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let wrong = || ParseError::new(text, "a fault of a registry");
        Ok(match words[..] {
            ["status", status] => {
                let status = status.parse().ok().filter(|status| (400..600).contains(status));
                Self::Sick(Sick::Status(status.ok_or_else(wrong)?))
            }
            ["garbage"] => Self::Sick(Sick::Garbage),
            ["slow", delay] => Self::Sick(Sick::Slow(text::duration(delay)?)),
            ["wrong-schema"] => Self::Sick(Sick::WrongSchema),
            ["crash"] => Self::Crash,
            ["freeze"] => Self::Freeze,
            _ => return Err(wrong()),
        })
    }
}
