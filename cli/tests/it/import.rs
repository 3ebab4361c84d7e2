//! Files that are refused before anything is sent.

use std::path::Path;

use crate::run::Room;

fn sample(kind: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    folder.join(format!("{kind}.csv")).display().to_string()
}

#[test]
fn every_wrong_row_of_a_file_is_told_by_its_line_and_nothing_is_sent() {
    let room = Room::new();
    let file = room.file(
        "orders.csv",
        "order_ref,customer,store,sku,quantity,placed_at\n\
         o-1,c-1,s-1,p-1,1,2026-11-20T10:15:00Z\n\
         o-2,c-1,s-1,p-1,0,2026-11-20T10:15:00Z\n\
         o-3,c-1,s-1,p-1,1,2026-11-20T10:15:00Z\n\
         o-4,,s-1,p-1,1,today\n",
    );
    let done = room.run(&["import", "orders", &file, "--wait"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert!(lines[0].starts_with("orders.csv:3: quantity: "), "{lines:?}");
    assert!(lines[1].starts_with("orders.csv:5: customer: "), "{lines:?}");
    assert!(lines[1].contains("placed_at: "), "{lines:?}");
    assert_eq!(lines.len(), 3);
    assert!(lines[2].contains("nothing was sent"), "{lines:?}");
}

#[test]
fn the_samples_are_in_order() {
    let room = Room::new();
    for (kind, sent) in [("products", 30), ("stock", 40), ("accounts", 24), ("orders", 24)] {
        let done = room.run(&["import", kind, &sample(kind), "--dry-run"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains(&format!("{sent} {kind} of ")), "{}", done.stdout);
        assert!(done.stderr.contains("nothing was sent"), "{}", done.stderr);
    }
}

#[test]
fn a_file_that_is_not_there_is_not_found_and_an_unknown_kind_of_file_is_asked_for() {
    let room = Room::new();
    assert_eq!(room.run(&["import", "orders", "missing.csv"]).code, Some(3));
    let file = room.file("orders.dat", "{}");
    let done = room.run(&["import", "orders", &file]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("--format"), "{}", done.stderr);
    assert_eq!(room.run(&["import", "orders", &file, "--format", "ndjson"]).code, Some(1));
}
