//! Every kind of event behind one type, so that each test runs over all of them.

use std::path::Path;

use apache_avro::Schema;
use millrace_contract::{DecodeError, Event};
use schemas::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What can be done with an event without naming its type.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) schema: &'static str,
    /// Datum to human form.
    pub(crate) decode: fn(&[u8]) -> Result<Json, DecodeError>,
    /// Human form to datum.
    pub(crate) encode: fn(Json) -> Vec<u8>,
}

pub(crate) fn all() -> Vec<Kind> {
    vec![
        kind::<OrderPlaced>(),
        kind::<OrderConfirmed>(),
        kind::<OrderRejected>(),
        kind::<OrderRefused>(),
        kind::<OrderCancelled>(),
        kind::<StockReserved>(),
        kind::<StockUnavailable>(),
        kind::<StockReleased>(),
        kind::<PaymentAccepted>(),
        kind::<PaymentRefused>(),
        kind::<PaymentRefunded>(),
        kind::<SaleConfirmed>(),
        kind::<SaleCancelled>(),
        kind::<OutsideNoted>(),
        kind::<ProductListed>(),
        kind::<ProductRepriced>(),
        kind::<ProductWithdrawn>(),
        kind::<ProductState>(),
        kind::<OrderState>(),
    ]
}

/// The folder of this crate.
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The schema as the other implementation reads it.
pub(crate) fn avro(json: &str) -> Schema {
    millrace_contract::prepare();
    Schema::parse_str(json).unwrap()
}

fn kind<E: Event + Serialize + DeserializeOwned>() -> Kind {
    Kind {
        name: E::NAME,
        schema: E::SCHEMA,
        decode: |datum| Ok(serde_json::to_value(E::from_datum(datum)?).unwrap()),
        encode: |json| serde_json::from_value::<E>(json).unwrap().to_datum(),
    }
}

#[test]
fn every_event_is_tested() {
    let tested: Vec<_> = all().iter().map(|kind| (kind.name, kind.schema)).collect();
    let known: Vec<_> = EVENTS.iter().map(|event| (event.name, event.schema)).collect();
    assert_eq!(tested, known);
}
