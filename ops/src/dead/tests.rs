//! Causes and filters over letters, and the difference between two values.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::Timestamp;
use serde_json::json;

use super::{Filter, Letter, Trend, causes, changes};

const NOW: i64 = 1_700_000_000_000_000;
const MINUTE: i64 = 60_000_000;

fn letter(cause: &str, key: &str, minutes_ago: i64) -> Letter {
    let at = Timestamp::from_micros(NOW - minutes_ago * MINUTE);
    Letter {
        id: format!("{cause}/{key}/{minutes_ago}"),
        service: "payments".to_owned(),
        cause: cause.to_owned(),
        status: "dead".to_owned(),
        reason: "poison".to_owned(),
        error_type: "decision".to_owned(),
        error_message: format!("{minutes_ago} minutes ago"),
        fact: "retail.stock.StockReserved".to_owned(),
        key: key.to_owned(),
        topic: "retail.stock.events.v1".to_owned(),
        partition: Some(3),
        offset: Some(minutes_ago),
        attempts: Some(1),
        redrives: Some(0),
        first_failed_at: at,
        last_failed_at: at,
        parked_at: at,
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(NOW).unwrap()
}

#[test]
fn a_thousand_letters_of_one_cause_are_one_line() {
    let mut letters: Vec<Letter> =
        (0..1000).map(|n| letter("aa", &format!("k-{}", n % 500), 20 + n)).collect();
    letters.push(letter("bb", "", 1));
    let waiting = BTreeMap::from([
        (("payments".to_owned(), "k-1".to_owned()), 3),
        (("payments".to_owned(), "k-2".to_owned()), 4),
        (("stock".to_owned(), "k-1".to_owned()), 90),
        (("payments".to_owned(), String::new()), 90),
    ]);
    let found = causes(&letters, &waiting, now());
    assert_eq!(found.len(), 2);
    let (first, second) = (&found[0], &found[1]);
    assert_eq!((first.count, first.keys, first.waiting), (1000, 500, 7));
    assert_eq!(first.message, "20 minutes ago");
    assert_eq!(first.first_at, Timestamp::from_micros(NOW - 1019 * MINUTE));
    assert_eq!((second.count, second.keys, second.waiting), (1, 0, 0));
}

#[test]
fn the_trend_compares_a_quarter_of_an_hour_with_the_one_before() {
    for (minutes, recent, trend) in [
        (&[1_i64, 2, 20] as &[i64], 2, Trend::Rising),
        (&[1, 20], 1, Trend::Steady),
        (&[1, 20, 21], 1, Trend::Falling),
        (&[31, 90], 0, Trend::Quiet),
    ] {
        let letters: Vec<Letter> = minutes.iter().map(|ago| letter("aa", "k", *ago)).collect();
        let found = causes(&letters, &BTreeMap::new(), now());
        assert_eq!((found[0].recent, found[0].trend), (recent, trend), "{minutes:?}");
    }
}

#[test]
fn a_filter_takes_what_meets_all_it_says() {
    let one = letter("7f3a0b1c", "k", 1);
    let text = |text: &str| Some(text.to_owned());
    for (filter, takes) in [
        (Filter::default(), true),
        (Filter { cause: text("7f3a"), key: text("k"), ..Filter::default() }, true),
        (Filter { cause: text("3a"), ..Filter::default() }, false),
        (Filter { key: text("other"), ..Filter::default() }, false),
        (Filter { service: text("stock"), ..Filter::default() }, false),
        (Filter { status: vec!["waiting".to_owned()], ..Filter::default() }, false),
        (Filter { ids: vec![uuid::Uuid::now_v7()], ..Filter::default() }, false),
    ] {
        assert_eq!(filter.takes(&one), takes, "{filter:?}");
    }
}

#[test]
fn a_difference_names_the_smallest_places() {
    let before = json!({"a": {"b": 1, "c/d": 2}, "l": [1, 2], "m": [1], "gone": 1});
    let after = json!({"a": {"b": 1, "c/d": 3}, "l": [1, 5], "m": [1, 2], "new": true});
    let told: Vec<String> = changes(&before, &after)
        .iter()
        .map(|change| format!("{} {}>{}", change.pointer, change.before, change.after))
        .collect();
    let wanted = ["/a/c~1d 2>3", "/gone 1>null", "/l/1 2>5", "/m [1]>[1,2]", "/new null>true"];
    assert_eq!(told, wanted);
    assert_eq!(changes(&before, &before), []);
}

proptest! {
    #[test]
    fn no_letter_is_lost_or_counted_twice(
        letters in prop::collection::vec((0..4_u8, 0..5_u8, 0..90_i64), 0..60),
    ) {
        let letters: Vec<Letter> = letters
            .into_iter()
            .map(|(cause, key, ago)| letter(&cause.to_string(), &key.to_string(), ago))
            .collect();
        let found = causes(&letters, &BTreeMap::new(), now());
        prop_assert_eq!(found.iter().map(|cause| cause.count).sum::<usize>(), letters.len());
        prop_assert!(found.is_sorted_by_key(|cause| std::cmp::Reverse(cause.count)));
        prop_assert!(found.iter().all(|cause| cause.keys <= cause.count));
    }
}
