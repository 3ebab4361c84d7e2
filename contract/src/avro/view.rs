//! A datum as JSON and back, by its schema: for people who look at a record and repair it. Reading
//! is as strict as everywhere here, and what was read is written again to the same value. Values
//! stand plain: bytes as one character each, a branch of a union by its name only where the value
//! alone would be taken for another branch. Never used where services read or write facts.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordField, ResolvedSchema, UnionSchema};
use serde_json::{Map, Number, Value};

use super::read::{DecodeError, Reader};
use super::resolve::{ResolveError, parse};
use super::shape::{Shape, branch_name, shape};
use super::skim::skim;
use super::write::Writer;

/// JSON for the data of one schema.
#[derive(Debug)]
pub struct JsonView {
    schema: Schema,
}

/// A JSON value that does not fit the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", if pointer.is_empty() { "the whole" } else { pointer.as_str() })]
pub struct Misfit {
    /// JSON pointer to the value; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

type Names<'s> = HashMap<Name, &'s Schema>;

impl JsonView {
    /// Takes a schema that is fit to read with.
    ///
    /// # Errors
    /// As [`check_writer_schema`](super::check_writer_schema).
    pub fn new(schema_json: &str) -> Result<Self, ResolveError> {
        let (schema, _) = parse(schema_json)?;
        ResolvedSchema::try_from(&schema).map_err(|e| ResolveError::Syntax(e.to_string()))?;
        Ok(Self { schema })
    }

    /// Reads exactly one datum.
    ///
    /// # Errors
    /// Any fault in the bytes.
    pub fn read(&self, datum: &[u8]) -> Result<Value, DecodeError> {
        let names = self.names();
        skim(&self.schema, &names, datum)?;
        Read { input: Reader::new(datum)?, names: &names }.value(&self.schema)
    }

    /// Writes a value as a datum, within every limit of reading.
    ///
    /// # Errors
    /// Names the first place that does not fit.
    pub fn write(&self, value: &Value) -> Result<Vec<u8>, Misfit> {
        let names = self.names();
        let mut datum = Vec::new();
        Write { names: &names }.value(&self.schema, value, &mut datum)?;
        skim(&self.schema, &names, &datum).map_err(|error| misfit(error.to_string()))?;
        Ok(datum)
    }

    fn names(&self) -> Names<'_> {
        let resolved = ResolvedSchema::try_from(&self.schema);
        resolved.expect("it was resolved when the view was made").get_names().clone()
    }
}

struct Read<'a> {
    input: Reader<'a>,
    names: &'a Names<'a>,
}

impl Read<'_> {
    fn value(&mut self, schema: &Schema) -> Result<Value, DecodeError> {
        Ok(match shape(schema) {
            Shape::Null => Value::Null,
            Shape::Boolean => self.input.boolean()?.into(),
            Shape::Int => self.input.int()?.into(),
            Shape::Long => self.input.long()?.into(),
            Shape::Float => {
                let bytes = self.input.fixed(4)?.try_into().expect("four bytes were asked for");
                number(f32::from_le_bytes(bytes).into())
            }
            Shape::Double => {
                let bytes = self.input.fixed(8)?.try_into().expect("eight bytes were asked for");
                number(f64::from_le_bytes(bytes))
            }
            Shape::String | Shape::Uuid => self.input.string()?.into(),
            Shape::Bytes => characters(self.input.bytes()?),
            Shape::Fixed(size) => characters(self.input.fixed(size)?),
            Shape::Enum(symbols) => symbols[self.input.symbol(symbols.len())?].clone().into(),
            Shape::Array(items) => {
                let mut all = vec![];
                self.blocks(|read| {
                    all.push(read.value(items)?);
                    Ok(())
                })?;
                all.into()
            }
            Shape::Map(types) => {
                let mut all = Map::new();
                self.blocks(|read| {
                    let key = read.input.string()?.to_owned();
                    all.insert(key, read.value(types)?);
                    Ok(())
                })?;
                all.into()
            }
            Shape::Union(union) => {
                let branch = self.input.symbol(union.variants().len())?;
                let value = self.value(&union.variants()[branch])?;
                let alone = Write { names: self.names }.branch(union, &value);
                match alone {
                    Ok((found, _)) if found == branch => value,
                    _ => Map::from_iter([(branch_name(&union.variants()[branch]), value)]).into(),
                }
            }
            Shape::Record(fields) => {
                let mut all = Map::new();
                for field in fields {
                    all.insert(field.name.clone(), self.value(&field.schema)?);
                }
                all.into()
            }
            Shape::Ref(name) => match self.names.get(name) {
                Some(schema) => self.value(schema)?,
                None => return Err(self.input.invalid("schema names an unknown type")),
            },
        })
    }

    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut seen = 0;
        loop {
            let (count, end) = self.input.block(seen)?;
            if count == 0 {
                return Ok(());
            }
            (0..count).try_for_each(|_| item(self))?;
            self.input.block_end(end)?;
            seen += count;
        }
    }
}

struct Write<'a> {
    names: &'a Names<'a>,
}

impl Write<'_> {
    fn value(&self, schema: &Schema, value: &Value, out: &mut Vec<u8>) -> Result<(), Misfit> {
        let wanted = |what: &str| misfit(format!("{what} is wanted, found {}", short(value)));
        match shape(schema) {
            Shape::Null => value.as_null().ok_or_else(|| wanted("null"))?,
            Shape::Boolean => {
                Writer::new(out).boolean(value.as_bool().ok_or_else(|| wanted("true or false"))?);
            }
            Shape::Int => {
                let int = value.as_i64().filter(|value| i32::try_from(*value).is_ok());
                Writer::new(out).long(int.ok_or_else(|| wanted("a whole number of 32 bits"))?);
            }
            Shape::Long => {
                let long = value.as_i64().ok_or_else(|| wanted("a whole number of 64 bits"))?;
                Writer::new(out).long(long);
            }
            Shape::Float => {
                let single = single(value).ok_or_else(|| wanted("a number of 32 bits"))?;
                out.extend_from_slice(&single.to_le_bytes());
            }
            Shape::Double => {
                let double = float(value).ok_or_else(|| wanted("a number"))?;
                out.extend_from_slice(&double.to_le_bytes());
            }
            Shape::String => {
                Writer::new(out).string(value.as_str().ok_or_else(|| wanted("a text"))?);
            }
            Shape::Uuid => {
                let uuid = value.as_str().and_then(|text| crate::parse_uuid("it", text).ok());
                Writer::new(out).uuid(uuid.ok_or_else(|| wanted("a UUID"))?);
            }
            Shape::Bytes => {
                let wrong = || wanted("a text with one character for each byte");
                Writer::new(out).bytes(&bytes(value).ok_or_else(wrong)?);
            }
            Shape::Fixed(size) => {
                let bytes = bytes(value).filter(|bytes| bytes.len() == size);
                let wrong = || wanted(&format!("a text of {size} characters, one for each byte"));
                out.extend(bytes.ok_or_else(wrong)?);
            }
            Shape::Enum(symbols) => {
                let symbol = value.as_str().and_then(|text| symbols.iter().position(|s| s == text));
                let wrong = || wanted(&format!("one of {}", symbols.join(", ")));
                Writer::new(out).long(symbol.ok_or_else(wrong)? as i64);
            }
            Shape::Array(items) => {
                let all = value.as_array().ok_or_else(|| wanted("a list"))?;
                let each = all.iter().enumerate();
                self.block(each.map(|(n, value)| (n.to_string(), value)), items, false, out)?;
            }
            Shape::Map(types) => {
                let all = value.as_object().ok_or_else(|| wanted("an object"))?;
                let each = all.iter().map(|(key, value)| (key.clone(), value));
                self.block(each, types, true, out)?;
            }
            Shape::Union(union) => {
                let (branch, datum) = self.branch(union, value)?;
                Writer::new(out).long(branch as i64);
                out.extend(datum);
            }
            Shape::Record(fields) => {
                let all = value.as_object().ok_or_else(|| wanted("an object"))?;
                self.record(fields, all, out)?;
            }
            Shape::Ref(name) => match self.names.get(name) {
                Some(schema) => self.value(schema, value, out)?,
                None => return Err(misfit(format!("the schema names an unknown type {name}"))),
            },
        }
        Ok(())
    }

    fn record(
        &self,
        fields: &[RecordField],
        all: &Map<String, Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        let known = |key: &&String| fields.iter().any(|field| field.name == **key);
        if let Some(other) = all.keys().find(|key| !known(key)) {
            return Err(misfit("the schema has no such field").within(other));
        }
        for field in fields {
            let missing = || misfit("is missing").within(&field.name);
            let value = all.get(&field.name).ok_or_else(missing)?;
            self.value(&field.schema, value, out).map_err(|error| error.within(&field.name))?;
        }
        Ok(())
    }

    /// Items as one block and its end.
    fn block<'v>(
        &self,
        items: impl ExactSizeIterator<Item = (String, &'v Value)>,
        schema: &Schema,
        keyed: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        if items.len() > 0 {
            Writer::new(out).long(items.len() as i64);
        }
        for (key, value) in items {
            if keyed {
                Writer::new(out).string(&key);
            }
            self.value(schema, value, out).map_err(|error| error.within(&key))?;
        }
        Writer::new(out).long(0);
        Ok(())
    }

    /// The branch that takes this value, by its name or as the first that fits, and its datum.
    fn branch(&self, union: &UnionSchema, value: &Value) -> Result<(usize, Vec<u8>), Misfit> {
        let variants = union.variants();
        let write = |branch: usize, value: &Value| {
            let mut out = vec![];
            self.value(&variants[branch], value, &mut out).map(|()| (branch, out))
        };
        if let Some((name, inner)) = value.as_object().and_then(only) {
            let named = variants.iter().position(|variant| branch_name(variant) == *name);
            if let Some(Ok(found)) = named.map(|branch| write(branch, inner)) {
                return Ok(found);
            }
        }
        let mut faults = vec![];
        for (branch, variant) in variants.iter().enumerate() {
            match write(branch, value) {
                Ok(found) => return Ok(found),
                Err(_) if matches!(variant, Schema::Null) => {}
                Err(error) => faults.push(error),
            }
        }
        let names: Vec<String> = variants.iter().map(branch_name).collect();
        match <[Misfit; 1]>::try_from(faults) {
            Ok([single]) => Err(single),
            Err(_) => Err(misfit(format!("{} fits none of {}", short(value), names.join(", ")))),
        }
    }
}

impl Misfit {
    fn within(mut self, part: &str) -> Self {
        let part = part.replace('~', "~0").replace('/', "~1");
        self.pointer = format!("/{part}{}", self.pointer);
        self
    }
}

fn misfit(detail: impl Into<String>) -> Misfit {
    Misfit { pointer: String::new(), detail: detail.into() }
}

/// A value as it stands in a sentence.
fn short(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        plain => plain.to_string(),
    }
}

/// JSON has no number for what is none.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

fn float(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

/// A finite number does not become an infinite one.
fn single(value: &Value) -> Option<f32> {
    let double = float(value)?;
    let single = double as f32;
    (single.is_finite() || !double.is_finite()).then_some(single)
}

fn characters(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into()
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str()?.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}

fn only(all: &Map<String, Value>) -> Option<(&String, &Value)> {
    all.iter().next().filter(|_| all.len() == 1)
}
