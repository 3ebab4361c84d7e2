//! One dead letter with everything that is known of it. It reads and never guesses.

use millrace::contract::Headers;
use millrace::{Registry, RegistryError};
use schemas::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::rows::{asked, records};
use super::{Content, Filter, Letter, Record, TopicLetter, content};
use crate::Endpoints;
use crate::databases::DatabaseError;

/// Records of the same key that are shown beside it.
const NEIGHBOURS_MAX: i64 = 50;

/// A dead letter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What is known of it.
    #[serde(flatten)]
    pub letter: Letter,
    /// The errors behind the error.
    pub error_chain: String,
    /// When the record was written.
    pub written_at: Option<Timestamp>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Its headers, as text.
    pub headers: Vec<(String, Option<String>)>,
    /// Its value as it came.
    pub content: Content,
    /// Its value as it was repaired.
    pub edited: Option<Content>,
    /// The parked records of the same key, in their order, this one among them.
    pub neighbours: Vec<Neighbour>,
}

/// A parked record of the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// By which it is found.
    pub id: String,
    /// Name of the fact.
    pub fact: String,
    /// Where it was read: topic/partition/offset.
    pub place: String,
    /// Where it stands.
    pub status: String,
    /// Why it is here.
    pub reason: String,
}

/// A parked record by its id, and the parked records of its key in the same service, or `None` when
/// no service that answers has it. Where several services have it, the first is taken, unless one
/// is named.
///
/// # Errors
/// When it was not found and a database did not answer.
pub async fn find(
    endpoints: &Endpoints,
    id: Uuid,
    service: Option<&str>,
) -> Result<Option<(Record, Vec<Letter>)>, DatabaseError> {
    let service = service.map(str::to_owned);
    let filter = Filter { ids: vec![id], service, ..Filter::default() };
    let mut fault = None;
    for service in asked(endpoints, &filter) {
        let found = match records(endpoints, &service, &filter, 0, 1).await {
            Ok(found) => found,
            Err(error) => {
                fault = Some(error);
                continue;
            }
        };
        let Some((_, record)) = found.into_iter().next() else { continue };
        let mut others = vec![];
        if !record.letter.key.is_empty() {
            let key = Some(record.letter.key.clone());
            let of_key = Filter { key, ..Filter::default() };
            let near = records(endpoints, &service, &of_key, 0, NEIGHBOURS_MAX).await?;
            others.extend(near.into_iter().map(|(_, near)| near.letter));
        }
        return Ok(Some((record, others)));
    }
    fault.map_or(Ok(None), Err)
}

impl Shown {
    /// A parked record of a service.
    ///
    /// # Errors
    /// When the registry is away.
    pub async fn parked(
        registry: &Registry,
        record: Record,
        neighbours: &[Letter],
    ) -> Result<Self, RegistryError> {
        let edited = match &record.edited {
            Some(edited) => Some(content(registry, Some(edited)).await?),
            None => None,
        };
        Ok(Self {
            error_chain: record.error_chain,
            written_at: written(record.timestamp_ms),
            trace_id: trace_id(&record.headers),
            content: content(registry, record.payload.as_deref()).await?,
            edited,
            headers: texts(&record.headers),
            neighbours: neighbours.iter().map(Neighbour::of).collect(),
            letter: record.letter,
        })
    }

    /// A record of a topic of dead letters.
    ///
    /// # Errors
    /// When the registry is away.
    pub async fn of_topic(
        registry: &Registry,
        letter: &TopicLetter,
        others: &[TopicLetter],
    ) -> Result<Self, RegistryError> {
        let same = |other: &&TopicLetter| other.letter.key == letter.letter.key;
        let TopicLetter { letter, note, record } = letter;
        Ok(Self {
            letter: letter.clone(),
            error_chain: note.error_chain.clone().unwrap_or_default(),
            written_at: written(note.timestamp_ms),
            trace_id: trace_id(&record.headers),
            headers: texts(&record.headers),
            content: content(registry, record.payload.as_deref()).await?,
            edited: None,
            neighbours: match letter.key.is_empty() {
                true => vec![],
                false => others.iter().filter(same).map(|it| Neighbour::of(&it.letter)).collect(),
            },
        })
    }
}

impl Neighbour {
    fn of(letter: &Letter) -> Self {
        Self {
            id: letter.id.clone(),
            fact: letter.fact.clone(),
            place: letter.place(),
            status: letter.status.clone(),
            reason: letter.reason.clone(),
        }
    }
}

impl Letter {
    /// Where it was read: `topic/partition/offset`, as far as it is known.
    pub fn place(&self) -> String {
        let part = |number: Option<String>| number.unwrap_or_else(|| "?".to_owned());
        let partition = part(self.partition.map(|number| number.to_string()));
        let offset = part(self.offset.map(|number| number.to_string()));
        format!("{}/{partition}/{offset}", self.topic)
    }
}

fn written(millis: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_micros(millis?.checked_mul(1000)?)
}

/// The second part of `traceparent`.
fn trace_id(headers: &Headers) -> Option<String> {
    let (_, value) = headers.iter().rev().find(|(name, _)| name == "traceparent")?;
    let text = std::str::from_utf8(value.as_deref()?).ok()?;
    let id = text.split('-').nth(1)?;
    (id.len() == 32).then(|| id.to_owned())
}

fn texts(headers: &Headers) -> Vec<(String, Option<String>)> {
    let text = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    headers.iter().map(|(name, value)| (name.clone(), value.as_ref().map(text))).collect()
}
