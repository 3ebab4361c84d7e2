//! What each command says when nothing runs.

use serde_json::json;

use crate::run::{Room, nobody};

/// A room whose endpoints lead nowhere.
fn deserted() -> Room {
    let room = Room::new().with("MILLRACE_ENDPOINTS", "endpoints.json");
    let services = ["catalogue", "orders", "stock", "payments", "sales", "order-view", "journal"];
    let services: serde_json::Map<_, _> = services
        .iter()
        .map(|name| ((*name).to_owned(), format!("http://{}", nobody()).into()))
        .collect();
    let endpoints = json!({
        "services": services,
        "kafka": nobody(),
        "registry": format!("http://{}", nobody()),
        "databases": {
            "journal": format!("postgres://me:hidden@{}/x", nobody()),
            "orders": format!("postgres://me:hidden@{}/x", nobody()),
        },
    });
    room.file("endpoints.json", &endpoints.to_string());
    room
}

#[test]
fn every_command_that_reaches_nobody_ends_with_five_and_says_what_to_start() {
    let room = deserted();
    let id = "0190b2e0-0000-7000-8000-000000000000";
    for command in [
        &["order", "list"] as &[&str],
        &["order", "show", id],
        &["order", "cancel", id],
        &["order", "cancel", id, "--reason", "no", "--execute"],
        &["order", "place", "--customer", "c-1", "--store", "s-1", "--line", "p-1=1", "--execute"],
        &["schema", "register"],
        &["schema", "register", "--execute"],
        &["topic", "list"],
        &["order", "stuck"],
        &["order", "explain", id],
        &["order", "show", id, "-w"],
        &["group", "list"],
        &["load", "run", "checkout", "--for", "1s"],
        &["group", "show", "stock"],
        &["group", "pause", "stock", "--reason", "no", "--execute"],
        &["dlq", "causes"],
        &["dlq", "list", "--cause", "7f3a"],
        &["dlq", "show", id],
        &["dlq", "export"],
        &["dlq", "causes", "--topic", "orders-dlt"],
        &["dlq", "redrive", "--cause", "7f3a"],
        &["dlq", "discard", "--key", id, "--reason", "no", "--execute"],
        &["operation", "list"],
        &["operation", "watch", id],
        &["operation", "cancel", id],
        &["journal", "show", id],
        &["journal", "verify"],
    ] {
        let done = room.run(command);
        assert_eq!(done.code, Some(5), "{command:?}: {done:?}");
        assert_eq!(done.stdout, "", "{command:?}");
        assert!(done.stderr.contains("`millrace dev`"), "{command:?}: {}", done.stderr);
    }
}

#[test]
fn the_doctor_names_every_part_and_ends_with_ten() {
    let done = deserted().run(&["doctor", "-o", "ndjson"]);
    assert_eq!(done.code, Some(10), "{done:?}");
    let findings: Vec<serde_json::Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for part in ["broker", "registry", "database orders", "service stock", "service order-view"] {
        let finding = findings.iter().find(|finding| finding["part"] == part).unwrap();
        assert_eq!(finding["verdict"], "wrong", "{finding}");
        assert!(finding["fix"].is_string(), "{finding}");
    }
    assert!(!done.stdout.contains("hidden") && !done.stderr.contains("hidden"), "{done:?}");
}

#[test]
fn a_plan_of_an_order_needs_nobody_and_changes_nothing() {
    let done = deserted().run(&[
        "order",
        "place",
        "--customer",
        "c-1",
        "--store",
        "s-1",
        "--line",
        "p-1=2",
    ]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("2 x p-1"), "{}", done.stdout);
    assert!(done.stderr.contains("--execute"), "{}", done.stderr);
}
