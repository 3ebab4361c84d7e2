//! The value of a dead letter as a person can read it: Avro by the schema its payload names, else
//! JSON, text or bytes. It never guesses a schema.

use std::sync::Arc;

use millrace::contract::{record_name, unframe};
use millrace::{Registry, RegistryError, repair};
use serde::Serialize;
use serde_json::Value;

/// At most so many bytes are shown of what nobody can read.
const HEX_BYTES_MAX: usize = 256;

/// A value, and how it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Content {
    /// What it is.
    pub form: Form,
    /// The value; text for what is not structured, hexadecimal for bytes.
    pub value: Value,
    /// Id of the schema that the payload names.
    pub schema_id: Option<u32>,
    /// The schema.
    pub schema: Option<Value>,
    /// Full name of the record that the schema describes.
    pub record: Option<String>,
    /// Why it was not read as what it says to be.
    pub fault: Option<String>,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A datum of a schema.
    Avro,
    /// JSON text.
    Json,
    /// Other text.
    Text,
    /// Neither.
    Bytes,
    /// There is no payload.
    Tombstone,
}

/// One place that differs between two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// JSON pointer to it.
    pub pointer: String,
    /// What was there; null also when nothing was.
    pub before: Value,
    /// What is there.
    pub after: Value,
}

/// Reads a payload.
///
/// # Errors
/// Only when the registry is away. What cannot be read says why in `fault`.
pub async fn content(
    registry: &Registry,
    payload: Option<&[u8]>,
) -> Result<Content, RegistryError> {
    let Some(payload) = payload else {
        return Ok(Content { form: Form::Tombstone, ..unread(&[]) });
    };
    let Ok((id, _)) = unframe(payload) else { return Ok(unread(payload)) };
    let plain = Content { schema_id: Some(id), ..unread(payload) };
    match registry.schema(id).await {
        Ok(schema) => Ok(avro(plain, &schema, payload)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(Content { fault: Some(error.to_string()), ..plain }),
    }
}

/// The places in which two values differ, in the order of their paths.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = vec![];
    compare(String::new(), before, after, &mut found);
    found
}

fn avro(plain: Content, schema: &Arc<str>, payload: &[u8]) -> Content {
    let with_schema = Content {
        schema: serde_json::from_str(schema).ok(),
        record: record_name(schema).ok(),
        ..plain
    };
    match repair::view(schema, payload) {
        Ok(value) => Content { form: Form::Avro, value, ..with_schema },
        Err(error) => Content { fault: Some(error.to_string()), ..with_schema },
    }
}

fn unread(payload: &[u8]) -> Content {
    let (form, value) = match std::str::from_utf8(payload) {
        Ok("") => (Form::Bytes, Value::Null),
        Ok(text) => match serde_json::from_str(text) {
            Ok(value) => (Form::Json, value),
            Err(_) if text.contains(|letter: char| letter.is_control() && letter != '\n') => {
                (Form::Bytes, hex(payload).into())
            }
            Err(_) => (Form::Text, text.into()),
        },
        Err(_) => (Form::Bytes, hex(payload).into()),
    };
    Content { form, value, schema_id: None, schema: None, record: None, fault: None }
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(HEX_BYTES_MAX).map(|byte| format!("{byte:02x}"));
    let more = if bytes.len() > HEX_BYTES_MAX { "…" } else { "" };
    format!("{}{more}", shown.collect::<String>())
}

fn compare(pointer: String, before: &Value, after: &Value, found: &mut Vec<Change>) {
    let step = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> =
                one.keys().chain(other.keys()).collect();
            for key in keys {
                let of = |all: &serde_json::Map<String, Value>| all.get(key).cloned();
                let (one, other) = (of(one).unwrap_or_default(), of(other).unwrap_or_default());
                compare(step(key), &one, &other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(step(&index.to_string()), one, other, found);
            }
        }
        _ if before == after => {}
        _ => found.push(Change { pointer, before: before.clone(), after: after.clone() }),
    }
}
