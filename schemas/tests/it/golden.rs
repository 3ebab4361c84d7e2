//! Golden vectors: the bytes of every event never change. Both implementations of Avro read and
//! write them, and mean the same.

use std::collections::BTreeSet;
use std::fs;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::kinds::{self, Kind, avro, here};

pub(crate) struct Golden {
    pub(crate) file: String,
    pub(crate) kind: Kind,
    pub(crate) json: Json,
    pub(crate) datum: Vec<u8>,
}

#[derive(Deserialize)]
struct File {
    json: Json,
    hex: String,
}

/// Every file `golden/<Event>[.<variant>].json`.
pub(crate) fn vectors() -> Vec<Golden> {
    let mut vectors = Vec::new();
    for entry in fs::read_dir(here().join("golden")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let event = file.split('.').next().unwrap();
        let kind = kinds::all().into_iter().find(|kind| kind.name.ends_with(&format!(".{event}")));
        let kind = kind.unwrap_or_else(|| panic!("{file} is named after no event"));
        let File { json, hex } = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        vectors.push(Golden { file, kind, json, datum: bytes(&hex) });
    }
    vectors
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn every_event_has_a_golden_vector() {
    let covered: BTreeSet<_> = vectors().iter().map(|vector| vector.kind.name).collect();
    let known: BTreeSet<_> = schemas::EVENTS.iter().map(|event| event.name).collect();
    assert_eq!(covered, known);
}

#[test]
fn our_codec_reproduces_the_golden_vectors() {
    for Golden { file, kind, json, datum } in vectors() {
        assert_eq!((kind.encode)(json.clone()), datum, "{file}");
        assert_eq!((kind.decode)(&datum), Ok(json), "{file}");
    }
}

#[test]
fn another_implementation_reproduces_the_golden_vectors() {
    for Golden { file, kind, json, datum } in vectors() {
        let schema = avro(kind.schema);
        let expected = value(&schema, &schema, &json);
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        assert_eq!(reader.read_value(&mut datum.as_slice()).unwrap(), expected, "{file}");
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        assert_eq!(writer.write_value_to_vec(expected).unwrap(), datum, "{file}");
    }
}

/// The human form as a value of the other implementation.
fn value(root: &Schema, schema: &Schema, json: &Json) -> Value {
    let text = || json.as_str().unwrap().to_owned();
    match schema {
        Schema::String => Value::String(text()),
        Schema::Uuid(_) => Value::Uuid(text().parse().unwrap()),
        Schema::Long => Value::Long(json.as_i64().unwrap()),
        Schema::TimestampMicros => {
            let at: Timestamp = serde_json::from_value(json.clone()).unwrap();
            Value::TimestampMicros(at.micros())
        }
        Schema::Boolean => Value::Boolean(json.as_bool().unwrap()),
        Schema::Array(array) => {
            let items = json.as_array().unwrap();
            Value::Array(items.iter().map(|item| value(root, &array.items, item)).collect())
        }
        Schema::Union(union) => {
            let branch = usize::from(!json.is_null());
            let inner = match branch {
                0 => Value::Null,
                _ => value(root, &union.variants()[branch], json),
            };
            Value::Union(branch.try_into().unwrap(), Box::new(inner))
        }
        Schema::Enum(symbols) => {
            let index = symbols.symbols.iter().position(|symbol| *symbol == text()).unwrap();
            Value::Enum(index.try_into().unwrap(), text())
        }
        Schema::Record(record) if record.name.to_string() == "retail.Money" => money(json),
        Schema::Record(record) => {
            assert_eq!(record.fields.len(), json.as_object().unwrap().len(), "{json}");
            let field = |name: &str, schema| (name.to_owned(), value(root, schema, &json[name]));
            Value::Record(record.fields.iter().map(|f| field(&f.name, &f.schema)).collect())
        }
        Schema::Ref { name } => {
            let names = ResolvedSchema::try_from(root).unwrap();
            value(root, names.get_names()[name], json)
        }
        other => panic!("{other:?} is in no contract"),
    }
}

/// Minor units are the decimal digits without the point.
fn money(json: &Json) -> Value {
    let minor = json["amount"].as_str().unwrap().replace('.', "").parse().unwrap();
    let currency = json["currency"].as_str().unwrap().to_owned();
    Value::Record(vec![
        ("amount".into(), Value::Long(minor)),
        ("currency".into(), Value::String(currency)),
    ])
}
