//! Moments: microseconds, UTC, years 1 to 9999.

use std::time::Duration;

use millrace_contract::Timestamp;
use proptest::prelude::*;

const FIRST: &str = "0001-01-01T00:00:00Z";
const LAST: &str = "9999-12-31T23:59:59.999999Z";

proptest! {
    #[test]
    fn every_moment_reads_back_as_it_was_printed(
        micros in -62_135_596_800_000_000_i64..=253_402_300_799_999_999,
    ) {
        let moment = Timestamp::from_micros(micros).unwrap();
        prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        prop_assert_eq!(Timestamp::from(moment.datetime()), moment);
        let json = serde_json::to_string(&moment).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
    }
}

#[test]
fn the_limits_are_the_years_1_and_9999() {
    let (first, last): (Timestamp, Timestamp) = (FIRST.parse().unwrap(), LAST.parse().unwrap());
    assert_eq!((first.to_string(), last.to_string()), (FIRST.into(), LAST.into()));
    assert_eq!(Timestamp::from_micros(first.micros() - 1), None);
    assert_eq!(Timestamp::from_micros(last.micros() + 1), None);
    assert_eq!(Timestamp::from_micros(i64::MIN), None);
    assert_eq!(last.plus(Duration::MAX), last);
}

#[test]
fn an_offset_is_turned_into_utc_and_nanoseconds_are_cut_off() {
    let moment: Timestamp = "2025-03-04T05:06:07.123456789-05:00".parse().unwrap();
    assert_eq!(moment.to_string(), "2025-03-04T10:06:07.123456Z");
    let before_epoch: Timestamp = "1969-12-31T23:59:59.9999999Z".parse().unwrap();
    assert_eq!((before_epoch.micros(), before_epoch.millis()), (-1, -1));
}

#[test]
fn texts_without_a_zone_are_refused() {
    for text in ["", "2025-03-04", "2025-03-04T05:06:07", "2025-13-04T05:06:07Z"] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}
