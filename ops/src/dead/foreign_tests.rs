//! Golden notes: headers as each of the field's tools writes them, and what they say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A value of a header: text, or a number as Java writes it.
enum Given {
    Text(&'static str),
    Int(i32),
    Long(i64),
}
use Given::{Int, Long, Text};

fn headers(given: &[(&str, Given)]) -> Vec<(String, Option<Vec<u8>>)> {
    let bytes = |value: &Given| match value {
        Text(text) => text.as_bytes().to_vec(),
        Int(number) => number.to_be_bytes().to_vec(),
        Long(number) => number.to_be_bytes().to_vec(),
    };
    given.iter().map(|(name, value)| ((*name).to_owned(), Some(bytes(value)))).collect()
}

/// What the note says, without what it does not say.
fn said(given: &[(&str, Given)]) -> Value {
    let note = serde_json::to_value(read(&headers(given), ORIGINAL_TOPIC)).unwrap();
    let Value::Object(fields) = note else { panic!("a note is an object") };
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[test]
fn our_own_note() {
    let found = said(&[
        ("ce_type", Text("retail.stock.StockReserved")),
        ("dlq_id", Text("0190b2e0-0000-7000-8000-000000000000")),
        ("dlq_original_topic", Text("retail.stock.events.v1")),
        ("dlq_original_partition", Text("3")),
        ("dlq_original_offset", Text("41")),
        ("dlq_original_timestamp", Text("1700000000123")),
        ("dlq_original_group", Text("retail.payments")),
        ("dlq_reason", Text("exhausted")),
        ("dlq_error_type", Text("decision")),
        ("dlq_error_message", Text("13 cannot")),
        ("dlq_error_chain", Text("13 cannot: because")),
        ("dlq_fingerprint", Text("7f3a0b1c")),
        ("dlq_attempts", Text("5")),
        ("dlq_first_failed_at", Text("2026-11-20T10:00:00Z")),
        ("dlq_last_failed_at", Text("2026-11-20T10:00:05Z")),
        ("dlq_service_version", Text("0.1.0")),
        ("dlq_redrive_count", Text("1")),
    ]);
    let wanted = json!({
        "dialect": "millrace", "id": "0190b2e0-0000-7000-8000-000000000000",
        "topic": "retail.stock.events.v1", "partition": 3, "offset": 41,
        "timestamp_ms": 1_700_000_000_123_i64, "group": "retail.payments", "reason": "exhausted",
        "error_type": "decision", "error_message": "13 cannot",
        "error_chain": "13 cannot: because", "fingerprint": "7f3a0b1c", "attempts": 5,
        "redrives": 1, "first_failed_at": "2026-11-20T10:00:00Z",
        "last_failed_at": "2026-11-20T10:00:05Z",
    });
    assert_eq!(found, wanted);
}

#[test]
fn springs_note_has_binary_numbers() {
    let found = said(&[
        ("kafka_dlt-original-topic", Text("orders")),
        ("kafka_dlt-original-partition", Int(258)),
        ("kafka_dlt-original-offset", Long(4_294_967_297)),
        ("kafka_dlt-original-timestamp", Long(1_700_000_000_123)),
        ("kafka_dlt-original-timestamp-type", Text("CreateTime")),
        ("kafka_dlt-original-consumer-group", Text("billing")),
        ("kafka_dlt-exception-fqcn", Text("org.springframework.kafka.ListenerException")),
        ("kafka_dlt-exception-cause-fqcn", Text("java.lang.IllegalStateException")),
        ("kafka_dlt-exception-message", Text("order 17 is gone")),
        ("kafka_dlt-exception-stacktrace", Text("at Billing.on(Billing.java:9)")),
        ("retry_topic-attempts", Int(4)),
        // A later hop adds its own; where the record began is what counts.
        ("kafka_dlt-original-topic", Text("orders-retry")),
        ("kafka_dlt-original-offset", Long(1)),
    ]);
    let wanted = json!({
        "dialect": "spring", "topic": "orders", "partition": 258, "offset": 4_294_967_297_i64,
        "timestamp_ms": 1_700_000_000_123_i64, "group": "billing",
        "error_type": "java.lang.IllegalStateException", "error_message": "order 17 is gone",
        "error_chain": "at Billing.on(Billing.java:9)", "attempts": 4, "fingerprint": "",
    });
    assert_eq!(with_own_fingerprint(&wanted, &found), found);
}

#[test]
fn the_note_of_kafka_streams() {
    let found = said(&[
        ("__streams.errors.exception", Text("java.lang.ArithmeticException")),
        ("__streams.errors.message", Text("/ by zero")),
        ("__streams.errors.stacktrace", Text("at Share.of(Share.java:4)")),
        ("__streams.errors.topic", Text("amounts")),
        ("__streams.errors.partition", Text("0")),
        ("__streams.errors.offset", Text("12")),
    ]);
    let wanted = json!({
        "dialect": "streams", "topic": "amounts", "partition": 0, "offset": 12,
        "error_type": "java.lang.ArithmeticException", "error_message": "/ by zero",
        "error_chain": "at Share.of(Share.java:4)", "fingerprint": "",
    });
    assert_eq!(with_own_fingerprint(&wanted, &found), found);
}

#[test]
fn the_note_of_connect_names_the_connector_and_the_stage() {
    let found = said(&[
        ("__connect.errors.topic", Text("customers")),
        ("__connect.errors.partition", Text("5")),
        ("__connect.errors.offset", Text("77")),
        ("__connect.errors.connector.name", Text("crm-sink")),
        ("__connect.errors.task.id", Text("0")),
        ("__connect.errors.stage", Text("VALUE_CONVERTER")),
        ("__connect.errors.class.name", Text("io.confluent.connect.avro.AvroConverter")),
        ("__connect.errors.exception.class.name", Text("org.apache.kafka.DataException")),
        ("__connect.errors.exception.message", Text("Unknown magic byte!")),
        ("__connect.errors.exception.stacktrace", Text("at A.b(A.java:1)")),
    ]);
    let wanted = json!({
        "dialect": "connect", "topic": "customers", "partition": 5, "offset": 77,
        "group": "crm-sink", "reason": "VALUE_CONVERTER",
        "error_type": "org.apache.kafka.DataException", "error_message": "Unknown magic byte!",
        "error_chain": "at A.b(A.java:1)", "fingerprint": "",
    });
    assert_eq!(with_own_fingerprint(&wanted, &found), found);
}

#[test]
fn a_header_of_any_name_leads_to_the_original_topic() {
    let given = [
        ("my-source-topic", Text("invoices")),
        ("my-source-partition", Text("2")),
        ("my-source-offset", Text("9")),
        ("x-error", Text("no such customer")),
    ];
    let note = read(&headers(&given), "my-source-topic");
    assert_eq!(note.dialect, Dialect::Header);
    assert_eq!(note.topic.as_deref(), Some("invoices"));
    assert_eq!((note.partition, note.offset), (Some(2), Some(9)));
    assert_eq!(note.error_message.as_deref(), Some("no such customer"));
    assert_eq!(read(&headers(&given), ORIGINAL_TOPIC).dialect, Dialect::None);
}

#[test]
fn numbers_and_ids_do_not_make_another_cause() {
    let of = |message| said(&[("x-original-topic", Text("a")), ("x-error", Text(message))]);
    let cause = |message| of(message)["fingerprint"].clone();
    assert_eq!(cause("order 17 of c-4 is gone"), cause("order 900 of c-12 is gone"));
    assert_eq!(cause("a1b2, again"), cause("77, again"));
    assert_ne!(cause("order 17 is gone"), cause("order 17 is late"));
    assert_eq!(without_numbers("x=17;y 0190b2e0-00a z"), "x=#;y # z");
}

/// What we make ourselves is only demanded to be there.
fn with_own_fingerprint(wanted: &Value, found: &Value) -> Value {
    let made = found["fingerprint"].as_str().unwrap();
    assert!(made.len() == 8 && made.chars().all(|letter| letter.is_ascii_hexdigit()), "{made}");
    let mut wanted = wanted.clone();
    wanted["fingerprint"] = made.into();
    wanted
}

proptest! {
    #[test]
    fn headers_of_any_bytes_are_read_without_harm(
        names in prop::collection::vec(0..6_usize, 0..8), bytes: Vec<u8>, none: bool,
    ) {
        let known = [
            "dlq_original_topic", "dlq_original_offset", "kafka_dlt-original-topic",
            "kafka_dlt-original-offset", "__streams.errors.offset", "__connect.errors.offset",
        ];
        let header = |name: usize| (known[name].to_owned(), (!none).then(|| bytes.clone()));
        let note = read(&names.into_iter().map(header).collect::<Vec<_>>(), ORIGINAL_TOPIC);
        prop_assert_eq!(note.fingerprint.len(), 8);
    }
}
