//! The catalogue of faults is whole, and every name in it leads to a test or a fault of the kit.

use xtask::{faults::page, root};

/// The catalogue with one thing replaced by another.
fn changed(from: &str, to: &str) -> Result<String, String> {
    let path = root().join("testcontainers/faults.toml");
    let text = std::fs::read_to_string(path).expect("it is there");
    assert!(text.contains(from), "{from} is not in the catalogue");
    page(&text.replacen(from, to, 1), &root()).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_row_of_the_catalogue_is_shown_or_says_why_not() {
    let page = changed("id = \"A1\"", "id = \"A1\"").expect("every name leads somewhere");
    let head = "|  | What goes wrong";
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(" | I")).count();
    assert_eq!(rows - page.matches(head).count(), 91);
}

/// Why a row of the catalogue has no test.
const NO_TRANSACTIONS: &str = "reason = \"nothing here uses Kafka transactions: a fact is sent from the \
                               outbox and absorbed by the inbox\"\n";

#[test]
fn a_wrong_catalogue_is_seen() {
    let test = "a_door_that_dies_around_its_commit_keeps_its_word_to_a_client_that_asks_again";
    for (from, to, wanted) in [
        ("id = \"B7\"", "id = \"B77\"", "wanted"),
        (test, "a_test_that_nobody_wrote", "there is no test"),
        ("\"testcontainers::crash::", "\"chaos:process ", "A1"),
        ("shown_by = [", "shown_by = [\"chaos:process explode\",", "A1"),
        (NO_TRANSACTIONS, "", "does not say why"),
        ("\"I1\"", "\"I99\"", "invariant"),
        ("outcome = ", "outcom = ", "outcom"),
    ] {
        let error = changed(from, to).err().unwrap_or_else(|| panic!("{to} is taken"));
        assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
    }
}
