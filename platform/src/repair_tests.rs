//! Paths, conditions and edits, and that a repaired payload is a payload of the same schema.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"a.Order","fields":[
    {"name":"status","type":"string"},
    {"name":"total","type":{"type":"record","name":"a.Money","fields":[
        {"name":"amount","type":"long"},{"name":"currency","type":"string"}]}},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"a.Line","fields":[
        {"name":"sku","type":"string"},{"name":"note","type":["null","string"]}]}}}]}"#;

fn order() -> Value {
    json!({
        "status": "pending",
        "total": { "amount": 5, "currency": "CAD" },
        "lines": [{ "sku": "p-1", "note": null }, { "sku": "p-2", "note": "blue" }],
    })
}

fn payload(value: &Value) -> Vec<u8> {
    frame(7, &JsonView::new(SCHEMA).unwrap().write(value).unwrap())
}

fn repair(set: &[&str], conditions: &[&str]) -> Repair {
    Repair {
        set: set.iter().map(|text| text.parse().unwrap()).collect(),
        conditions: conditions.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn a_path_is_read_and_told_in_one_form() {
    for (text, told) in [
        ("$", "$"),
        ("$.a.b[0].c", "$.a.b[0].c"),
        (r#"$.a["b c"][10]"#, r#"$.a["b c"][10]"#),
        (r#"$["a"]"#, "$.a"),
        (r#"$["a\"]b"].c"#, r#"$["a\"]b"].c"#),
    ] {
        let path: Path = text.parse().unwrap();
        assert_eq!(path.to_string(), told);
        assert_eq!(told.parse::<Path>().unwrap(), path);
    }
    for wrong in ["", "a", "$.", "$..a", "$[", "$[x]", "$[-1]", "$.a b", "$[\"a]", "$.a=1"] {
        assert!(wrong.parse::<Path>().is_err(), "{wrong}");
    }
    assert!("$.a".repeat(40).parse::<Path>().is_err());
}

#[test]
fn every_comparison_does_what_its_sign_says() {
    for (condition, holds) in [
        (r#"$.status=="pending""#, true),
        ("$.status==pending", true),
        ("$.status != done", true),
        ("$.total.amount>=5", true),
        ("$.total.amount>5", false),
        ("$.total.amount < 5.5", true),
        ("$.total.amount<=4", false),
        ("$.total.amount==5.0", true),
        ("$.lines[1].note==blue", true),
        ("$.lines[0].note==null", true),
        ("$.lines[9].sku==null", true),
        ("$.lines[9].sku<a", false),
        ("$.status<5", false),
        (r#"$.total=={"amount":5,"currency":"CAD"}"#, true),
    ] {
        assert_eq!(condition.parse::<Condition>().unwrap().holds(&order()), holds, "{condition}");
    }
    for wrong in ["$.a", "$.a=1", "a==1", "$.a=>1", "$.a ~ 1"] {
        assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
    }
    for wrong in ["$.a", "$.a==1", "a=1", "=1"] {
        assert!(wrong.parse::<Edit>().is_err(), "{wrong}");
    }
}

#[test]
fn a_repaired_payload_keeps_its_schema_and_all_else() {
    let edits = repair(&["$.total.amount=0", "$.lines[0].note=red"], &["$.status==pending"]);
    let repaired = edits.payload(SCHEMA, &payload(&order())).unwrap().unwrap();
    let mut wanted = order();
    wanted["total"]["amount"] = 0.into();
    wanted["lines"][0]["note"] = "red".into();
    assert_eq!(repaired, payload(&wanted));
    assert_eq!(view(SCHEMA, &repaired).unwrap(), wanted);
}

#[test]
fn a_record_that_is_not_meant_stays_as_it_is() {
    let edits = repair(&["$.total.amount=0"], &["$.status==pending", "$.total.amount>5"]);
    assert_eq!(edits.payload(SCHEMA, &payload(&order())), Ok(None));
    assert_eq!(Repair::default().payload(SCHEMA, &payload(&order())), Ok(None));
}

#[test]
fn an_edit_that_does_not_fit_names_its_place() {
    for (edit, told) in [
        ("$.total.amount=much", "/total/amount: a whole number of 64 bits is wanted"),
        ("$.total.sum=1", "/total/sum: the schema has no such field"),
        ("$.total=null", "/total: an object is wanted"),
        ("$.lines[2].sku=p-3", "/lines/2/sku: there is nothing here"),
        ("$.status[0]=1", "/status/0: there is nothing here"),
        ("$=1", "the whole: an object is wanted"),
    ] {
        let fault = repair(&[edit], &[]).payload(SCHEMA, &payload(&order())).unwrap_err();
        assert!(matches!(fault, RepairError::Misfit(_)), "{edit}");
        assert!(fault.to_string().starts_with(told), "{edit}: {fault}");
    }
}

#[test]
fn bytes_that_are_no_record_of_the_schema_are_not_repaired() {
    let edits = repair(&["$.status=done"], &[]);
    let good = payload(&order());
    assert!(matches!(edits.payload(SCHEMA, &[0, 0]), Err(RepairError::Frame(_))));
    assert!(matches!(edits.payload("{", &good), Err(RepairError::Schema(_))));
    let cut = &good[..good.len() - 1];
    assert!(matches!(edits.payload(SCHEMA, cut), Err(RepairError::Datum(_))));
}

#[test]
fn it_travels_as_the_command_says_it() {
    let edits = repair(&["$.a.b=1"], &["$.c>=2"]);
    let told = json!({
        "set": [{ "path": "$.a.b", "value": 1 }],
        "where": [{ "path": "$.c", "op": ">=", "value": 2 }],
    });
    assert_eq!(serde_json::to_value(&edits).unwrap(), told);
    assert_eq!(serde_json::from_value::<Repair>(told).unwrap(), edits);
    assert_eq!(serde_json::from_value::<Repair>(json!({})).unwrap(), Repair::default());
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in r#"\$?[\.\[\]"a-c0-9=!<> é\\]{0,24}"#) {
        if let Ok(path) = text.parse::<Path>() {
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }
        if let Ok(edit) = text.parse::<Edit>() {
            prop_assert_eq!(edit.to_string().parse::<Edit>().unwrap(), edit);
        }
        if let Ok(condition) = text.parse::<Condition>() {
            prop_assert_eq!(condition.to_string().parse::<Condition>().unwrap(), condition);
        }
    }

    #[test]
    fn setting_what_is_there_changes_no_byte(amount: i64, status: String) {
        let mut value = order();
        value["total"]["amount"] = amount.into();
        value["status"] = status.clone().into();
        let same = Repair {
            set: vec![
                Edit { path: "$.total.amount".parse().unwrap(), value: amount.into() },
                Edit { path: "$.status".parse().unwrap(), value: status.into() },
            ],
            conditions: vec![],
        };
        let before = payload(&value);
        prop_assert_eq!(same.payload(SCHEMA, &before), Ok(Some(before.clone())));
    }
}
