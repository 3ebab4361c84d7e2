//! What a fuzzer feeds: one function for each decoder of the contract. Each takes any bytes, never
//! fails by refusing them, and panics when a decoder breaks its word about what it accepted.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use millrace_contract::{
    DecodeError, Event, EventId, Money, Resolution, Timestamp, check_writer_schema, frame,
    record_name, unframe,
};
use schemas::*;

/// Inputs, or golden data of one event.
pub type Inputs = Vec<Vec<u8>>;

/// A decoder under fire.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Gives it any bytes.
    pub run: fn(&[u8]),
    /// Inputs it accepts, made from the golden data of every event in the order of [`EVENTS`].
    pub seeds: fn(&[Inputs]) -> Inputs,
    /// How many of a thousand executions are its own.
    pub share: u64,
}

/// Every decoder that reads what strangers write.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: framing, seeds: frames, share: 50 },
    Target { name: "read", run: read, seeds: indexed, share: 400 },
    Target { name: "resolve", run: resolve, seeds: newer, share: 250 },
    Target { name: "foreign", run: foreign, seeds: foreign_data, share: 150 },
    Target { name: "schema", run: schema, seeds: schema_texts, share: 100 },
    Target { name: "attribute", run: attribute, seeds: attributes, share: 49 },
    Target { name: "bomb", run: schema, seeds: bombs, share: 1 },
];

type Check = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Decoders of generated types, in the order of [`EVENTS`].
const EVENT_CHECKS: [Check; 18] = [
    check::<OrderPlaced>,
    check::<OrderConfirmed>,
    check::<OrderRejected>,
    check::<OrderRefused>,
    check::<OrderCancelled>,
    check::<StockReserved>,
    check::<StockUnavailable>,
    check::<StockReleased>,
    check::<PaymentAccepted>,
    check::<PaymentRefused>,
    check::<PaymentRefunded>,
    check::<SaleConfirmed>,
    check::<SaleCancelled>,
    check::<ProductListed>,
    check::<ProductRepriced>,
    check::<ProductWithdrawn>,
    check::<ProductState>,
    check::<OrderState>,
];

/// Schemas that no event of ours has, of every kind of type that a writer may use.
const FOREIGN: &[&str] = &[
    r#"{"type":"record","name":"A","fields":[
        {"name":"a","type":{"type":"array","items":{"type":"array","items":"null"}}},
        {"name":"m","type":{"type":"map","values":["null","string",{"type":"map","values":"long"}]}},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y","Z"],"default":"X"}}]}"#,
    r#"{"type":"record","name":"B","fields":[
        {"name":"f","type":{"type":"fixed","name":"F","size":12}},
        {"name":"g","type":"F"},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}},
        {"name":"u","type":{"type":"string","logicalType":"uuid"}},
        {"name":"b","type":{"type":"bytes","logicalType":"big-decimal"}},
        {"name":"x","type":"double"},{"name":"y","type":"float"},{"name":"z","type":"boolean"}]}"#,
    r#"{"type":"record","name":"C","fields":[
        {"name":"i","type":{"type":"record","name":"I","fields":[
            {"name":"n","type":{"type":"array","items":["null","bytes","int"]}},
            {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"d","type":{"type":"int","logicalType":"date"}}]}},
        {"name":"j","type":{"type":"array","items":"I"}},
        {"name":"k","type":{"type":"map","values":"I"}},
        {"name":"v","type":{"type":"fixed","name":"V","size":12,"logicalType":"duration"}}]}"#,
];

/// Our types through a newer version of their schemas, then types of others through their own.
static WAYS: LazyLock<(Vec<Resolution>, Vec<Resolution>)> = LazyLock::new(|| {
    let fits = "the schema is one of ours";
    let ours = EVENTS.iter().map(|event| {
        let added = r#"{"name":"added_last","type":["null","string"],"default":null}]"#;
        let (head, tail) = event.schema.rsplit_once(']').expect("a record has fields");
        let newer = format!("{head},{added}{tail}");
        Resolution::new(&newer, event.schema).expect(fits)
    });
    let others = FOREIGN.iter().map(|schema| Resolution::new(schema, schema).expect(fits));
    (ours.collect(), others.collect())
});

/// Builds what is built once, so that no execution is charged for it.
pub fn warm_up() {
    LazyLock::force(&WAYS);
}

fn framing(bytes: &[u8]) {
    if let Ok((id, datum)) = unframe(bytes) {
        assert_eq!(frame(id, datum), bytes, "a frame is not what it was made of");
    }
}

fn read(bytes: &[u8]) {
    let Some((kind, datum)) = bytes.split_first() else { return };
    let check = EVENT_CHECKS[usize::from(*kind) % EVENT_CHECKS.len()];
    if let Ok(again) = check(datum) {
        assert!(again.len() <= datum.len(), "written again it is longer than it was");
    }
}

/// What was accepted is written again and read as the same.
fn check<E: Event>(datum: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let event = E::from_datum(datum)?;
    let written = event.to_datum();
    let again = E::from_datum(&written).expect("what we write we can read");
    assert_eq!(again.to_datum(), written, "{} has two spellings", E::NAME);
    assert!(again.key() == event.key(), "the key is another");
    Ok(written)
}

fn resolve(bytes: &[u8]) {
    let Some((kind, datum)) = bytes.split_first() else { return };
    let kind = usize::from(*kind) % EVENT_CHECKS.len();
    if let Ok(translated) = WAYS.0[kind].translate(datum) {
        // Ids and currencies are stricter than their Avro types, so a refusal is no fault.
        drop(EVENT_CHECKS[kind](&translated));
    }
}

fn foreign(bytes: &[u8]) {
    let Some((kind, datum)) = bytes.split_first() else { return };
    let way = &WAYS.1[usize::from(*kind) % FOREIGN.len()];
    if let Ok(written) = way.translate(datum) {
        let again = way.translate(&written).expect("what was written can be read");
        assert_eq!(again.len(), written.len(), "a datum has two spellings");
    }
}

/// A schema and, after a zero byte, a datum that was written with it.
fn schema(bytes: &[u8]) {
    let (text, datum) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, [].as_slice()),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if check_writer_schema(text).is_ok() {
        let name = record_name(text).expect("a schema that is accepted has a name");
        let way = Resolution::new(text, text).expect("a schema that is accepted can be used");
        drop(way.translate(datum));
        if let Some(event) = EVENTS.iter().find(|event| event.name == name) {
            let way = Resolution::new(text, event.schema).expect("both are of the same record");
            drop(way.translate(datum));
        }
    }
}

/// Texts of headers, keys and bodies.
fn attribute(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    one_spelling::<EventId>(text);
    one_spelling::<OrderId>(text);
    one_spelling::<CustomerId>(text);
    one_spelling::<Sku>(text);
    one_spelling::<Currency>(text);
    if let Ok(moment) = text.parse::<Timestamp>() {
        assert_eq!(moment.to_string().parse::<Timestamp>().ok(), Some(moment));
    }
    for code in ["CAD", "JPY", "KWD"] {
        let currency = code.parse().expect("the code is known");
        if let Ok(money) = Money::parse(text, currency) {
            assert_eq!(Money::parse(&money.amount(), currency), Ok(money));
        }
    }
}

fn one_spelling<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "an identifier has two spellings");
    }
}

fn frames(golden: &[Inputs]) -> Inputs {
    golden.iter().flatten().map(|datum| frame(1, datum)).collect()
}

fn indexed(golden: &[Inputs]) -> Inputs {
    let all = golden.iter().enumerate();
    all.flat_map(|(kind, data)| data.iter().map(move |datum| tagged(kind, datum))).collect()
}

fn newer(golden: &[Inputs]) -> Inputs {
    indexed(golden).into_iter().map(|input| [input, vec![0]].concat()).collect()
}

fn foreign_data(_: &[Inputs]) -> Inputs {
    let uuid = b"\x4801932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60";
    let fixed = [7; 24];
    let second = [&fixed[..], &[0x04, 1, 2], uuid, &[0x04, 2, 1, 0], &[0; 13]].concat();
    let third = [&[0x04, 0, 0x04, 2, 0, 8, 6], [0x02, 0, 2, 4].as_slice(), &[0, 0], &[1; 12]];
    vec![
        tagged(0, &[0x02, 0x06, 0, 0, 0x04, 0x02, b'k', 0x02, 0x02, b'v', 0x02, b'l', 0, 0, 4]),
        tagged(1, &second),
        tagged(2, &third.concat()),
    ]
}

fn tagged(kind: usize, datum: &[u8]) -> Vec<u8> {
    let kind = u8::try_from(kind).expect("there are few kinds");
    [&[kind], datum].concat()
}

fn schema_texts(golden: &[Inputs]) -> Inputs {
    let ours = EVENTS.iter().zip(golden).flat_map(|(event, data)| {
        data.iter().map(|datum| [event.schema.as_bytes(), &[0], datum].concat())
    });
    let others = FOREIGN.iter().zip(foreign_data(&[]));
    ours.chain(others.map(|(text, datum)| [text.as_bytes(), &[0], &datum[1..]].concat())).collect()
}

fn attributes(_: &[Inputs]) -> Inputs {
    let texts = [
        "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60",
        "2026-07-01T12:34:56.123456Z",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00-23:59",
        "montreal.01",
        "CAD",
        "-92233720368547758.08",
        "19.900",
        "18446744073709551615",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Texts that are JSON, nearly as long as a schema may be, and large once they are read.
fn bombs(_: &[Inputs]) -> Inputs {
    let pieces = [
        r#"{"":0},"#,
        "[0],",
        "0,",
        r#""","#,
        r#"{"name":"f","type":"int"},"#,
        r#"{"name":"f","type":{"type":"array","items":"int"}},"#,
    ];
    let before = ["\"doc\":[", "\"aliases\":[", "\"fields\":[{\"name\":\"f\",\"type\":["];
    let after = ["0],\"fields\":[]}", "\"b\"],\"fields\":[]}", "\"null\"]}]}"];
    let bomb = |piece: &str, (before, after): (&str, &str)| {
        let many = piece.repeat(250_000 / piece.len());
        format!("{{\"type\":\"record\",\"name\":\"R\",{before}{many}{after}").into_bytes()
    };
    let ways = || before.into_iter().zip(after);
    pieces.iter().flat_map(|piece| ways().map(move |way| bomb(piece, way))).collect()
}
