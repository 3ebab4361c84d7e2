//! Identities and the registry's frame.

use millrace_contract::{EventId, FrameError, frame, parse_uuid, unframe};
use proptest::prelude::*;

const V7: &str = "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60";

#[test]
fn a_uuid_has_one_spelling() {
    assert_eq!(parse_uuid("id", V7).unwrap().to_string(), V7);
    let upper = V7.to_uppercase();
    let simple = V7.replace('-', "");
    let braced = format!("{{{V7}}}");
    let urn = format!("urn:uuid:{V7}");
    let padded = format!(" {V7}");
    for text in [&upper, &simple, &braced, &urn, &padded, "", "x"] {
        assert!(parse_uuid("id", text).is_err(), "{text:?}");
    }
}

#[test]
fn an_event_id_is_of_version_7() {
    assert_eq!(V7.parse::<EventId>().unwrap().to_string(), V7);
    for text in ["01932b0e-7c5e-4d3a-9f10-2b6c1d4e5f60", "00000000-0000-0000-0000-000000000000"] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_frame_gives_back_its_id_and_datum(id: u32, datum: Vec<u8>) {
        let framed = frame(id, &datum);
        prop_assert_eq!(unframe(&framed), Ok((id, datum.as_slice())));
    }
}

#[test]
fn payloads_without_the_prefix_are_refused() {
    for length in 0..5 {
        assert_eq!(unframe(&vec![0; length]), Err(FrameError::Short(length)));
    }
    assert_eq!(unframe(&[1, 0, 0, 0, 1]), Err(FrameError::Magic(1)));
    assert_eq!(unframe(b"{\"json\": true}"), Err(FrameError::Magic(b'{')));
    assert_eq!(unframe(&[0, 0, 0, 1, 2]), Ok((258, &[][..])));
}
