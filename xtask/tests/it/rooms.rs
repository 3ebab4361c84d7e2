//! The walls between the rooms of a service, and between the crates: what a file may name.

use std::collections::BTreeSet;

use crate::source::{Source, Word, files};

/// A kind of file, and the words it may not name outside its tests.
struct Room {
    name: &'static str,
    is: fn(&str) -> bool,
    forbidden: &'static [&'static str],
}

/// Clocks and chance: with them the same facts would not give the same answer.
const ROOMS: &[Room] = &[
    Room {
        name: "a decision",
        is: |inside| inside == "src/domain.rs" || inside.starts_with("src/domain/"),
        forbidden: &[
            "async",
            "await",
            "tokio",
            "sqlx",
            "axum",
            "utoipa",
            "millrace",
            "rand",
            "reqwest",
            "SystemTime",
            "Instant",
            "now_utc",
            "now_v7",
            "new_v4",
        ],
    },
    Room {
        name: "the side door",
        is: |inside| inside.starts_with("src/on/"),
        forbidden: &[
            "tokio",
            "sqlx",
            "axum",
            "reqwest",
            "rand",
            "SystemTime",
            "Instant",
            "now_utc",
            "now_v7",
            "new_v4",
        ],
    },
    Room {
        name: "the front door",
        is: |inside| inside == "src/http.rs" || inside.starts_with("src/http/"),
        forbidden: &["sqlx"],
    },
    Room {
        name: "the way to a partner",
        is: |inside| inside == "src/provider.rs",
        forbidden: &["sqlx", "axum", "utoipa", "Tx", "Emit", "SystemTime", "Instant", "now_utc"],
    },
    Room {
        name: "the store",
        is: |inside| inside == "src/store.rs" || inside.starts_with("src/store/"),
        forbidden: &["axum", "utoipa", "emit", "Emit"],
    },
    Room {
        name: "a fold",
        is: |inside| inside == "src/view.rs" || inside.starts_with("src/view/"),
        forbidden: &[
            "async",
            "await",
            "tokio",
            "sqlx",
            "axum",
            "millrace",
            "SystemTime",
            "Instant",
            "now_utc",
        ],
    },
];

/// What the side door may take from the platform.
const SIDE_DOOR: &[&str] = &[
    "Announce", "Decide", "Emit", "Envelope", "Event", "Fault", "Fold", "Handle", "Keep", "Kept",
    "Poison", "Settle", "Sweep", "Tx",
];

/// What no service may depend on; other services come on top.
const NOT_FOR_SERVICES: &[&str] = &[
    "apache-avro",
    "harness",
    "millrace-cli",
    "ops",
    "rdkafka",
    "reqwest",
    "schema_registry_converter",
];

/// Crates that may name the Kafka client.
const KAFKA: &[&str] = &["platform", "bench"];

/// What a file names that its room may not, as `path:line: sentence`.
fn faults(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("services/").and_then(|path| path.split_once('/'))
    else {
        return vec![];
    };
    let words = source.product();
    let mut faults = vec![];
    for room in ROOMS.iter().filter(|room| (room.is)(inside.1)) {
        let named = words.iter().filter(|word| room.forbidden.contains(&word.text.as_str()));
        let say = |word: &Word| {
            format!("{}:{}: {} names {}", source.path, word.line, room.name, word.text)
        };
        faults.extend(named.map(say));
    }
    if inside.1.starts_with("src/on/") {
        let taken = taken_from_millrace(&words);
        let foreign = taken.iter().filter(|word| !SIDE_DOOR.contains(&word.text.as_str()));
        faults.extend(foreign.map(|word| {
            format!(
                "{}:{}: the side door takes {} from the platform",
                source.path, word.line, word.text
            )
        }));
    }
    faults
}

/// Names that follow `millrace::`, in braces too.
fn taken_from_millrace(words: &[Word]) -> Vec<&Word> {
    let mut taken = vec![];
    for (at, _) in words.iter().enumerate().filter(|(_, word)| word.text == "millrace") {
        let mut rest = words[at + 1..].iter().skip_while(|word| word.text == ":");
        match rest.next() {
            Some(open) if open.text == "{" => {
                let names = rest.take_while(|word| word.text != "}");
                taken.extend(names.filter(|word| word.text != ","));
            }
            Some(name) => taken.push(name),
            None => {}
        }
    }
    taken
}

#[test]
fn every_room_names_only_what_it_may() {
    let faults: Vec<String> = Source::all().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_service_depends_on_another_or_goes_round_the_platform() {
    let services: BTreeSet<&str> = xtask::services().iter().map(|service| service.name()).collect();
    let mut faults = vec![];
    for (path, text) in files(&["toml"]) {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        for name in dependencies(&text) {
            let service = folder.strip_prefix("services/");
            let foreign =
                services.contains(name.as_str()) || NOT_FOR_SERVICES.contains(&name.as_str());
            if service.is_some() && foreign {
                faults.push(format!("{folder} depends on {name}"));
            }
            if name.starts_with("rdkafka") && !KAFKA.contains(&folder) {
                faults.push(format!("{folder} depends on {name}; only {KAFKA:?} may"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_platform_knows_nothing_of_the_retailer() {
    for folder in ["contract", "codegen", "platform"] {
        let path = xtask::root().join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(path).expect("a member has a manifest");
        let below = ["millrace-contract", "millrace-codegen", "millrace"];
        let ours = ["schemas", "harness", "ops", "millrace-cli"];
        for name in dependencies(&text).iter().filter(|name| !below.contains(&name.as_str())) {
            let service = xtask::services().iter().any(|service| service.name() == name);
            assert!(!service && !ours.contains(&name.as_str()), "{folder} depends on {name}");
        }
    }
}

#[test]
fn every_dependency_is_used() {
    let sources = Source::all();
    let mut unused = vec![];
    for (path, text) in files(&["toml"]) {
        let Some(folder) = path.strip_suffix("Cargo.toml").filter(|it| !it.is_empty()) else {
            continue;
        };
        let own: Vec<&Source> = sources.iter().filter(|it| it.path.starts_with(folder)).collect();
        for name in dependencies(&text) {
            let word = name.replace('-', "_");
            if !own.iter().any(|source| source.names(&word)) {
                unused.push(format!("{folder} never names {name}"));
            }
        }
    }
    assert!(unused.is_empty(), "\n{}\n", unused.join("\n"));
}

/// Names of every kind of dependency of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn the_walls_see_who_climbs_them() {
    let cases = [
        ("services/a/src/domain.rs", "use millrace::Tx;", "a decision names millrace"),
        ("services/a/src/domain/b.rs", "async fn f() {}", "a decision names async"),
        ("services/a/src/domain.rs", "fn f() { let at = Instant::now(); }", "names Instant"),
        ("services/a/src/domain.rs", "#[cfg(test)]\nmod tests { use millrace::Emit; }", ""),
        ("services/a/src/domain.rs", "/// Nothing async, no sqlx.\nfn f() {}", ""),
        ("services/a/src/on/b.rs", "use millrace::{Decide, Door};", "takes Door"),
        ("services/a/src/on/b.rs", "use millrace::{Decide, Emit, Envelope, Poison};", ""),
        ("services/a/src/on/b.rs", "fn f() { sqlx::query(\"\"); }", "the side door names sqlx"),
        ("services/a/src/http.rs", "use sqlx::Row;", "the front door names sqlx"),
        ("services/a/src/store.rs", "fn f(emit: &mut Emit) {}", "the store names Emit"),
        ("services/a/src/view.rs", "async fn f() {}", "a fold names async"),
        ("platform/src/store.rs", "use crate::Emit;", ""),
    ];
    for (path, text, wanted) in cases {
        let source = Source::new(path, text).expect("it is Rust");
        let found = faults(&source).join("\n");
        assert_eq!(found.is_empty(), wanted.is_empty(), "{path}: {found}");
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
    let manifest = "[dependencies]\nstock.workspace = true\n[dev-dependencies]\nrdkafka = \"1\"\n";
    assert_eq!(dependencies(manifest), ["stock", "rdkafka"]);
}
