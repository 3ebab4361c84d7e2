//! Licences and doubled dependencies, by the same `.deny.toml` that cargo-deny reads, so that these
//! two walls stand where cargo-deny is not installed. Advisories need its database, and it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Whether an SPDX expression can be met with allowed licences. `/` is an old way to write OR, and
/// AND binds closer than OR.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    either(&mut words.as_slice(), allowed)
}

fn either(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, allowed);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let met = either(words, allowed);
        *words = words.get(1..).unwrap_or_default();
        return met;
    }
    if words.first() == Some(&"WITH") {
        let with = format!("{first} WITH {}", words.get(1).unwrap_or(&""));
        *words = words.get(2..).unwrap_or_default();
        return allowed.contains(&with);
    }
    allowed.contains(*first)
}

fn deny() -> toml::Table {
    let path = xtask::root().join(".deny.toml");
    std::fs::read_to_string(path).expect("it is there").parse().expect("it is TOML")
}

/// Every package that this platform's build can contain.
fn packages() -> Vec<Value> {
    let arguments =
        ["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let cargo = Command::new(env!("CARGO")).args(arguments).current_dir(xtask::root()).output();
    let output = cargo.expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("cargo resolved");
    let built: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .filter(|it| built.contains(it["id"].as_str().unwrap_or_default()))
        .cloned()
        .collect()
}

#[test]
fn every_licence_in_the_tree_is_allowed() {
    let deny = deny();
    let allowed: BTreeSet<String> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| Some(it.as_str()?.to_owned()))
        .collect();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_met(package["license"].as_str().unwrap_or_default(), &allowed))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    assert!(refused.is_empty(), "\n{}\n", refused.join("\n"));
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let deny = deny();
    let skipped: BTreeSet<String> = deny["bans"]["skip"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| Some(it["crate"].as_str()?.split_once('@')?.0.to_owned()))
        .collect();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    let twice: BTreeSet<String> = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, _)| name)
        .collect();
    let unexplained: Vec<_> = twice.difference(&skipped).collect();
    let gone: Vec<_> = skipped.difference(&twice).collect();
    assert!(
        unexplained.is_empty() && gone.is_empty(),
        "without a reason: {unexplained:?}; once only: {gone:?}"
    );
}

#[test]
fn an_expression_is_met_as_spdx_says() {
    let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND BSD-3-Clause", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("GPL-3.0 AND BSD-3-Clause OR MIT", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
