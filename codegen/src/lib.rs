//! Avro schemas in, Rust types with encoders and decoders out. Reads a folder of
//! `<context>/<Name>.avsc` files and its `topics.toml`, refuses what a contract must not contain,
//! and writes `src/generated.rs`. Never touches a registry, a broker or the network.
#![warn(missing_docs)]

mod emit;
mod fold;
mod model;
mod read;
mod standalone;
mod topics;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use fold::fold_code;

/// What follows from a folder of schemas.
pub struct Generated {
    /// The text of `generated.rs`.
    pub rust: String,
    /// For each subject the schema of its event as indented JSON, every referenced type written
    /// out where it is first used.
    pub schemas: BTreeMap<String, String>,
}

/// Reads and checks the schemas under `dir`; an error names the file and what is wrong with it.
pub fn generate(dir: &Path) -> Result<Generated> {
    let types = read::types(dir)?;
    let topics = topics::read(&dir.join("topics.toml"), &types)?;
    let mut schemas = BTreeMap::new();
    for topic in &topics {
        for event in &topic.events {
            let json = standalone::pretty(&types, event);
            schemas.insert(format!("{}-{event}", topic.name), json);
        }
    }
    Ok(Generated { rust: emit::rust(&types, &topics), schemas })
}

/// Generates and writes `src/generated.rs` under `dir`; returns the path.
pub fn write(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("src/generated.rs");
    save(&path, &generate(dir)?.rust)?;
    Ok(path)
}

/// Freezes the schemas: writes `released/<subject>/<n>.avsc` with the next number for every
/// subject whose schema is not the one last released. Returns the new files.
pub fn release(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (subject, json) in generate(dir)?.schemas {
        let versions = released(dir, &subject)?;
        if versions.values().next_back() != Some(&json) {
            let next = versions.keys().next_back().map_or(1, |last| last + 1);
            let path = dir.join("released").join(&subject).join(format!("{next}.avsc"));
            save(&path, &json)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// The released versions of a subject under `dir`, by number.
pub fn released(dir: &Path, subject: &str) -> Result<BTreeMap<u32, String>> {
    let folder = dir.join("released").join(subject);
    let mut versions = BTreeMap::new();
    if !folder.exists() {
        return Ok(versions);
    }
    for path in model::sorted_files(&folder)? {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let number = stem
            .parse()
            .with_context(|| format!("{}: the name is not a version number", path.display()))?;
        versions.insert(number, load(&path)?);
    }
    Ok(versions)
}

fn load(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn save(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}
