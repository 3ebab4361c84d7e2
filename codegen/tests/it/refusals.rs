//! Each thing a contract must not contain is refused with the file's name and the reason.

use millrace_codegen::generate;

use crate::shop::{COLOUR, LINE, PLACED, TOPICS, file, shop};

fn refusal(changes: &[(&str, &str)]) -> String {
    match generate(shop(changes).path()) {
        Ok(_) => panic!("accepted: {changes:?}"),
        Err(error) => format!("{error:#}"),
    }
}

/// Spoils a file by one replacement and expects its name and the reason.
fn check(name: &str, old: &str, new: &str, reason: &str) {
    assert!(file(name).contains(old), "{old} is not in {name}");
    let message = refusal(&[(name, &file(name).replacen(old, new, 1))]);
    assert!(message.contains(name), "{message:?} does not name {name}");
    assert!(message.contains(reason), "{message:?} does not say {reason:?}");
}

#[test]
fn doc_strings_are_demanded() {
    check(PLACED, r#""doc": "An order.","#, "", "the type has no doc string");
    check(PLACED, r#""doc": "An order.""#, r#""doc": " ""#, "the type has no doc string");
    check(PLACED, r#", "doc": "Lines.""#, "", "field lines: the field has no doc string");
    check(COLOUR, r#""doc": "A colour.","#, "", "the type has no doc string");
}

#[test]
fn types_outside_the_subset_are_refused() {
    for (ty, reason) in [
        ("\"double\"", "\"double\" is not supported"),
        ("\"null\"", "\"null\" is not supported"),
        ("{\"type\": \"map\", \"values\": \"long\"}", "\"map\" is not supported"),
        ("[\"null\", \"long\", \"string\"]", "the only union"),
        ("[\"long\", \"null\"]", "the only union"),
        ("[\"null\", [\"null\", \"long\"]]", "a union holds a union"),
        ("{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}", "timestamp-millis"),
        ("{\"type\": \"bytes\", \"logicalType\": \"decimal\"}", "decimal"),
        ("\"shop.Nowhere\"", "no file defines shop.Nowhere"),
        ("\"shop.order.Placed\"", "contains itself"),
        ("7", "where an object is wanted"),
    ] {
        check(LINE, "\"int\"", ty, reason);
    }
}

#[test]
fn types_that_contain_each_other_are_refused() {
    let line = r#"{"type": "record", "name": "Line", "namespace": "shop", "doc": "A line.",
        "fields": [{"name": "inside", "type": "shop.Box", "doc": "Box."}]}"#;
    let holder = r#"{"type": "record", "name": "Box", "namespace": "shop", "doc": "A box.",
        "fields": [{"name": "lines", "type": {"type": "array", "items": "shop.Line"}, "doc": "."}]}"#;
    let message = refusal(&[(LINE, line), ("common/Box.avsc", holder)]);
    assert!(message.contains("contains itself"), "{message}");
}

#[test]
fn what_readers_take_differently_is_refused() {
    let doc = r#""doc": "Floor.""#;
    check(LINE, doc, r#""aliases": ["f"], "doc": ".""#, "aliases are not supported");
    check(LINE, doc, r#""order": "ignore", "doc": ".""#, "\"order\" is not supported");
    check(LINE, doc, r#""default": 0, "doc": ".""#, "only an optional field has a default");
    check(PLACED, "\"default\": null", "\"default\": {}", "and it is null");
    check(COLOUR, ",\n  \"default\": \"OTHER\"", "", "an enum needs a default");
    check(COLOUR, "\"default\": \"OTHER\"", "\"default\": \"BLUE\"", "BLUE is not among");
}

#[test]
fn names_that_do_not_fit_are_refused() {
    check(PLACED, "\"note\"", "\"Colour\"", "not in snake_case");
    check(PLACED, "\"note\"", "\"type\"", "a keyword");
    check(PLACED, "\"note\"", "\"lines\"", "two fields are named lines");
    check(PLACED, "\"Placed\"", "\"Put\"", "not named after Put");
    check(PLACED, "shop.order", "shop.orders", "does not end in the folder's name");
    check(COLOUR, "DARK_RED", "DarkRed", "SCREAMING_SNAKE_CASE");
    check(LINE, "\"int\"", "\"int\", \"rust\": \"Id\"", "only a string can be");
    check(LINE, "\"Tag\"", "\"a tag\"", "not the name of a Rust type");
    let line = file(LINE).replacen("\"shop\"", "\"shop.order\"", 1);
    let message = refusal(&[("order/Line.avsc", &line)]);
    assert!(message.contains("another namespace also has a Line"), "{message}");
}

#[test]
fn money_is_never_a_bare_number() {
    for name in ["total", "unit_price", "refund_amount"] {
        check(LINE, "\"floor\"", &format!("\"{name}\""), "sounds like money");
    }
    let money = r#"{"type": "record", "name": "Money", "namespace": "retail", "doc": "Money.",
        "fields": [{"name": "amount", "type": "int", "doc": "Dollars."}]}"#;
    let message = refusal(&[("common/Money.avsc", money)]);
    assert!(message.contains("money is a long named amount"), "{message}");
}

#[test]
fn topics_are_checked_against_the_events() {
    check(TOPICS, "retention_days = 2", "", "either retention_days or compact");
    check(TOPICS, "retention_days = 2", "retention_days = 2\ncompact = true", "either");
    check(TOPICS, "partitions = 3", "partitions = 0", "at least one partition");
    check(TOPICS, "\"orderId\"", "\"sku\"", "shop.order.Placed has no field sku");
    check(TOPICS, "\"orderId\"", "\"note\"", "not a typed identifier");
    check(TOPICS, "shop.order.Placed", "shop.order.Gone", "no file defines shop.order.Gone");
    check(TOPICS, "[\"shop.order.Placed\"]", "[]", "carried by 0 topics instead of 1");
    check(
        TOPICS,
        "\"shop.order.Placed\"",
        "\"shop.order.Placed\", \"shop.order.Placed\"",
        "carried by 2 topics instead of 1",
    );
    check(TOPICS, "shop.order.events.v1", "orders", "not like retail.order.events.v1");
    check(TOPICS, "owner", "owners", "unknown field");
}
