//! On values drawn at random our codec and another implementation of Avro agree byte for byte.

use apache_avro::Schema;
use apache_avro::schema::{Name, ResolvedSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemas::Timestamp;
use std::collections::HashMap;

use crate::kinds::{self, avro};

#[test]
fn any_value_survives_both_codecs_and_the_human_form() {
    for kind in kinds::all() {
        let schema = avro(kind.schema);
        let names = ResolvedSchema::try_from(&schema).unwrap();
        let values = any_value(&schema, "", names.get_names());
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let mut runner = TestRunner::new(Config::with_cases(64));
        let result = runner.run(&values, |value| {
            let datum = writer.write_value_to_vec(value).unwrap();
            let json = (kind.decode)(&datum)?;
            prop_assert_eq!((kind.encode)(json), datum);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{}: {error}", kind.name));
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    for kind in kinds::all() {
        let mut runner = TestRunner::new(Config::with_cases(256));
        let result = runner.run(&any::<Vec<u8>>(), |bytes| {
            if let Ok(json) = (kind.decode)(&bytes) {
                let datum = (kind.encode)(json.clone());
                prop_assert_eq!((kind.decode)(&datum)?, json);
            }
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{}: {error}", kind.name));
    }
}

fn any_value(schema: &Schema, field: &str, names: &HashMap<Name, &Schema>) -> BoxedStrategy<Value> {
    match schema {
        Schema::String => text(field).prop_map(Value::String).boxed(),
        Schema::Uuid(_) => any::<u128>().prop_map(|id| Value::Uuid(uuid(id))).boxed(),
        Schema::Long => any::<i64>().prop_map(Value::Long).boxed(),
        Schema::TimestampMicros => moment().prop_map(Value::TimestampMicros).boxed(),
        Schema::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Schema::Array(array) => {
            let items = any_value(&array.items, field, names);
            prop::collection::vec(items, 0..4).prop_map(Value::Array).boxed()
        }
        Schema::Union(union) => {
            let some = any_value(&union.variants()[1], field, names);
            prop_oneof![Just((0, Value::Null)), some.prop_map(|some| (1, some))]
                .prop_map(|(branch, inner)| Value::Union(branch, Box::new(inner)))
                .boxed()
        }
        Schema::Enum(symbols) => {
            let symbols: Vec<_> =
                (0..).zip(&symbols.symbols).map(|(i, s)| Value::Enum(i, s.clone())).collect();
            prop::sample::select(symbols).boxed()
        }
        Schema::Record(record) => record
            .fields
            .iter()
            .map(|f| {
                let name = f.name.clone();
                any_value(&f.schema, &f.name, names).prop_map(move |value| (name.clone(), value))
            })
            .collect::<Vec<_>>()
            .prop_map(Value::Record)
            .boxed(),
        Schema::Ref { name } => any_value(names[name], field, names),
        other => panic!("{other:?} is in no contract"),
    }
}

fn text(field: &str) -> BoxedStrategy<String> {
    match field {
        "currency" => prop::sample::select(vec!["CAD", "JPY", "TND"]).prop_map_into().boxed(),
        "sku" | "customer_id" | "store_id" => "[A-Za-z0-9._-]{1,64}".boxed(),
        _ => "\\PC{0,40}".boxed(),
    }
}

/// Any moment that has a form of text.
fn moment() -> impl Strategy<Value = i64> {
    let limit = |text: &str| text.parse::<Timestamp>().unwrap().micros();
    limit("0001-01-01T00:00:00Z")..=limit("9999-12-31T23:59:59.999999Z")
}

fn uuid(id: u128) -> millrace_contract::uuid::Uuid {
    millrace_contract::uuid::Uuid::from_u128(id)
}
