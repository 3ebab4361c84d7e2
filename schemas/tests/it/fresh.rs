//! What is committed follows from the `.avsc` files, and what was released never changes.

use std::collections::BTreeSet;
use std::fs;

use crate::kinds::here;

#[test]
fn the_generated_types_are_fresh() {
    let committed = fs::read_to_string(here().join("src/generated.rs")).unwrap();
    let generated = millrace_codegen::generate(here()).unwrap().rust;
    assert!(
        committed == generated,
        "src/generated.rs is stale or edited: run `cargo run -p millrace-codegen -- schemas`"
    );
}

#[test]
fn the_schemas_are_the_released_ones() {
    for (subject, current) in millrace_codegen::generate(here()).unwrap().schemas {
        let released = millrace_codegen::released(here(), &subject).unwrap();
        let numbers: Vec<u32> = released.keys().copied().collect();
        assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>(), "{subject}");
        assert!(
            released.values().next_back() == Some(&current),
            "{subject} is not what was last released as version {}. Producers and consumers of \
             both versions will run side by side: only a new optional field (with default null) \
             or a new enum symbol is safe for both. If that is all the change is, release it with \
             `cargo run -p millrace-codegen -- schemas --release` and never edit the released \
             file afterwards; otherwise give the new meaning a new event.",
            numbers.len()
        );
    }
}

#[test]
fn nothing_is_released_but_the_events() {
    let folders = fs::read_dir(here().join("released")).unwrap();
    let released: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let known: BTreeSet<String> = schemas::EVENTS.iter().map(|event| event.subject()).collect();
    assert_eq!(released, known);
}
