//! The canvas of a service: what goes in and out, what it keeps, on one page.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use millrace::Service;
use schemas::EVENTS;

use crate::markdown::{code, codes, table};
use crate::topology::doc;

/// A table of a service's database.
pub struct Table {
    name: String,
    about: String,
}

/// `services/<name>/README.md`.
pub fn document(service: &Service, tables: &[Table], settings: &serde_json::Value) -> String {
    let name = service.name();
    let of = |fact: &str| {
        EVENTS
            .iter()
            .find(|event| event.name == fact)
            .map_or(String::new(), |event| doc(event.schema))
    };
    let reads = service
        .reads()
        .into_iter()
        .map(|(fact, topic)| [code(fact), code(topic.owner), code(topic.name), of(fact)]);
    let emits = service.emits().into_iter().map(|(fact, topic)| {
        [code(fact), code(topic.name), code(topic.key), codes(topic.readers.iter().copied())]
    });
    let kept = tables.iter().map(|table| [code(&table.name), table.about.clone()]);
    let (reads, emits, routes, kept) = (
        table(["Fact", "From", "Topic", "What it says"], reads, "It reacts to no fact."),
        table(
            ["Fact", "Topic", "Key", "Readers of the topic"],
            emits,
            "It says nothing: it is a view.",
        ),
        table(["Method", "Path", "What it does"], routes(service), "It has no route of its own."),
        table(["Table", "What it keeps"], kept, "It keeps nothing of its own."),
    );
    let (asked, kept) = (asks(service), keeps(service, &kept));
    format!(
        "# {name}\n\n{}\n\nGenerated from `services/{name}` by `cargo run -p xtask -- docs`; a test \
         compares.\n\n## Facts in\n\n{reads}\n## Facts out\n\n{emits}\n## Routes\n\n{routes}\n\
         Beside these every service answers `/livez`, `/readyz`, `/startupz`, `/metrics`,\n\
         `/openapi.json`, `/problems/{{code}}` and `/version`.\n\n{asked}{kept}\n## Settings\n\n{}",
        service.about(),
        own(name, settings),
    )
}

/// Where what it knows is kept.
fn keeps(service: &Service, tables: &str) -> String {
    match service.is_replica() {
        true => "## Store\n\nIt has no database: it keeps a copy of the topic it reads, in a file under \
                 `replica.dir`.\n"
            .to_owned(),
        false => format!(
            "## Tables\n\n{tables}\nThe platform keeps its own in the schema `millrace` of the same \
             database: inbox, outbox, versions,\npositions, answers under idempotency keys and asks.\n"
        ),
    }
}

/// What it asks outside, if anything.
fn asks(service: &Service) -> String {
    let asks = service.asks().into_iter().map(|(ask, partner)| [code(ask), code(partner)]);
    match service.asks().is_empty() {
        true => String::new(),
        false => format!("## Asked outside\n\n{}\n", table(["Ask", "Partner"], asks, "")),
    }
}

/// The tables that the migrations in a folder create, with the comment above each.
pub fn tables(migrations: &Path) -> anyhow::Result<Vec<Table>> {
    let place = || migrations.display().to_string();
    let mut files = BTreeSet::new();
    if !migrations.exists() {
        return Ok(vec![]);
    }
    for entry in std::fs::read_dir(migrations).with_context(place)? {
        files.insert(entry?.path());
    }
    let mut found = vec![];
    for file in files {
        found.extend(created(&std::fs::read_to_string(&file).with_context(place)?));
    }
    Ok(found)
}

/// Tables in the order in which a migration creates them.
fn created(sql: &str) -> Vec<Table> {
    let (mut found, mut comment) = (vec![], String::new());
    for line in sql.lines() {
        if let Some(text) = line.strip_prefix("--") {
            comment.push_str(text);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["CREATE", "TABLE", name, ..] = words[..] {
            let about = comment.trim().to_owned();
            found.push(Table { name: name.trim_end_matches('(').to_owned(), about });
        }
        comment.clear();
    }
    found
}

fn routes(service: &Service) -> Vec<[String; 3]> {
    let openapi = serde_json::to_value(service.openapi()).unwrap_or_default();
    let paths = openapi["paths"].as_object().cloned().unwrap_or_default();
    let mut rows = vec![];
    for (path, item) in &paths {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let what = operation["summary"].as_str().or(operation["description"].as_str());
            rows.push([method.to_uppercase(), code(path), what.unwrap_or_default().to_owned()]);
        }
    }
    rows
}

fn own(name: &str, settings: &serde_json::Value) -> String {
    let rows = settings.as_object().into_iter().flatten();
    let rows = rows.map(|(key, value)| [code(format!("service.{name}.{key}")), code(value)]);
    let none = "None of its own. [Those of the platform](../../docs/operations/configuration.md).";
    table(["Key", "Default"], rows, none)
}
