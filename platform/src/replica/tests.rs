//! What a store promises, without a broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::row::{Place, Row};
use super::store::{About, Batch, Change, Found, Store, StoreError};

const CACHE: usize = 4 * 1024 * 1024;

/// A state is found under its own bytes.
fn entries_of(content: &[u8], key: &[u8]) -> Option<Vec<Vec<u8>>> {
    Some(vec![[content, b"\0", key].concat()])
}

fn about(topic: &str) -> About {
    BTreeMap::from([("topic", topic.to_owned())])
}

fn open(folder: &Path) -> (Store, Found) {
    Store::open(folder, CACHE, about("t"), entries_of).unwrap()
}

/// A copy that is whole, and empty as its topic.
fn whole(folder: &Path) -> Store {
    let (store, _) = open(folder);
    assert!(store.complete(|| false).unwrap());
    store
}

fn row(offset: u64, version: u64, content: &[u8]) -> Row<'_> {
    Row { lives: true, place: Place { partition: 0, offset }, version, content }
}

/// What a record does to a key.
fn put(key: &str, row: Row<'_>) -> (Vec<u8>, Change) {
    (key.as_bytes().to_vec(), Change { row: Some(row.write()), stale: None })
}

fn batch(next: u64, changes: Vec<(Vec<u8>, Change)>) -> Batch {
    let changes = changes.into_iter().collect();
    Batch { changes, next: BTreeMap::from([(0, next)]), durable: true, ..Batch::default() }
}

fn content(store: &Store, key: &str) -> Option<Vec<u8>> {
    let read = |bytes: &[u8]| Row::read(bytes).map(|row| row.content.to_vec());
    store.read().unwrap().row(key.as_bytes(), read).unwrap().flatten()
}

/// All entries of the index, the last first, with the contents behind them.
fn index(store: &Store) -> Vec<Vec<u8>> {
    let mut found = vec![];
    let read = store.read().unwrap();
    let keep = |entry: &[u8], _: &[u8]| {
        found.push(entry.to_vec());
        true
    };
    read.scan(&[], &[255], 2, keep).unwrap();
    found
}

#[test]
fn rows_positions_and_indexes_change_together_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    let (store, found) = open(folder.path());
    assert_eq!(found, Found::Nothing(None));
    store.apply(&batch(2, vec![put("k", row(0, 1, b"a")), put("l", row(1, 1, b"b"))])).unwrap();
    drop(store);
    let (store, found) = open(folder.path());
    assert_eq!(found, Found::Part);
    assert!(store.complete(|| false).unwrap());
    drop(store);
    let (store, found) = open(folder.path());
    assert_eq!(found, Found::Copy);
    assert_eq!(store.read().unwrap().next().unwrap(), BTreeMap::from([(0, 2)]));
    assert_eq!(content(&store, "k"), Some(b"a".to_vec()));
    assert_eq!(index(&store), [b"b\0l".to_vec(), b"a\0k".to_vec()]);
}

#[test]
fn a_later_state_takes_the_place_of_an_earlier_one_and_an_older_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = whole(folder.path());
    store.apply(&batch(1, vec![put("k", row(0, 5, b"a"))])).unwrap();
    store.apply(&batch(2, vec![put("k", row(1, 6, b"b"))])).unwrap();
    store.apply(&batch(3, vec![put("k", row(2, 5, b"a"))])).unwrap();
    assert_eq!(content(&store, "k"), Some(b"b".to_vec()));
    assert_eq!(index(&store), [b"b\0k".to_vec()]);
    let from = Place { partition: 0, offset: 0 };
    let changed = store.read().unwrap().changed(from, 10).unwrap();
    assert_eq!(changed, [row(1, 6, b"b").write()], "the feed has each key once");
}

#[test]
fn a_state_that_is_taken_back_is_found_nowhere_but_in_the_feed() {
    let folder = tempfile::tempdir().unwrap();
    let store = whole(folder.path());
    store.apply(&batch(1, vec![put("k", row(0, 1, b"a"))])).unwrap();
    let gone = Row { lives: false, ..row(1, 2, b"k") };
    store.apply(&batch(2, vec![put("k", gone)])).unwrap();
    assert!(index(&store).is_empty());
    let from = Place { partition: 0, offset: 1 };
    assert_eq!(store.read().unwrap().changed(from, 10).unwrap(), [gone.write()]);
}

/// Of each key the last row counts; rows that were taken back are in no index.
#[test]
fn the_index_of_a_new_copy_is_made_at_its_end_whatever_happened_before() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    store.apply(&batch(2, vec![put("k", row(0, 1, b"a")), put("l", row(1, 1, b"b"))])).unwrap();
    assert!(index(&store).is_empty());
    assert!(!store.complete(|| true).unwrap(), "interrupted");
    drop(store);
    let (store, found) = open(folder.path());
    assert_eq!(found, Found::Part);
    let gone = Row { lives: false, ..row(2, 2, b"l") };
    store.apply(&batch(4, vec![put("l", gone), put("k", row(3, 2, b"c"))])).unwrap();
    assert!(store.complete(|| false).unwrap());
    assert_eq!(index(&store), [b"c\0k".to_vec()]);
    store.apply(&batch(5, vec![put("k", row(4, 3, b"d"))])).unwrap();
    assert_eq!(index(&store), [b"d\0k".to_vec()]);
}

#[test]
fn a_stale_key_keeps_what_is_known_until_a_later_record_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = whole(folder.path());
    store.apply(&batch(1, vec![put("k", row(0, 1, b"a"))])).unwrap();
    let stale = Change { row: None, stale: Some("datum".to_owned()) };
    store.apply(&batch(2, vec![(b"k".to_vec(), stale)])).unwrap();
    let kept = store.read().unwrap().get(b"k").unwrap();
    assert_eq!((kept.row, kept.stale.as_deref()), (Some(row(0, 1, b"a").write()), Some("datum")));
    store.apply(&batch(3, vec![put("k", row(2, 3, b"b"))])).unwrap();
    assert_eq!(store.read().unwrap().get(b"k").unwrap().stale, None);
    assert_eq!(store.read().unwrap().stale_keys().unwrap(), 0);
}

#[test]
fn a_folder_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _) = open(folder.path());
    let taken = Store::open(folder.path(), CACHE, about("t"), entries_of).err().unwrap();
    assert!(matches!(taken, StoreError::Taken(_)), "{taken}");
    assert!(taken.to_string().contains("replica.dir"), "{taken}");
}

#[test]
fn a_store_of_another_topic_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    store.apply(&batch(1, vec![put("k", row(0, 1, b"a"))])).unwrap();
    drop(store);
    let (store, found) = Store::open(folder.path(), CACHE, about("u"), entries_of).unwrap();
    assert_eq!(found, Found::Nothing(Some("its topic is \"t\", not \"u\"".to_owned())));
    assert_eq!(content(&store, "k"), None);
}

/// A store with a thousand rows, closed.
fn filled(folder: &Path) -> Vec<u8> {
    let (store, _) = open(folder);
    let text = "x".repeat(300);
    let put = |n: u64| put(&format!("k{n}"), row(n, 1, text.as_bytes()));
    store.apply(&batch(1000, (0..1000).map(put).collect())).unwrap();
    assert!(store.complete(|| false).unwrap());
    drop(store);
    fs::read(folder.join("replica.redb")).unwrap()
}

#[test]
fn a_truncated_store_is_thrown_away_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(folder.path());
    let lengths = (0..whole.len()).step_by(whole.len() / 40);
    for length in lengths.chain([1, 100, 4096, whole.len() - 1]) {
        fs::write(folder.path().join("replica.redb"), &whole[..length]).unwrap();
        let (store, found) = open(folder.path());
        assert!(matches!(found, Found::Nothing(_)), "cut to {length} bytes: {found:?}");
        assert_eq!(content(&store, "k1"), None);
    }
}

#[test]
fn a_store_with_a_damaged_page_is_thrown_away_or_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(folder.path());
    let mut thrown_away = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        let end = (at + 64).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(folder.path().join("replica.redb"), &damaged).unwrap();
        let (store, found) = open(folder.path());
        match found {
            Found::Nothing(_) => thrown_away += 1,
            _ => (0..1000).for_each(|n| {
                assert_eq!(content(&store, &format!("k{n}")), Some("x".repeat(300).into_bytes()));
            }),
        }
    }
    assert!(thrown_away > 5, "{thrown_away}");
}
