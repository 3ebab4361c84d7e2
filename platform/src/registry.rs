//! The schema registry as services use it: looks schemas up, never invents one. What it says is
//! kept for good, what it does not say for seconds, and it is asked once however many wait.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, perform_sr_call, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, SchemaType, SrCall, SuppliedSchema,
};

use crate::config;

/// An id that the registry denies is asked for again after this time.
const MISSING_FOR: Duration = Duration::from_secs(5);
/// Whoever waited for a failed call shares its failure; the next one asks again.
const UNAVAILABLE_FOR: Duration = Duration::from_millis(200);
/// Whoever makes up ids is answered this often in a second, after this many at once.
const MISSES_PER_SECOND: u32 = 100;
const MISSES_AT_ONCE: u32 = 100;
/// Ids remembered, known and denied; denied ones make room first.
const IDS_MAX: usize = 4096;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A client of one registry. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    settings: SrSettings,
    http: reqwest::Client,
    url: String,
    schemas: Slots<u32, Arc<str>>,
    /// By subject and schema.
    ids: Slots<(String, String), u32>,
    misses: Misses,
}

/// What ids nobody has registered may cost: when the next question that may be one is asked.
#[derive(Default)]
struct Misses(Mutex<Option<Instant>>);

type Slots<K, T> = Mutex<HashMap<K, Arc<Slot<T>>>>;

/// One answer, and the place where those wait who ask for it at the same time.
type Slot<T> = tokio::sync::Mutex<Known<T>>;

#[derive(Clone)]
enum Known<T> {
    Nothing,
    Answer(T),
    Failure(RegistryError, Instant),
}

/// Why the registry gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry is there and says that it does not have this.
    #[error("the registry has no {what}")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// The registry is away, overloaded, refuses the credentials or speaks nonsense: worth asking
    /// again for as long as it takes.
    #[error("the registry is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// The registry does not accept what it was given.
    #[error("the registry refuses ({status}): {message}")]
    Refused {
        /// Its error code: the HTTP status, or five digits that begin with it.
        status: u32,
        /// Its reason.
        message: String,
    },
    /// A schema that must not be used to read records.
    #[error("schema {id} is not usable: {reason}")]
    Unusable {
        /// Its id.
        id: u32,
        /// What is wrong with it.
        reason: String,
    },
}

impl Registry {
    /// A client that knows nothing yet and asks nothing before it is needed. It uses no proxy: the
    /// registry stands beside the broker.
    pub fn new(settings: &config::Registry) -> Self {
        let url = settings.url.trim_end_matches('/').to_owned();
        let plain = "a client without special TLS settings can be built";
        let http = reqwest::Client::builder().timeout(settings.timeout).no_proxy();
        let http = http.build().expect(plain);
        let mut builder = SrSettings::new_builder(url.clone());
        let settings = builder.set_timeout(settings.timeout).no_proxy().build().expect(plain);
        let (schemas, ids) = (Mutex::default(), Mutex::default());
        let misses = Misses::default();
        Self(Arc::new(Inner { settings, http, url, schemas, ids, misses }))
    }

    /// Id of exactly this schema under this subject.
    pub async fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let key = (subject.to_owned(), schema.to_owned());
        once(&self.0.ids, key, async {
            let what = || format!("such schema under subject {subject}");
            let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
            let call = SrCall::PostForVersion(subject, &body);
            let found = perform_sr_call(&self.0.settings, call).await;
            let id = found.map_err(|error| classify(error, what))?.id;
            id.ok_or_else(|| unavailable("an answer without an id"))
        })
        .await
    }

    /// JSON text of a writer schema that is fit to read records with.
    pub async fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        once(&self.0.schemas, id, async {
            self.0.misses.room().await;
            let found = get_schema_by_id(id, &self.0.settings).await;
            let found = found.map_err(|error| classify(error, || format!("schema {id}")));
            let found = found.inspect_err(|error| self.0.misses.count(error))?;
            let unusable = |reason: String| RegistryError::Unusable { id, reason };
            if found.schema_type != SchemaType::Avro {
                return Err(unusable("it is not an Avro schema".to_owned()));
            }
            if !found.references.is_empty() {
                return Err(unusable("it refers to other schemas".to_owned()));
            }
            let fit = millrace_contract::check_writer_schema(&found.schema);
            fit.map_err(|error| unusable(error.to_string()))?;
            Ok(found.schema.into())
        })
        .await
    }

    /// Registers a schema, or finds it registered. A deploy step; services never do it.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        let posted = post_schema(&self.0.settings, subject.to_owned(), supplied).await;
        let id = posted.map_err(|error| classify(error, || format!("subject {subject}")))?.id;
        let key = (subject.to_owned(), schema.to_owned());
        *slot(&self.0.ids, key).lock().await = Known::Answer(id);
        Ok(id)
    }

    /// Sets the compatibility level of a subject, or the level of all others.
    pub async fn set_compatibility(
        &self,
        subject: Option<&str>,
        level: &str,
    ) -> Result<(), RegistryError> {
        let path = match subject {
            Some(subject) => format!("config/{}", subject.replace('/', "%2F")),
            None => "config".to_owned(),
        };
        let body = serde_json::json!({ "compatibility": level }).to_string();
        let request = self.0.http.put(format!("{}/{path}", self.0.url));
        let request = request.header(reqwest::header::CONTENT_TYPE, CONTENT_TYPE).body(body);
        self.send(request, &path).await
    }

    /// Whether the registry answers.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        self.send(self.0.http.get(format!("{}/subjects", self.0.url)), "subjects").await
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<(), RegistryError> {
        let answer = request.send().await.map_err(|error| unavailable(chain(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        match answer.json::<RawError>().await {
            Ok(error) => Err(by_code(&error, || what.to_owned())),
            Err(_) => Err(unavailable(format!("status {status}"))),
        }
    }
}

impl Misses {
    /// Waits until the registry may be asked for one more id that it may not have.
    async fn room(&self) {
        let due = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    fn count(&self, error: &RegistryError) {
        if let RegistryError::Missing { .. } = error {
            let each = Duration::from_secs(1) / MISSES_PER_SECOND;
            let free = Instant::now().checked_sub(each * MISSES_AT_ONCE);
            let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(free).map(|due| due + each);
        }
    }
}

impl RegistryError {
    /// Whether asking again may help without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    fn remembered_for(&self) -> Duration {
        if self.is_transient() { UNAVAILABLE_FOR } else { MISSING_FOR }
    }
}

/// Asks unless the answer is known or somebody is asking already.
async fn once<K: Eq + std::hash::Hash, T: Clone>(
    all: &Slots<K, T>,
    key: K,
    ask: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let slot = slot(all, key);
    let mut known = slot.lock().await;
    match &*known {
        Known::Answer(answer) => return Ok(answer.clone()),
        Known::Failure(error, since) if since.elapsed() < error.remembered_for() => {
            return Err(error.clone());
        }
        _ => {}
    }
    let answer = ask.await;
    *known = match &answer {
        Ok(answer) => Known::Answer(answer.clone()),
        Err(error) => Known::Failure(error.clone(), Instant::now()),
    };
    answer
}

/// The slot of a key. When there is no room even without the failures, it is not remembered.
fn slot<K: Eq + std::hash::Hash, T>(all: &Slots<K, T>, key: K) -> Arc<Slot<T>> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= IDS_MAX && !all.contains_key(&key) {
        let answered = |known: &Known<T>| matches!(known, Known::Answer(_));
        all.retain(|_, slot| slot.try_lock().map_or(true, |known| answered(&known)));
    }
    let room = all.len() < IDS_MAX;
    match all.get(&key) {
        Some(slot) => slot.clone(),
        None => {
            let slot = Arc::new(tokio::sync::Mutex::new(Known::Nothing));
            if room {
                all.insert(key, slot.clone());
            }
            slot
        }
    }
}

/// Only what the registry itself says in its own form counts as its answer; a proxy's 404 or a
/// login page is a registry that is not there.
fn classify(error: SRCError, what: impl FnOnce() -> String) -> RegistryError {
    match error.source().and_then(|source| source.downcast_ref::<RawError>()) {
        Some(raw) => by_code(raw, what),
        None => unavailable(error.source().map_or_else(|| error.error.clone(), chain)),
    }
}

fn by_code(error: &RawError, what: impl FnOnce() -> String) -> RegistryError {
    match error.error_code {
        40401..=40403 => RegistryError::Missing { what: what() },
        409 | 422 | 40901..=40999 | 42201..=42299 => {
            RegistryError::Refused { status: error.error_code, message: error.message.clone() }
        }
        code => unavailable(format!("{} (code {code})", error.message)),
    }
}

fn unavailable(reason: impl Into<String>) -> RegistryError {
    RegistryError::Unavailable { reason: reason.into() }
}

/// The causes of an error in one line; the client's own text says only that it failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
