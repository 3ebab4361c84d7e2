//! Facts written with an older or newer version of their schema are read as ours.

use millrace_contract::{
    DecodeError, Event, Resolution, ResolveError, Writer, check_writer_schema,
};
use schemas::{CancelledBy, OrderCancelled, PaymentRefused, RefusalReason, StockReleased};
use serde_json::{Value as Json, json};

use crate::golden::vectors;

fn schema<E: Event>() -> Json {
    serde_json::from_str(E::SCHEMA).unwrap()
}

fn field<'a>(schema: &'a mut Json, name: &str) -> &'a mut Json {
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.iter_mut().find(|field| field["name"] == name).unwrap()
}

fn read<E: Event>(writer: &Json, datum: &[u8]) -> Result<E, DecodeError> {
    let resolution = Resolution::new(&writer.to_string(), E::SCHEMA).unwrap();
    E::from_datum(&resolution.translate(datum)?)
}

fn refused_payment() -> PaymentRefused {
    let vector = vectors().into_iter().find(|vector| vector.file == "PaymentRefused.json").unwrap();
    PaymentRefused::from_datum(&vector.datum).unwrap()
}

#[test]
fn the_same_schema_resolves_to_the_same_bytes() {
    for vector in vectors() {
        let resolution = Resolution::new(vector.kind.schema, vector.kind.schema).unwrap();
        assert_eq!(resolution.translate(&vector.datum), Ok(vector.datum), "{}", vector.file);
    }
}

#[test]
fn a_field_that_is_newer_than_we_are_is_left_out() {
    let mut newer = schema::<PaymentRefused>();
    let added = json!({"name": "attempt", "type": ["null", "long"], "default": null});
    newer["fields"].as_array_mut().unwrap().insert(1, added);
    let ours = refused_payment();
    let datum = ours.to_datum();
    let key_length = 37;
    let theirs = [&datum[..key_length], &[0x02, 0x0e], &datum[key_length..]].concat();
    assert_eq!(read::<PaymentRefused>(&newer, &theirs), Ok(ours));
}

#[test]
fn a_field_that_is_newer_than_the_writer_has_its_default() {
    let mut older = schema::<OrderCancelled>();
    older["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "reason");
    let ours = OrderCancelled {
        order_id: refused_payment().order_id,
        customer_id: "c".parse().unwrap(),
        store_id: "s".parse().unwrap(),
        by: CancelledBy::Deadline,
        reason: None,
    };
    let mut theirs = ours.to_datum();
    assert_eq!(theirs.pop(), Some(0), "the absent reason is the last byte");
    assert_eq!(read::<OrderCancelled>(&older, &theirs), Ok(ours));
}

#[test]
fn a_symbol_we_do_not_know_becomes_the_default() {
    let mut newer = schema::<PaymentRefused>();
    let symbols = field(&mut newer, "reason")["type"]["symbols"].as_array_mut().unwrap();
    symbols.push(json!("CARD_EXPIRED"));
    let new_index = i64::try_from(symbols.len() - 1).unwrap();
    let ours = PaymentRefused { reason: RefusalReason::Other, ..refused_payment() };
    let mut theirs = ours.to_datum();
    theirs.pop();
    Writer::new(&mut theirs).long(new_index);
    assert_eq!(read::<PaymentRefused>(&newer, &theirs), Ok(ours));
    let unknown = PaymentRefused::from_datum(&theirs);
    assert!(matches!(unknown, Err(DecodeError::Invalid { .. })), "{unknown:?}");
}

#[test]
fn symbols_are_matched_by_name() {
    let mut reordered = schema::<PaymentRefused>();
    field(&mut reordered, "reason")["type"]["symbols"].as_array_mut().unwrap().reverse();
    let ours = PaymentRefused { reason: RefusalReason::CurrencyMismatch, ..refused_payment() };
    let mut theirs = ours.to_datum();
    theirs.pop();
    theirs.push(0);
    assert_eq!(read::<PaymentRefused>(&reordered, &theirs), Ok(ours));
}

#[test]
fn a_missing_field_without_a_default_is_refused() {
    let mut broken = schema::<StockReleased>();
    broken["fields"].as_array_mut().unwrap().pop();
    let datum = StockReleased {
        order_id: refused_payment().order_id,
        store_id: "s".parse().unwrap(),
        lines: Vec::new(),
    }
    .to_datum();
    let result = read::<StockReleased>(&broken, &datum[..datum.len() - 1]);
    assert!(matches!(result, Err(DecodeError::Unresolved(_))), "{result:?}");
}

#[test]
fn a_recursive_version_is_refused() {
    let mut recursive = schema::<StockReleased>();
    let next = json!({"name": "next", "type": ["null", "retail.stock.StockReleased"]});
    recursive["fields"].as_array_mut().unwrap().push(next);
    let refusal = ResolveError::Recursive("retail.stock.StockReleased".into());
    assert_eq!(check_writer_schema(&recursive.to_string()), Err(refusal.clone()));
    let resolution = Resolution::new(&recursive.to_string(), StockReleased::SCHEMA);
    assert_eq!(resolution.unwrap_err(), refusal);
}

#[test]
fn every_schema_of_ours_is_accepted_from_a_writer() {
    for event in schemas::EVENTS {
        assert_eq!(check_writer_schema(event.schema), Ok(()), "{}", event.name);
        assert_eq!(millrace_contract::record_name(event.schema).as_deref(), Ok(event.name));
    }
}
