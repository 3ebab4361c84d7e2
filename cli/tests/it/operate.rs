//! An operator's day on a running system: a group is paused, an order is late and it is said why,
//! the group goes on, and what cannot be done is refused with the way out.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::eventually;
use millrace::admin::{Admin, RawRecord};
use ops::Endpoints;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::run::{Done, Room};
use crate::shop::{Dev, import, room};

const SOON: Duration = Duration::from_secs(30);
const NOBODY: &str = "0190b2e0-0000-7000-8000-000000000000";

fn lines(done: &Done) -> Vec<Value> {
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Repeats a command until what it says is as wanted.
async fn until(room: &Room, arguments: &[&str], wanted: impl Fn(&Done) -> bool) -> Done {
    let what = arguments.join(" ");
    let done = eventually(SOON, &what, async || {
        let done = room.run(arguments);
        if wanted(&done) { Ok(done) } else { Err(format!("{done:?}")) }
    });
    done.await.unwrap()
}

fn does(room: &Room, arguments: &[&str]) -> Done {
    let done = room.run(arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    done
}

#[tokio::test]
async fn a_paused_group_is_named_as_the_reason_and_goes_on_when_it_is_resumed() {
    let room = room();
    let dev = Dev::start(&room);
    for kind in ["products", "stock", "accounts"] {
        import(&room, kind, &[]);
    }
    nothing_is_wrong(&room).await;

    let plan = does(&room, &["group", "pause", "stock"]);
    assert!(plan.stdout.contains("retail.stock") && plan.stderr.contains("--execute"), "{plan:?}");
    let act = ["--reason", "stocktaking", "--execute"];
    does(&room, &[&["group", "pause", "stock"] as &[_], &act].concat());
    let place = ["order", "place", "--customer", "c-1001", "--store", "s-01", "--line", "p-1001=2"];
    let placed = does(&room, &[&place as &[_], &["--execute", "-o", "id"]].concat());
    let order = placed.stdout.trim();

    let stuck = ["order", "stuck", "--older-than", "0s", "--check", "-o", "ndjson"];
    let late = until(&room, &stuck, |done| done.stdout.contains("\"paused\"")).await;
    assert_eq!(late.code, Some(10), "{late:?}");
    let late = &lines(&late)[0];
    assert_eq!((&late["order_id"], &late["owes"]), (&order.into(), &"stock".into()));
    assert_eq!(late["facts"], serde_json::json!(["StockReserved", "StockUnavailable"]));
    let told = does(&room, &["order", "explain", order]);
    assert!(told.stdout.contains("customer c-1001 ordered 2 x p-1001"), "{told:?}");
    assert!(told.stdout.contains("an operator paused stock"), "{told:?}");
    assert!(told.stderr.contains("millrace group resume stock"), "{told:?}");
    let of_payments = room.run(&[&stuck as &[_], &["--step", "payments"]].concat());
    assert_eq!((of_payments.code, of_payments.stdout.as_str()), (Some(0), ""));

    does(&room, &[&["group", "resume", "stock"] as &[_], &act].concat());
    let watched = does(&room, &["order", "show", order, "-w", "-o", "ndjson"]);
    let facts: Vec<Value> = lines(&watched).iter().map(|fact| fact["fact"].clone()).collect();
    assert_eq!(facts.len(), 5, "{watched:?}");
    assert_eq!(facts[4], "OrderConfirmed");
    assert_eq!(room.run(&stuck).code, Some(0));

    the_journal_is_whole_and_other_rules_are_tried(&room, order).await;
    a_skip_is_an_operation(&room);
    what_is_not_there_is_not_found(&room);
    dead_letters_are_redriven_discarded_and_restored(&room).await;
    dev.stop();
}

async fn nothing_is_wrong(room: &Room) {
    let groups = ["group", "list", "-o", "ndjson"];
    let ready = |done: &Done| {
        let lines = lines(done);
        lines.len() == ops::SERVICES.len() && lines.iter().all(|group| group["ready"] == true)
    };
    until(room, &groups, ready).await;
    let causes = does(room, &["dlq", "causes"]);
    assert!(causes.stderr.contains("there are no dead letters"), "{causes:?}");
    let shown = does(room, &["group", "show", "payments", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["reading"].as_array().unwrap().len(), 12, "{shown}");
}

async fn the_journal_is_whole_and_other_rules_are_tried(room: &Room, order: &str) {
    let show = ["journal", "show", order, "-o", "ndjson"];
    let shown = until(room, &show, |done| done.stdout.lines().count() == 5).await;
    assert_eq!(lines(&shown)[0]["fact"], "retail.order.OrderPlaced");
    let then = does(room, &["journal", "show", order, "--version", "1", "-o", "json"]);
    let then: Value = serde_json::from_str(&then.stdout).unwrap();
    assert_eq!((&then["length"], &then["state"]["status"]), (&5.into(), &"placed".into()));

    for _ in ["it is written", "it is compared"] {
        let whole = does(room, &["journal", "verify", "--anchor", "heads.ndjson", "-o", "ndjson"]);
        assert_eq!(lines(&whole)[0]["entries"], 5, "{whole:?}");
    }
    does(room, &["journal", "verify", "--order", order]);
    assert_eq!(room.run(&["journal", "verify", "--order", NOBODY]).code, Some(3));
    let anchor = std::fs::read_to_string(room.path().join("heads.ndjson")).unwrap();
    let hash = anchor.split('"').rev().nth(1).unwrap();
    room.file("heads.ndjson", &anchor.replace(hash, &"0".repeat(64)));
    let broken = room.run(&["journal", "verify", "--anchor", "heads.ndjson"]);
    assert_eq!(broken.code, Some(10), "{broken:?}");
    let named = format!("order {order}, entry 5: it was anchored with");
    assert!(broken.stderr.contains(&named), "{broken:?}");

    for (form, head) in [("ndjson", 0), ("csv", 1)] {
        let out = format!("journal.{form}");
        let export = ["journal", "export", "--format", form, "--store", "s-01", "--out", &out];
        does(room, &export);
        let written = std::fs::read_to_string(room.path().join(&out)).unwrap();
        assert_eq!(written.lines().count(), 5 + head, "{written}");
    }
    does(room, &["journal", "export", "--format", "parquet", "--out", "journal.parquet"]);
    let table = std::fs::File::open(room.path().join("journal.parquet")).unwrap();
    let table = SerializedFileReader::new(table).unwrap();
    assert_eq!(table.metadata().file_metadata().num_rows(), 5);
    let nowhere = ["journal", "export", "--format", "csv", "--out", "nowhere/journal.csv"];
    let nowhere = room.run(&nowhere);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("nowhere/journal.csv"), "{nowhere:?}");
    let left = std::fs::read_dir(room.path()).unwrap().filter_map(Result::ok);
    let left = left.filter(|file| file.file_name().to_string_lossy().contains("-export-"));
    assert_eq!(left.count(), 0, "a draft was left behind");
    let replay = ["journal", "replay", "--payment-limit", "1.00", "-o", "ndjson"];
    let with = [&replay as &[_], &["--with", env!("CARGO_BIN_EXE_millrace")]].concat();
    for asked in [&replay as &[_], &with] {
        let otherwise = lines(&does(room, asked));
        let found = (&otherwise[0]["order_id"], &otherwise[0]["would_be"], otherwise.len());
        assert_eq!(found, (&order.into(), &"refused".into(), 1));
    }
    assert_eq!(room.run(&["journal", "replay"]).code, Some(2));
    assert_eq!(does(room, &["journal", "replay", "--deadline", "10m", "-o", "ndjson"]).stdout, "");
}

fn a_skip_is_an_operation(room: &Room) {
    let place = ["--topic", "retail.order.events.v1", "--partition", "0", "--offset", "999999"];
    let skip = [&["group", "skip", "retail.stock"] as &[_], &place].concat();
    let plan = does(room, &skip);
    assert!(plan.stdout.contains("retail.order.events.v1/0 at offset 999999"), "{plan:?}");
    let act = ["--reason", "a test", "--execute", "-o", "ndjson"];
    let done = does(room, &[&skip as &[_], &act].concat());
    let operation = &lines(&done)[0];
    assert_eq!((&operation["kind"], &operation["state"]), (&"skip".into(), &"done".into()));
    let id = operation["id"].as_str().unwrap();
    let listed = does(room, &["operation", "list", "-o", "id"]);
    assert!(listed.stdout.lines().any(|line| line == id), "{listed:?}");
    let ended = room.run(&["operation", "cancel", id, "--reason", "late", "--execute"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(does(room, &["operation", "watch", id, "-o", "id"]).stdout.trim(), id);
}

fn what_is_not_there_is_not_found(room: &Room) {
    for (arguments, code, way_out) in [
        (&["dlq", "redrive", "--cause", "7f3a"] as &[&str], 3, "millrace dlq causes"),
        (&["dlq", "discard", "--key", NOBODY], 3, "millrace dlq causes"),
        (&["dlq", "restore", "--id", NOBODY], 3, "--status discarded"),
        (&["dlq", "show", NOBODY], 3, "millrace dlq list"),
        (&["dlq", "list", "--cause", "7f3a"], 3, "millrace dlq causes"),
        (&["dlq", "list", "--service", "nonsense"], 2, "databases"),
        (&["dlq", "causes", "--topic", "nonsense"], 3, "nonsense"),
        (&["operation", "watch", NOBODY], 3, "millrace operation list"),
        (&["group", "show", "nonsense"], 3, "order-view"),
        (&["order", "explain", NOBODY], 3, ""),
    ] {
        let done = room.run(arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(way_out), "{arguments:?}: {}", done.stderr);
    }
}

/// Bytes that are no fact: every service that reads the topic has them as a dead letter.
async fn dead_letters_are_redriven_discarded_and_restored(room: &Room) {
    let endpoints = Endpoints::load(&room.home().join("dev.json")).unwrap();
    let admin = Admin::connect(&endpoints.kafka, &BTreeMap::new()).await.unwrap();
    let (key, payload) = (Some(b"k-1".to_vec()), Some(b"nonsense".to_vec()));
    let record = RawRecord { key, payload, ..RawRecord::default() };
    admin.produce("retail.order.events.v1", record).await.unwrap();
    let readers = ["stock", "payments", "sales", "order-view", "journal"];
    let causes = until(room, &["dlq", "causes", "-o", "ndjson"], |done| {
        done.stdout.lines().count() == readers.len()
    });
    let causes = lines(&causes.await);
    let of_stock = causes.iter().find(|cause| cause["service"] == "stock").unwrap();
    let cause = of_stock["cause"].as_str().unwrap();

    let id = does(room, &["dlq", "list", "--cause", &cause[..4], "-o", "id"]).stdout;
    let shown = does(room, &["dlq", "show", id.trim(), "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown["key"], &shown["content"]["value"]), (&"k-1".into(), &"nonsense".into()));
    let exported = does(room, &["dlq", "export", "--cause", cause, "--file", "letters.ndjson"]);
    assert!(exported.stderr.contains("1 dead letters"), "{exported:?}");
    assert_eq!(
        room.run(&["dlq", "export", "--cause", cause, "--file", "letters.ndjson"]).code,
        Some(4)
    );

    let redrive = ["dlq", "redrive", "--cause", cause];
    let plan = does(room, &redrive);
    assert!(plan.stdout.contains("stock") && plan.stderr.contains("--execute"), "{plan:?}");
    let repaired = room.run(&[&redrive as &[_], &["--set", "$.a=1"]].concat());
    assert_eq!(repaired.code, Some(4), "{repaired:?}");
    let act = ["--reason", "a test", "--execute", "-o", "ndjson"];
    let again = room.run(&[&redrive as &[_], &act].concat());
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!((&lines(&again)[0]["total"], &lines(&again)[0]["failed"]), (&1.into(), &1.into()));

    let discarded = does(room, &[&["dlq", "discard", "--key", "k-1"] as &[_], &act].concat());
    assert_eq!(lines(&discarded).len(), readers.len());
    assert_eq!(does(room, &["dlq", "causes", "-o", "ndjson"]).stdout, "");
    does(room, &[&["dlq", "restore", "--cause", cause] as &[_], &act].concat());
    assert_eq!(does(room, &["dlq", "list", "--key", "k-1", "-o", "id"]).stdout, id);
}
