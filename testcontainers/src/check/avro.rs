//! Payloads as JSON, by the `apache-avro` crate and the registry's own answer: nothing here goes
//! through the code that wrote or read the record. Strict: a short or a long datum is unreadable.

use std::collections::HashMap;
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;

use super::evidence::Datum;
use crate::eventually;

/// The registry answers within this time, and is not believed before the shorter one that it has
/// nothing at all.
const REGISTRY_MAX: Duration = Duration::from_secs(20);
const DOUBT_MAX: Duration = Duration::from_secs(5);

/// Reads payloads by the schemas of one registry.
pub(super) struct Decoder {
    http: reqwest::Client,
    registry: String,
    /// `None` for an id the registry does not have.
    schemas: HashMap<u32, Option<Schema>>,
    /// It has shown a schema.
    answers: bool,
    since: Instant,
}

/// Notes when the reader came to the end before the schema did.
struct Strict<'a> {
    left: &'a [u8],
    short: bool,
}

impl Read for Strict<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.short |= into.len() > self.left.len();
        self.left.read(into)
    }
}

impl Decoder {
    pub(super) fn new(registry: &str) -> Self {
        let registry = registry.trim_end_matches('/').to_owned();
        let (http, schemas) = (reqwest::Client::new(), HashMap::new());
        Self { http, registry, schemas, answers: false, since: Instant::now() }
    }

    /// What a payload says under the type its header names.
    pub(super) async fn read(
        &mut self,
        payload: Option<&[u8]>,
        name: Option<&str>,
    ) -> Result<Datum> {
        let Some(payload) = payload else { return Ok(Datum::Absent) };
        let [0, a, b, c, d, datum @ ..] = payload else {
            return Ok(Datum::Unreadable("it is not framed".to_owned()));
        };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        Ok(match self.schema(id).await? {
            None => Datum::Unreadable(format!("there is no schema {id}")),
            Some(schema) => read(schema, datum, name),
        })
    }

    async fn schema(&mut self, id: u32) -> Result<Option<&Schema>> {
        if !self.schemas.contains_key(&id) {
            let schema = eventually(REGISTRY_MAX, "an answer of the registry", async || {
                self.ask(id).await.map_err(|error| format!("{error:#}"))
            });
            let schema = schema.await?;
            self.answers |= schema.is_some();
            self.schemas.insert(id, schema);
        }
        Ok(self.schemas.get(&id).and_then(Option::as_ref))
    }

    /// A registry that was broken on purpose may not know its schemas again at once: its word that
    /// there is none counts when it has shown one, or has said so for a while.
    async fn ask(&self, id: u32) -> Result<Option<Schema>> {
        let url = format!("{}/schemas/ids/{id}", self.registry);
        let answer = self.http.get(&url).send().await.context("asking the registry")?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            ensure!(self.answers || self.since.elapsed() > DOUBT_MAX, "it has no schema {id}");
            return Ok(None);
        }
        let body: serde_json::Value = answer.error_for_status()?.json().await?;
        let text = body["schema"].as_str().with_context(|| format!("no schema in {body}"))?;
        Ok(Some(Schema::parse_str(text).with_context(|| format!("schema {id}: {text}"))?))
    }
}

fn read(schema: &Schema, datum: &[u8], name: Option<&str>) -> Datum {
    let written = schema.name().map(|name| name.fullname(None).to_string());
    if written.as_deref() != name {
        return Datum::Unreadable(format!("it is a {}", written.unwrap_or_default()));
    }
    let mut input = Strict { left: datum, short: false };
    let value =
        GenericDatumReader::builder(schema).build().and_then(|it| it.read_value(&mut input));
    let value = match value {
        Ok(_) if input.short => Err("it is cut off".to_owned()),
        Ok(_) if !input.left.is_empty() => Err("something is left over".to_owned()),
        Ok(value) => serde_json::Value::try_from(value).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    value.map_or_else(Datum::Unreadable, Datum::Value)
}
