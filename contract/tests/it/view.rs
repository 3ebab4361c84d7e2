//! A datum as JSON comes back as the same bytes, and what does not fit is named by its place.

use millrace_contract::{JsonView, Writer};
use proptest::prelude::*;
use serde_json::{Value, json};

const EVERYTHING: &str = r#"{"type":"record","name":"a.All","fields":[
    {"name":"flag","type":"boolean"},
    {"name":"small","type":"int"},
    {"name":"large","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"half","type":"float"},
    {"name":"full","type":"double"},
    {"name":"text","type":["null","string"],"default":null},
    {"name":"raw","type":"bytes"},
    {"name":"either","type":["null","string","bytes",{"type":"map","values":"long"}]},
    {"name":"hash","type":{"type":"fixed","name":"a.Hash","size":3}},
    {"name":"kind","type":{"type":"enum","name":"a.Kind","symbols":["A","B"]}},
    {"name":"id","type":{"type":"string","logicalType":"uuid"}},
    {"name":"parts","type":{"type":"array","items":{"type":"record","name":"a.Part","fields":[
        {"name":"n","type":"long"},{"name":"of","type":"a.Kind"}]}}},
    {"name":"last","type":["null","a.Part"]}
]}"#;

fn whole() -> Value {
    json!({
        "flag": true, "small": -3, "large": 1_700_000_000_000_000_i64, "half": 0.5, "full": "NaN",
        "text": "é", "raw": "\u{0}ÿ", "either": {"bytes": "x"}, "hash": "abc", "kind": "B",
        "id": "0190b2e0-0000-7000-8000-000000000000",
        "parts": [{"n": 1, "of": "A"}, {"n": 2, "of": "B"}], "last": null,
    })
}

fn view() -> JsonView {
    JsonView::new(EVERYTHING).expect("it is a schema")
}

#[test]
fn every_kind_of_value_comes_back() {
    let datum = view().write(&whole()).expect("it fits");
    assert_eq!(view().read(&datum), Ok(whole()));
    for either in [json!(null), json!("x"), json!({"bytes": "x"}), json!({"a": 1, "b": 2})] {
        let mut value = whole();
        value["either"] = either;
        let datum = view().write(&value).expect("it fits");
        assert_eq!(view().read(&datum), Ok(value));
    }
}

#[test]
fn a_map_that_looks_like_a_named_branch_is_named() {
    let mut value = whole();
    value["either"] = json!({"map": {"string": 1}});
    let datum = view().write(&value).expect("it fits");
    assert_eq!(view().read(&datum).expect("it was written")["either"], json!({"string": 1}));
    let schema = r#"{"type":"record","name":"a.A","fields":[{"name":"u",
        "type":["string",{"type":"map","values":"string"}]}]}"#;
    let view = JsonView::new(schema).expect("it is a schema");
    let value = json!({"u": {"map": {"string": "x"}}});
    let datum = view.write(&value).expect("it fits");
    assert_eq!(view.read(&datum), Ok(value));
}

#[test]
fn what_does_not_fit_is_named_by_its_place() {
    for (pointer, wrong, told) in [
        ("/flag", json!(1), "true or false is wanted, found 1"),
        ("/small", json!(i64::from(i32::MAX) + 1), "32 bits"),
        ("/large", json!(1.5), "64 bits"),
        ("/half", json!(1e300), "a number of 32 bits is wanted"),
        ("/full", json!("many"), "a number is wanted"),
        ("/text", json!(7), "a text is wanted, found 7"),
        ("/raw", json!("€"), "one character for each byte"),
        ("/either", json!(true), "true fits none of null, string, bytes, map"),
        ("/hash", json!("ab"), "3 characters"),
        ("/kind", json!("C"), "one of A, B is wanted, found \"C\""),
        ("/id", json!("no"), "a UUID"),
        ("/parts", json!({}), "a list is wanted, found an object"),
        ("/parts/1", json!({"n": 1}), "of: is missing"),
        ("/parts/1/n", json!("x"), "64 bits"),
        ("/last", json!({"n": 1, "of": "A", "m": 0}), "m: the schema has no such field"),
    ] {
        let mut value = whole();
        *value.pointer_mut(pointer).expect("it is there") = wrong;
        let told_by = view().write(&value).expect_err(pointer).to_string();
        assert!(told_by.starts_with(pointer) && told_by.contains(told), "{pointer}: {told_by}");
    }
    assert_eq!(view().write(&json!([])).expect_err("no record").pointer, "");
    let mut long = whole();
    long["raw"] = "x".repeat(70_000).into();
    assert!(view().write(&long).is_err(), "what could not be read is not written");
}

#[test]
fn bytes_that_are_no_datum_are_refused() {
    let datum = view().write(&whole()).expect("it fits");
    assert!((0..datum.len()).all(|end| view().read(&datum[..end]).is_err()));
    assert!(view().read(&[datum.as_slice(), &[0]].concat()).is_err());
    let recursive =
        r#"{"type":"record","name":"a.N","fields":[{"name":"n","type":["null","a.N"]}]}"#;
    assert!(JsonView::new(recursive).is_err());
}

proptest! {
    #[test]
    fn a_value_of_any_numbers_and_texts_keeps_its_bytes(
        flag: bool, small: i32, large: i64, half: f32, full: f64, text: Option<String>,
        raw: Vec<u8>, hash: [u8; 3], parts in prop::collection::vec((any::<i64>(), 0..2_i64), 0..9),
    ) {
        let mut datum = vec![];
        let mut out = Writer::new(&mut datum);
        out.boolean(flag);
        out.long(small.into());
        out.long(large);
        datum.extend(half.to_le_bytes());
        datum.extend(full.to_le_bytes());
        let mut out = Writer::new(&mut datum);
        out.optional(text.as_ref(), |out, text| out.string(text));
        out.bytes(&raw);
        out.long(2);
        out.bytes(&raw);
        datum.extend(hash);
        let mut out = Writer::new(&mut datum);
        out.long(1);
        out.string("0190b2e0-0000-7000-8000-000000000000");
        out.array(&parts, |out, (n, of)| {
            out.long(*n);
            out.long(*of);
        });
        out.long(0);
        let value = view().read(&datum).expect("it is a datum");
        let again = view().write(&value).expect("it was read");
        prop_assume!(!half.is_nan() && !full.is_nan());
        prop_assert_eq!(again, datum);
    }
}
