//! Nothing is reported where nothing is wrong, and nothing is decided about nothing.

use harness::check::{TRANSPORT, judge};

use super::tale;
use crate::law::LAW;

#[test]
fn a_run_without_a_fault_breaks_no_invariant_and_leaves_none_without_evidence() {
    for rounds in [1, 3, 8] {
        let verdict = judge(&tale::clean(rounds), &[TRANSPORT, LAW]);
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!(verdict.vacuous(), [""; 0], "{verdict}");
    }
}

#[test]
fn the_same_evidence_gets_the_same_verdict() {
    let evidence = tale::clean(2);
    let (first, second) =
        (judge(&evidence, &[TRANSPORT, LAW]), judge(&evidence, &[TRANSPORT, LAW]));
    assert_eq!(first, second);
    let read: harness::check::Verdict = serde_json::from_str(&first.to_json()).unwrap();
    assert_eq!(read, first);
}
