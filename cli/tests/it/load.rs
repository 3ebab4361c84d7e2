//! Orders at a steady rate, on a system that runs.

use serde_json::Value;

use crate::shop::{Dev, room};

#[test]
fn every_order_of_a_load_is_followed_to_its_one_outcome_and_a_missed_bound_is_told() {
    let room = room();
    let dev = Dev::start(&room);
    let run = ["load", "run", "checkout", "--rate", "5/s", "--for", "2s", "-o", "json"];
    let done = room.run(&[&run[..], &["--html", "load.html"]].concat());
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let number = |name: &str| told[name].as_u64().unwrap();
    assert_eq!((number("planned"), number("sent"), number("errors")), (10, 10, 0), "{done:?}");
    assert_eq!((number("lost"), number("changed")), (0, 0), "{done:?}");
    assert_eq!(told["outcomes"]["confirmed"], 10, "{done:?}");
    assert_eq!(told["order_decided"]["count"], 10);
    // A busy machine may send late; then nothing is concluded, and that is said.
    match told["void"].as_str() {
        None => assert_eq!(done.code, Some(0), "{done:?}"),
        Some(_) => assert_eq!(done.code, Some(10), "{done:?}"),
    }
    let page = std::fs::read_to_string(room.path().join("load.html")).unwrap();
    assert!(page.contains("10 confirmed") && page.contains("<svg"), "{page}");

    let missed = ["--assert", "p50(order_decided)<1ms", "--assert", "lost==0"];
    let done = room.run(&[&run[..], &missed].concat());
    assert_eq!(done.code, Some(10), "{done:?}");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let missed: Vec<_> = told["assertions"].as_array().unwrap().iter().collect();
    let missed: Vec<_> = missed.iter().filter(|it| it["pass"] == false).collect();
    assert_eq!(missed.len(), 1, "{done:?}");
    assert_eq!(missed[0]["assertion"], "p50(order_decided)<1ms");
    dev.stop();
}

#[test]
fn what_is_no_assertion_or_no_rate_is_refused_before_anything_is_placed() {
    let room = room();
    for wrong in [
        ["--assert", "p96(http)<1s"],
        ["--assert", "lost"],
        ["--rate", "fast"],
        ["--for", "a while"],
        ["--for", "0s"],
    ] {
        let done = room.run(&[&["load", "run", "checkout"][..], &wrong].concat());
        assert_eq!(done.code, Some(2), "{wrong:?}: {done:?}");
    }
}
