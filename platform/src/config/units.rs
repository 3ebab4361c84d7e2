//! How values are written: durations as `30s`, sizes as `64KiB`, secrets as stars.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

const MASK: &str = "***";

/// Durations such as `500ms`, `30s`, `5m`, `2h`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::show_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// Sizes such as `1024`, `64KiB`, `16MiB`.
pub(crate) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::show_size(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        super::parse_size(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// Reads a whole number with one of the units ms, s, m, h.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("is `{text}`, not a duration such as 500ms, 30s, 5m or 2h")),
    };
    let millis = number.and_then(|number| number.checked_mul(millis_each));
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| format!("is `{text}`, not a duration such as 500ms, 30s, 5m or 2h"))
}

/// Reads a whole number of bytes with an optional unit KiB, MiB or GiB.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let each: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("is `{text}`, not a size such as 1024, 64KiB or 16MiB")),
    };
    let bytes = number.and_then(|number| usize::try_from(number).ok()?.checked_mul(each));
    bytes.ok_or_else(|| format!("is `{text}`, not a size such as 1024, 64KiB or 16MiB"))
}

fn split(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), text[end..].trim_start())
}

pub(crate) fn show_duration(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    show(millis, [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")])
}

pub(crate) fn show_size(value: usize) -> String {
    match value as u64 {
        0 => "0".to_owned(),
        bytes => show(bytes, [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "")]),
    }
}

/// In the largest unit that needs no fraction; the last unit is 1.
fn show(value: u64, units: [(u64, &str); 4]) -> String {
    let whole = units.into_iter().find(|(each, _)| value.is_multiple_of(*each));
    let (each, unit) = whole.expect("every number is a multiple of 1");
    format!("{}{unit}", value / each)
}

/// The values of a structure with their dotted keys; an empty map has none.
pub(crate) fn leaves(of: &impl Serialize) -> Vec<(String, Value)> {
    let mut found = vec![];
    let value = serde_json::to_value(of).expect("configuration has text keys and finite numbers");
    walk("", value, &mut found);
    found
}

fn walk(path: &str, value: Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let key = if path.is_empty() { name } else { format!("{path}.{name}") };
                walk(&key, field, found);
            }
        }
        leaf => found.push((path.to_owned(), leaf)),
    }
}

/// A value as text, with stars where the key or the text itself says that it is secret.
pub(crate) fn shown(key: &str, value: &Value) -> String {
    let secret = ["password", "secret", "token", "credential", "key.pem", "jaas", "api_key"];
    match value {
        Value::Null => String::new(),
        _ if secret.iter().any(|word| key.contains(word)) => MASK.to_owned(),
        Value::String(text) => mask_url(text),
        other => other.to_string(),
    }
}

/// Puts stars in place of the password of a URL.
pub(crate) fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let masked = authority.rsplit_once('@').and_then(|(user, host)| {
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:{MASK}@{host}{}", &rest[authority.len()..]))
    });
    masked.unwrap_or_else(|| text.to_owned())
}
