//! A small folder of schemas that is in order, for tests to spoil.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub(crate) const PLACED: &str = "order/Placed.avsc";
pub(crate) const LINE: &str = "common/Line.avsc";
pub(crate) const COLOUR: &str = "common/Colour.avsc";
pub(crate) const TOPICS: &str = "topics.toml";

/// The folder itself, which stays as it is.
pub(crate) fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shop")
}

/// The text of one of the files.
pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(original().join(name)).unwrap()
}

/// A copy of the folder, with these files written over or added.
pub(crate) fn shop(changes: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let originals = [PLACED, LINE, COLOUR, TOPICS].map(|name| (name, file(name)));
    let originals = originals.iter().map(|(name, text)| (*name, text.as_str()));
    for (name, text) in originals.chain(changes.iter().copied()) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}
