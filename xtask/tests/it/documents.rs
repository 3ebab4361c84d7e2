//! Generated documents are what the code says now.

use std::collections::BTreeSet;

use xtask::{documents, root, services, settings};

use crate::source::files;

#[test]
fn every_generated_document_is_fresh() {
    let stale = |document: &xtask::Document| {
        let there = std::fs::read_to_string(root().join(&document.path)).unwrap_or_default();
        there != document.text
    };
    let all = documents().expect("every service has its migrations");
    let stale: Vec<String> =
        all.iter().filter(|it| stale(it)).map(|it| it.path.display().to_string()).collect();
    assert!(stale.is_empty(), "stale: {stale:?}; run: cargo run -p xtask -- docs");
}

#[test]
fn every_folder_of_a_service_is_described() {
    let folders = std::fs::read_dir(root().join("services")).expect("there are services");
    let mut folders: Vec<String> = folders
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let mut described: Vec<String> = services().iter().map(|it| it.name().to_owned()).collect();
    folders.sort();
    described.sort();
    assert_eq!(folders, described);
}

#[test]
fn every_canvas_shows_the_settings_its_service_has() {
    for service in services() {
        let source = root().join("services").join(service.name()).join("src/settings.rs");
        let shown = settings(service.name()).as_object().is_some_and(|all| !all.is_empty());
        assert_eq!(source.exists(), shown, "{}: name its settings in xtask", service.name());
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = vec![];
    for (path, text) in files(&["md"]) {
        let folder = root().join(&path);
        let folder = folder.parent().expect("a file lies in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !folder.join(file).exists() {
                dead.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
}

#[test]
fn the_architecture_numbers_every_step_at_which_a_process_may_die() {
    let sources = files(&["rs"]).into_iter().filter(|(path, _)| path.starts_with("platform/src/"));
    let points: BTreeSet<String> =
        sources.flat_map(|(_, text)| quoted(&text, "fail::point(\"", '"')).collect();
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let table = text
        .lines()
        .filter(|line| line.starts_with("| ") && line[2..].starts_with(char::is_numeric));
    let numbered: BTreeSet<String> = table.flat_map(|line| quoted(line, "| `", '`')).collect();
    assert_eq!(points, numbered);
}

/// What stands between each `before` and the next `end`.
fn quoted(text: &str, before: &str, end: char) -> Vec<String> {
    let rests = text.split(before).skip(1);
    rests.filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
}
