//! The configuration reference has every key with its default, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millrace::Config;

const REFERENCE: &str = "docs/operations/configuration.md";

#[test]
fn the_reference_has_every_key_with_its_default() {
    let nowhere = Path::new("a folder without files");
    let loaded = Config::load_from(nowhere, &BTreeMap::new(), &[]).expect("the defaults are valid");
    let code = |text: &str| format!("`{text}`");
    let real: BTreeSet<(String, String)> = loaded
        .origins
        .iter()
        .map(|origin| {
            (
                code(&origin.key),
                if origin.value.is_empty() { "–".to_owned() } else { code(&origin.value) },
            )
        })
        .collect();
    let text = std::fs::read_to_string(xtask::root().join(REFERENCE)).expect("it is there");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let written: BTreeSet<(String, String)> = rows
        .filter_map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let missing: Vec<_> = real.difference(&written).collect();
    let unknown: Vec<_> = written.difference(&real).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
