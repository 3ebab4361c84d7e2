//! Writer schemas: which are looked at, and how a datum of another version becomes one of ours.

use millrace_contract::{
    DecodeError, Resolution, ResolveError, Writer, check_writer_schema, record_name,
};
use serde_json::{Value, json};

fn record(fields: Value) -> String {
    json!({"type": "record", "name": "Fact", "namespace": "test", "fields": fields}).to_string()
}

fn field(name: &str, ty: Value) -> Value {
    json!({"name": name, "type": ty})
}

#[test]
fn a_record_is_named_in_full() {
    let schema = record(json!([field("a", json!("long"))]));
    assert_eq!(record_name(&schema), Ok("test.Fact".into()));
    assert_eq!(check_writer_schema(&schema), Ok(()));
}

#[test]
fn recursive_schemas_are_refused() {
    let itself = json!(["null", "test.Fact"]);
    let inner = json!({"type": "record", "name": "Inner", "fields": [field("up", itself.clone())]});
    let twice = json!({"type": "array", "items": {"type": "map", "values": "Fact"}});
    for ty in [itself, inner, twice] {
        let schema = record(json!([field("next", ty)]));
        let refusal = Err(ResolveError::Recursive("test.Fact".into()));
        assert_eq!(check_writer_schema(&schema), refusal, "{schema}");
        let ours = record(json!([]));
        assert!(Resolution::new(&schema, &ours).is_err());
    }
}

#[test]
fn a_type_used_twice_is_not_recursive() {
    let inner = json!({"type": "record", "name": "Inner", "fields": [field("x", json!("long"))]});
    let schema = record(json!([field("a", inner), field("b", json!("test.Inner"))]));
    assert_eq!(check_writer_schema(&schema), Ok(()));
}

#[test]
fn schemas_over_the_limits_are_refused() {
    let fields = |count: usize| -> Value {
        (0..count).map(|index| field(&format!("f{index}"), json!("null"))).collect()
    };
    assert_eq!(check_writer_schema(&record(fields(500))), Ok(()));
    assert_eq!(check_writer_schema(&record(fields(501))), Err(ResolveError::TooManyFields));
    let inner = json!({"type": "record", "name": "Inner", "fields": fields(300)});
    let nested = record(json!([
        field("a", inner),
        field(
            "b",
            json!({
        "type": "record", "name": "Other", "fields": fields(300)})
        )
    ]));
    assert_eq!(check_writer_schema(&nested), Err(ResolveError::TooManyFields));
    let parts = r#"{"":0},"#.repeat(10_000) + "0";
    let bomb = record(json!([])).replace("[]", &format!("[],\"doc\":[{parts}]"));
    assert_eq!(check_writer_schema(&bomb), Err(ResolveError::TooManyParts));
    let padded = " ".repeat(256 * 1024) + &record(json!([]));
    assert_eq!(check_writer_schema(&padded), Err(ResolveError::TooLarge(padded.len())));
}

#[test]
fn what_is_not_the_schema_of_a_record_is_refused() {
    for text in ["", "{", "{\"type\":\"record\"}", "nonsense", "<html></html>"] {
        assert!(matches!(check_writer_schema(text), Err(ResolveError::Syntax(_))), "{text}");
    }
    for text in ["\"long\"", "[]", "{\"type\":\"array\",\"items\":\"long\"}"] {
        assert_eq!(check_writer_schema(text), Err(ResolveError::NotARecord), "{text}");
    }
    let deep = "[".repeat(9_000);
    assert!(matches!(check_writer_schema(&deep), Err(ResolveError::Syntax(_))));
}

#[test]
fn a_resolution_is_between_versions_of_one_record() {
    let ours = record(json!([]));
    let theirs = ours.replace("Fact", "Other").replace('}', ",\"aliases\":[\"test.Fact\"]}");
    let refusal =
        ResolveError::OtherRecord { wanted: "test.Fact".into(), found: "test.Other".into() };
    assert_eq!(Resolution::new(&theirs, &ours).unwrap_err(), refusal);
}

#[test]
fn fields_are_found_by_name_and_numbers_widened() {
    let theirs = record(json!([
        field("new", json!({"type": "map", "values": "double"})),
        field("b", json!("int")),
        field("a", json!("string")),
    ]));
    let ours = record(json!([
        field("a", json!("string")),
        field("b", json!("long")),
        {"name": "c", "type": ["null", "string"], "default": null},
    ]));
    let resolution = Resolution::new(&theirs, &ours).unwrap();
    let mut datum = Vec::new();
    let mut out = Writer::new(&mut datum);
    out.long(0);
    out.long(-7);
    out.string("text");
    let mut wanted = Vec::new();
    let mut out = Writer::new(&mut wanted);
    out.string("text");
    out.long(-7);
    out.long(0);
    assert_eq!(resolution.translate(&datum), Ok(wanted));
    for length in 0..datum.len() {
        let cut = resolution.translate(&datum[..length]);
        assert!(matches!(cut, Err(DecodeError::Truncated(_))), "{length}: {cut:?}");
    }
    datum.push(0);
    assert_eq!(resolution.translate(&datum), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_value_without_a_counterpart_is_refused() {
    let ours = record(json!([field("a", json!("long"))]));
    for ty in [json!("string"), json!(["null", "long"]), json!({"type": "array", "items": "long"})]
    {
        let theirs = record(json!([field("a", ty)]));
        let resolved = Resolution::new(&theirs, &ours).unwrap().translate(&[0]);
        assert!(matches!(resolved, Err(DecodeError::Unresolved(_))), "{theirs}: {resolved:?}");
    }
    let empty = Resolution::new(&record(json!([])), &ours).unwrap().translate(&[]);
    assert!(matches!(empty, Err(DecodeError::Unresolved(_))), "{empty:?}");
}

#[test]
fn every_kind_of_value_is_walked_as_it_is_read() {
    let fixed = |size: usize| json!({"type": "fixed", "name": format!("F{size}"), "size": size});
    let logical = |base: Value, logical: &str| {
        let mut ty = if base.is_object() { base } else { json!({"type": base}) };
        ty["logicalType"] = json!(logical);
        ty["precision"] = json!(4);
        ty
    };
    let long = [0x02].as_slice();
    for (ty, datum) in [
        (json!("null"), [].as_slice()),
        (json!("float"), &[0, 0, 0x80, 0x3f]),
        (json!("double"), &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        (fixed(3), &[1, 2, 3]),
        (logical(fixed(16), "uuid"), &[7; 16]),
        (logical(fixed(12), "duration"), &[1; 12]),
        (logical(fixed(8), "decimal"), &[0, 0, 0, 0, 0, 0, 1, 2]),
        (logical(json!("bytes"), "decimal"), &[0x04, 1, 2]),
        (logical(json!("int"), "date"), long),
        (logical(json!("int"), "time-millis"), long),
        (logical(json!("long"), "time-micros"), long),
        (logical(json!("long"), "timestamp-millis"), long),
        (logical(json!("long"), "timestamp-micros"), long),
        (logical(json!("long"), "timestamp-nanos"), long),
        (logical(json!("long"), "local-timestamp-millis"), long),
        (logical(json!("long"), "local-timestamp-micros"), long),
        (json!({"type": "map", "values": "boolean"}), &[0x02, 0x02, b'k', 1, 0]),
        (json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}), long),
    ] {
        let schema = record(json!([field("a", ty)]));
        let resolution = Resolution::new(&schema, &schema).unwrap();
        assert_eq!(resolution.translate(datum).as_deref(), Ok(datum), "{schema}");
        if !datum.is_empty() {
            let cut = resolution.translate(&datum[..datum.len() - 1]);
            assert!(matches!(cut, Err(DecodeError::Truncated(_))), "{schema}: {cut:?}");
        }
    }
}

#[test]
fn a_few_bytes_never_become_many_values() {
    let nulls = json!({"type": "array", "items": "null"});
    let arrays = (0..60).fold(nulls, |items, _| json!({"type": "array", "items": items}));
    let laughs = (0..38).fold(json!("null"), |inner, depth| {
        let other = if depth == 0 { json!("null") } else { json!(format!("R{}", depth - 1)) };
        json!({"type": "record", "name": format!("R{depth}"),
            "fields": [field("a", inner), field("b", other)]})
    });
    let ours = record(json!([]));
    for (ty, datum) in [
        (arrays.clone(), vec![0xd0; 1000]),
        (arrays, [0xd0, 0x0f].repeat(100)),
        (laughs, Vec::new()),
        (json!("string"), vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        let resolution = Resolution::new(&record(json!([field("bomb", ty)])), &ours).unwrap();
        let result = resolution.translate(&datum);
        let refused =
            matches!(result, Err(DecodeError::Invalid { .. } | DecodeError::Truncated(_)));
        assert!(refused, "{result:?}");
    }
}

#[test]
fn values_that_take_no_bytes_are_counted() {
    // A thousand records of so many nulls each, in three bytes.
    let translate = |nulls: usize| {
        let fields: Value = (0..nulls).map(|i| field(&format!("f{i}"), json!("null"))).collect();
        let item = json!({"type": "record", "name": "Item", "fields": fields});
        let schema = record(json!([field("all", json!({"type": "array", "items": item}))]));
        Resolution::new(&schema, &schema).unwrap().translate(&[0xd0, 0x0f, 0x00])
    };
    assert_eq!(translate(15), Ok(vec![0xd0, 0x0f, 0x00]));
    let what = "datum has too many values";
    assert_eq!(translate(25), Err(DecodeError::Invalid { what, at: 2 }));
}
