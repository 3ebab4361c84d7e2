//! Defects of this service's store, for the checker of the invariants to find. Without the
//! platform's feature `plants` each of these passes on what it was given.

use std::borrow::Cow;

use millrace::plant::{self, Plant};
use uuid::Uuid;

use crate::domain::{Entry, Kind, Level, Place, State};

/// Levels as they are written.
pub(crate) fn levels<'a>(
    mut levels: Vec<(&'a Place, Level)>,
    entries: &[Entry],
) -> Vec<(&'a Place, Level)> {
    for (place, level) in &mut levels {
        for entry in entries.iter().filter(|entry| entry.place == **place) {
            match entry.kind {
                Kind::Release if plant::is(Plant::StockReleaseShort) => level.reserved += 1,
                Kind::Reserve if plant::is(Plant::StockReserveTwice) => {
                    level.reserved += entry.reserved;
                }
                _ => {}
            }
        }
    }
    levels
}

/// Entries as they are written.
pub(crate) fn entries(entries: &[Entry]) -> Cow<'_, [Entry]> {
    let releases = |entry: &Entry| entry.kind == Kind::Release;
    if plant::is(Plant::StockReleaseUnwritten) {
        return entries.iter().filter(|entry| !releases(entry)).cloned().collect();
    }
    if plant::is(Plant::StockReleaseShort) {
        let short = |entry: &Entry| {
            let less = i64::from(releases(entry));
            Entry { reserved: entry.reserved + less, ..entry.clone() }
        };
        return entries.iter().map(short).collect();
    }
    if plant::is(Plant::StockReserveTwice) {
        let again = entries.iter().filter(|entry| entry.kind == Kind::Reserve);
        let again = again.map(|entry| {
            let cause = Uuid::from_u128(entry.cause.as_u128() ^ 1);
            Entry { cause, ..entry.clone() }
        });
        return entries.iter().cloned().chain(again).collect();
    }
    Cow::Borrowed(entries)
}

/// The state of a reservation as it is read.
pub(crate) fn state(state: State) -> State {
    match state {
        State::Reserved if plant::is(Plant::StockReleaseForgotten) => State::Released,
        state => state,
    }
}

/// What is promised of a level, as it is read.
pub(crate) fn reserved(reserved: i64) -> i64 {
    if plant::is(Plant::StockPromisesForgotten) { 0 } else { reserved }
}
