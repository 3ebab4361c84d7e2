//! What is written: one text for one input, and released files that stay.

use std::fs;

use millrace_codegen::{generate, release, released, write};
use millrace_contract::{Cleanup, DecodeError, Event, Reader, Timestamp, Topic, Writer};

use crate::generated::{Colour, EVENTS, Line, Placed, topics};
use crate::ids::{OrderId, Tag};
use crate::shop::{PLACED, file, original, shop};

const SUBJECT: &str = "shop.order.events.v1-shop.order.Placed";

#[test]
fn the_output_follows_from_the_files_alone() {
    let (first, second) = (shop(&[]), shop(&[]));
    let (first, second) = (generate(first.path()).unwrap(), generate(second.path()).unwrap());
    assert_eq!(first.rust, second.rust);
    assert_eq!(first.schemas, second.schemas);
}

#[test]
fn a_type_is_written_out_where_it_is_first_used() {
    let schemas = generate(shop(&[]).path()).unwrap().schemas;
    assert_eq!(schemas.keys().collect::<Vec<_>>(), [SUBJECT]);
    let schema = &schemas[SUBJECT];
    assert_eq!(schema.matches("\"A line.\"").count(), 1);
    assert!(schema.contains("\"shop.Line\""), "the second use is by name: {schema}");
    assert!(!schema.contains("rust"), "Rust is no matter of the contract: {schema}");
}

#[test]
fn the_committed_output_is_what_is_written() {
    let committed = fs::read_to_string(original().join("src/generated.rs")).unwrap();
    let generated = generate(&original()).unwrap().rust;
    assert!(
        committed == generated,
        "stale: run `cargo run -p millrace-codegen -- codegen/tests/shop`"
    );
}

#[test]
fn every_supported_type_survives_its_encoder_and_decoder() {
    let line = Line {
        tags: vec![Tag::new("a").unwrap(), Tag::new("b").unwrap()],
        seal: Some(vec![0, 255]),
        at: Timestamp::from_micros(1).unwrap(),
        floor: -3,
        fragile: true,
    };
    let bare = Line { tags: Vec::new(), seal: None, ..line.clone() };
    let order_id: OrderId = "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60".parse().unwrap();
    for gift in [None, Some(bare.clone())] {
        let lines = vec![line.clone(), bare.clone()];
        let colours = vec![Colour::DarkRed, Colour::default()];
        let placed = Placed { order_id, lines, gift, colours, note: Some("!".into()) };
        let datum = placed.to_datum();
        assert_eq!(Placed::from_datum(&datum), Ok(placed.clone()));
        assert_eq!(placed.key(), &order_id);
        for length in 0..datum.len() {
            assert!(Placed::from_datum(&datum[..length]).is_err(), "cut to {length} bytes");
        }
    }
}

#[test]
fn a_malformed_identifier_is_no_value() {
    let mut datum = Vec::new();
    let mut out = Writer::new(&mut datum);
    out.array(&[""], |out, text| out.string(text));
    let mut input = Reader::new(&datum).unwrap();
    let wanted = DecodeError::Invalid { what: "malformed Tag", at: 2 };
    assert_eq!(Line::decode(&mut input), Err(wanted));
}

#[test]
fn topics_and_events_are_listed() {
    assert_eq!(EVENTS.iter().map(|event| event.name).collect::<Vec<_>>(), ["shop.order.Placed"]);
    let topic = Topic {
        name: "shop.order.events.v1",
        owner: "till",
        partitions: 3,
        cleanup: Cleanup::Delete { retention_ms: 172_800_000 },
        key: "orderId",
        readers: &["packer"],
    };
    assert_eq!(topics::ALL, [&topic]);
    assert_eq!(Placed::TOPIC, topics::ORDER_EVENTS);
    assert_eq!(Placed::subject(), SUBJECT);
    assert_eq!(Colour::ALL.iter().map(|c| c.as_str()).collect::<Vec<_>>(), ["OTHER", "DARK_RED"]);
}

#[test]
fn writing_puts_the_text_where_the_crate_looks_for_it() {
    let dir = shop(&[]);
    let path = write(dir.path()).unwrap();
    assert_eq!(path, dir.path().join("src/generated.rs"));
    assert_eq!(fs::read_to_string(path).unwrap(), generate(dir.path()).unwrap().rust);
}

#[test]
fn a_release_adds_a_version_only_when_the_schema_changed() {
    let dir = shop(&[]);
    assert_eq!(release(dir.path()).unwrap().len(), 1);
    assert_eq!(release(dir.path()).unwrap().len(), 0);
    let first = released(dir.path(), SUBJECT).unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), [&1]);

    let changed = file(PLACED).replace("An order.", "An order of a customer.");
    fs::write(dir.path().join(PLACED), changed).unwrap();
    let written = release(dir.path()).unwrap();
    assert_eq!(written, [dir.path().join("released").join(SUBJECT).join("2.avsc")]);
    let second = released(dir.path(), SUBJECT).unwrap();
    assert_eq!(second[&1], first[&1], "a released version never changes");
    assert_ne!(second[&2], first[&1]);
}
