//! Every kind of damage to a clean run is found, by exactly the invariants that speak of it, and
//! for each invariant there are at least three kinds.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Invariant, TRANSPORT, judge};

use super::damages::{DAMAGES, Damage};
use super::tale;
use crate::law::LAW;

/// Rounds of orders of every way, so that damage does not hit the only order.
const ROUNDS: usize = 3;
const KINDS_MIN: usize = 3;

fn invariants() -> impl Iterator<Item = &'static Invariant> {
    TRANSPORT.iter().chain(LAW)
}

#[test]
fn every_damage_is_reported_by_exactly_its_invariants() {
    let mut wrong = vec![];
    for Damage { what, breaks, done } in DAMAGES {
        let mut sim = tale::run(ROUNDS);
        done(&mut sim);
        let verdict = judge(&sim.evidence, &[TRANSPORT, LAW]);
        let (found, wanted): (BTreeSet<&str>, BTreeSet<&str>) =
            (verdict.broken().into_iter().collect(), breaks.iter().copied().collect());
        println!("{what:<58} {}", breaks.join(" "));
        if found != wanted {
            wrong.push(format!("{what}: {found:?}, wanted {wanted:?}\n{verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_invariant_has_three_damages_that_it_is_the_first_to_name() {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for damage in DAMAGES {
        *kinds.entry(damage.breaks[0]).or_default() += 1;
    }
    for invariant in invariants() {
        let count = kinds.remove(invariant.id).unwrap_or_default();
        assert!(count >= KINDS_MIN, "{} has {count} damages", invariant.id);
    }
    assert!(kinds.is_empty(), "no invariant is named {kinds:?}");
}

#[test]
fn a_counterexample_tells_the_life_of_its_order_from_all_sources() {
    let mut sim = tale::run(1);
    let order = sim.last("cancelled");
    sim.find("stock", "level", &["mug"])["reserved"] = 0.into();
    sim.find("stock", "reservation", &[&order])["state"] = "reserved".into();
    let verdict = judge(&sim.evidence, &[TRANSPORT, LAW]);
    let ruling = verdict.rulings.iter().find(|ruling| ruling.id == "I7").expect("I7 is judged");
    let about = ruling.told.iter().find(|told| told.subject == order).expect("the order is named");
    let life = about.timeline.join("\n");
    for source in ["client", "outbox", "topic", "inbox", "table"] {
        assert!(life.contains(source), "{source} is missing in\n{life}");
    }
    assert!(verdict.to_string().contains("the reservation is reserved, and confirmed is false"));
}
