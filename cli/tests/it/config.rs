//! `config show`: every value with the place it comes from.

use crate::run::Room;

#[test]
fn every_value_is_shown_with_its_origin_and_no_secret() {
    let room = Room::new()
        .with("KAFKA_BOOTSTRAP_SERVERS", "broker:1")
        .with("DATABASE_URL", "postgres://me:hidden@db/x");
    room.file("millrace.toml", "[http]\nlisten = \"127.0.0.1:9\"\n");
    let done = room.run(&[
        "config",
        "show",
        "--origin",
        "--set",
        "outbox.batch_records_max=4",
        "-o",
        "ndjson",
    ]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let rows: Vec<serde_json::Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (key, value, origin) in [
        ("kafka.bootstrap_servers", "broker:1", "environment KAFKA_BOOTSTRAP_SERVERS"),
        ("http.listen", "127.0.0.1:9", "millrace.toml"),
        ("outbox.batch_records_max", "4", "flag"),
        ("consume.retry_base", "100ms", "default"),
    ] {
        let row = rows.iter().find(|row| row["key"] == key).unwrap();
        assert_eq!(row["value"], value);
        assert!(row["source"].as_str().unwrap().contains(origin), "{row}");
        assert_eq!(row["format"], 1);
    }
    assert!(!done.stdout.contains("hidden"), "{}", done.stdout);
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let room = Room::new().with("MILLRACE_HTTP__LISEN", "x");
    let done = room.run(&["config", "show"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("did you mean `http.listen`?"), "{}", done.stderr);
}

#[test]
fn settings_of_an_unknown_service_are_refused_with_a_suggestion() {
    let room = Room::new();
    room.file("millrace.toml", "[service.stok]\nx = 1\n[service.order-view]\ny = 2\n");
    for (arguments, code) in [(["config", "show"], 2), (["service", "stock"], 64)] {
        let done = room.run(&arguments);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.stderr.contains("did you mean `service.stock`?"), "{}", done.stderr);
    }
}

#[test]
fn the_format_may_come_from_the_environment() {
    let room = Room::new().with("MILLRACE_OUTPUT", "id");
    let done = room.run(&["config", "show"]);
    assert!(done.stdout.lines().any(|line| line == "http.listen"), "{}", done.stdout);
    let done = room.run(&["config", "show", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(shown["format"], 1);
    assert!(shown["items"].as_array().unwrap().len() > 10);
}
