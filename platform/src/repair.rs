//! Edits of a record's value: `$.total.amount=0` where `$.status=="pending"`. One pure function, so
//! that what an operator was shown is what the service does. It never touches a key or a header,
//! and a repaired value keeps its schema.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use millrace_contract::{
    DecodeError, FrameError, JsonView, Misfit, ResolveError, frame, prepare, unframe,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A path may have at most this many parts.
const PARTS_MAX: usize = 32;

/// What is changed, and in which records. Without an edit it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repair {
    /// New values, set one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Edit>,
    /// Only values for which all of these hold are changed.
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A new value at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
}

/// A comparison of the value at a place; what is not there counts as null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Where.
    pub path: Path,
    /// How.
    pub op: Op,
    /// With what.
    pub value: Value,
}

/// How two values are compared. Order is between two numbers or two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// Less or equal.
    #[serde(rename = "<=")]
    AtMost,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    AtLeast,
}

/// A place in a value: `$.lines[0].sku`, `$.labels["a b"]`, or `$` for all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(usize),
}

/// A text that is no path, edit or condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {wanted}")]
pub struct SyntaxError {
    text: String,
    wanted: &'static str,
}

/// Why a value cannot be looked at or repaired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepairError {
    /// The payload does not name its schema.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The schema is not fit to read with.
    #[error(transparent)]
    Schema(#[from] ResolveError),
    /// The payload is no datum of its schema.
    #[error(transparent)]
    Datum(#[from] DecodeError),
    /// The repaired value does not fit the schema.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// The value of a framed payload, by the schema that its id stands for.
///
/// # Errors
/// Any but `Misfit`.
pub fn view(schema: &str, payload: &[u8]) -> Result<Value, RepairError> {
    prepare();
    Ok(JsonView::new(schema)?.read(unframe(payload)?.1)?)
}

impl Repair {
    /// Whether nothing would ever be changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The repaired value; `None` when the conditions do not hold or nothing is set.
    ///
    /// # Errors
    /// Names an edit's place when there is nothing to hold a value there.
    pub fn apply(&self, value: &Value) -> Result<Option<Value>, Misfit> {
        if self.is_empty() || !self.conditions.iter().all(|condition| condition.holds(value)) {
            return Ok(None);
        }
        let mut repaired = value.clone();
        self.set.iter().try_for_each(|edit| edit.apply(&mut repaired))?;
        Ok(Some(repaired))
    }

    /// The repaired payload, framed with the same schema id; `None` when it stays as it is.
    ///
    /// # Errors
    /// Any.
    pub fn payload(&self, schema: &str, payload: &[u8]) -> Result<Option<Vec<u8>>, RepairError> {
        prepare();
        let (id, datum) = unframe(payload)?;
        let view = JsonView::new(schema)?;
        let Some(repaired) = self.apply(&view.read(datum)?)? else { return Ok(None) };
        Ok(Some(frame(id, &view.write(&repaired)?)))
    }
}

impl Edit {
    fn apply(&self, value: &mut Value) -> Result<(), Misfit> {
        let nowhere = || Misfit {
            pointer: self.path.pointer(),
            detail: "there is nothing here that could be set".to_owned(),
        };
        let Some((last, parents)) = self.path.0.split_last() else {
            *value = self.value.clone();
            return Ok(());
        };
        let parent = parents.iter().try_fold(value, |value, part| match part {
            Part::Name(name) => value.get_mut(name.as_str()),
            Part::Index(index) => value.get_mut(*index),
        });
        match (parent.ok_or_else(nowhere)?, last) {
            (Value::Object(all), Part::Name(name)) => {
                all.insert(name.clone(), self.value.clone());
            }
            (Value::Array(all), Part::Index(index)) => {
                *all.get_mut(*index).ok_or_else(nowhere)? = self.value.clone();
            }
            _ => return Err(nowhere()),
        }
        Ok(())
    }
}

impl Condition {
    /// Whether it holds of this value.
    pub fn holds(&self, value: &Value) -> bool {
        let found = self.path.find(value).unwrap_or(&Value::Null);
        let order = compare(found, &self.value);
        match self.op {
            Op::Equal => equal(found, &self.value),
            Op::NotEqual => !equal(found, &self.value),
            Op::Less => order == Some(Ordering::Less),
            Op::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Op::Greater => order == Some(Ordering::Greater),
            Op::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Path {
    /// What is there.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, part| match part {
            Part::Name(name) => value.get(name.as_str()),
            Part::Index(index) => value.get(*index),
        })
    }

    fn pointer(&self) -> String {
        let part = |part: &Part| match part {
            Part::Name(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Part::Index(index) => format!("/{index}"),
        };
        self.0.iter().map(part).collect()
    }

    /// The path that a text begins with, and the rest of the text.
    fn begin(text: &str) -> Result<(Self, &str), SyntaxError> {
        let wrong = |wanted| SyntaxError { text: text.to_owned(), wanted };
        let mut rest = text.trim_start().strip_prefix('$').ok_or(wrong("a path begins with $"))?;
        let mut parts = vec![];
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
                let end = after.find(|letter| !inside(letter)).unwrap_or(after.len());
                if end == 0 {
                    return Err(wrong("a dot of a path is followed by a name"));
                }
                parts.push(Part::Name(after[..end].to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let (part, after) = bracket(after).ok_or(wrong(
                    "brackets of a path hold a number or a text in quotes, [0] or [\"a b\"]",
                ))?;
                parts.push(part);
                rest = after;
            } else {
                return Ok((Self(parts), rest));
            }
            if parts.len() > PARTS_MAX {
                return Err(wrong("a path has at most 32 parts"));
            }
        }
    }
}

/// What stands in brackets, after the opening one, and what follows the closing one.
fn bracket(text: &str) -> Option<(Part, &str)> {
    if !text.starts_with('"') {
        let (index, rest) = text.split_once(']')?;
        return Some((Part::Index(index.parse().ok()?), rest));
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = values.next()?.ok()?;
    let rest = text[values.byte_offset()..].strip_prefix(']')?;
    Some((Part::Name(name), rest))
}

/// JSON, or else a plain text.
fn value(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text.trim()))
}

/// Whole numbers exactly, others as they are nearest.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => match one.as_i64().zip(other.as_i64()) {
            Some((one, other)) => Some(one.cmp(&other)),
            None => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    compare(one, other).map_or_else(|| one == other, Ordering::is_eq)
}

impl FromStr for Path {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        match Self::begin(text)? {
            (path, rest) if rest.trim().is_empty() => Ok(path),
            _ => Err(SyntaxError { text: text.to_owned(), wanted: "give a path like $.a.b[0].c" }),
        }
    }
}

impl FromStr for Edit {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let wanted = "give a path, `=` and a value, like $.a.b=1";
        let (path, rest) = Path::begin(text)?;
        let given = rest.trim_start().strip_prefix('=').filter(|given| !given.starts_with('='));
        let given = given.ok_or_else(|| SyntaxError { text: text.to_owned(), wanted })?;
        Ok(Self { path, value: value(given) })
    }
}

impl FromStr for Condition {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let wanted = "give a path, one of == != < <= > >=, and a value, like $.a>=1";
        let (path, rest) = Path::begin(text)?;
        let rest = rest.trim_start();
        // The longer signs first: they begin like the shorter ones.
        for op in [Op::Equal, Op::NotEqual, Op::AtMost, Op::AtLeast, Op::Less, Op::Greater] {
            if let Some(given) = rest.strip_prefix(op.sign()) {
                return Ok(Self { path, op, value: value(given) });
            }
        }
        Err(SyntaxError { text: text.to_owned(), wanted })
    }
}

impl Op {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl TryFrom<String> for Path {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|part| match part {
            Part::Index(index) => write!(f, "[{index}]"),
            Part::Name(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                write!(f, ".{name}")
            }
            Part::Name(name) => write!(f, "[{}]", Value::from(name.as_str())),
        })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.value)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.path, self.op.sign(), self.value)
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
