//! The page of faults: what can go wrong, what happens then, and the test or the fault of the kit
//! that shows it. A name that leads nowhere is an error, so that no row shows what is not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::markdown::{code, table};

/// Sections of the catalogue: letter, number of rows, what they are about.
const SECTIONS: [(char, usize, &str); 8] = [
    ('A', 13, "Processes"),
    ('B', 12, "Connections"),
    ('C', 18, "The broker and its topics"),
    ('D', 11, "The database"),
    ('E', 7, "The schema registry and telemetry"),
    ('F', 12, "Bad records"),
    ('G', 7, "Bad requests"),
    ('H', 11, "Sagas, time and operators"),
];
const NOT_YET: &str = "not shown yet";
const SOURCE: &str = "testcontainers/faults.toml";
/// Where the kit defines its faults, a file for each class.
const KIT: &str = "testcontainers/src/fault";

#[derive(Deserialize)]
struct Catalogue {
    invariants: BTreeMap<String, String>,
    fault: Vec<Fault>,
}

/// One row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    id: String,
    fault: String,
    outcome: String,
    invariants: Vec<String>,
    #[serde(default)]
    shown_by: Vec<String>,
    reason: Option<String>,
}

/// The page, from the catalogue in this repository.
pub(crate) fn document(root: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    page(&text, root)
}

/// The page of a catalogue whose tests and faults lie under `root`.
///
/// # Errors
/// When the catalogue lacks a row, or a row names what is not there, or shows nothing and says not
/// why.
pub fn page(catalogue: &str, root: &Path) -> anyhow::Result<String> {
    let Catalogue { invariants, fault: faults } = toml::from_str(catalogue).context(SOURCE)?;
    complete(&faults)?;
    let unknown = |fault: &&Fault| fault.invariants.iter().any(|it| !invariants.contains_key(it));
    if let Some(fault) = faults.iter().find(unknown) {
        bail!("{} names an invariant that is not there", fault.id);
    }
    let count = |is: &dyn Fn(&Fault) -> bool| faults.iter().filter(|fault| is(fault)).count();
    let not_yet = count(&|fault| fault.is_not_yet());
    let shown = count(&|fault| !fault.shown_by.is_empty());
    let in_part = count(&|fault| !fault.shown_by.is_empty() && fault.reason.is_some());
    let mut page = format!(
        "# Faults\n\nGenerated from [{SOURCE}](../../{SOURCE}); a test compares. What can go wrong, \
         what then happens, and what shows it: a test, by crate, file and name, or a fault of the \
         kit, by `chaos:` and its name. What stands in *italics* is what this stack cannot show, or \
         what the tests leave out.\n\nOf {} faults {shown} are shown, {in_part} of them in part; {not_yet} are not shown yet, \
         and {} cannot be shown here, for the reason that is given.\n",
        faults.len(),
        faults.len() - shown - not_yet
    );
    let mut rows = faults.iter();
    for (letter, number, about) in SECTIONS {
        let cells = rows.by_ref().take(number).map(|fault| fault.row(root));
        let cells: Vec<[String; 5]> = cells.collect::<anyhow::Result<_>>()?;
        let head = ["", "What goes wrong", "What happens", "Invariants", "Shown by"];
        write!(page, "\n## {letter}. {about}\n\n{}", table(head, cells, "Nothing."))?;
    }
    let mut invariants: Vec<_> = invariants.into_iter().collect();
    invariants.sort_by_key(|(id, _)| (id.len(), id.clone()));
    let rows = invariants.into_iter().map(<[String; 2]>::from);
    write!(page, "\n## Invariants\n\n{}", table(["", "What holds"], rows, "None."))?;
    Ok(page)
}

impl Fault {
    fn is_not_yet(&self) -> bool {
        self.shown_by.is_empty() && self.reason.as_deref() == Some(NOT_YET)
    }

    fn row(&self, root: &Path) -> anyhow::Result<[String; 5]> {
        let shown = self.shown_by.iter().map(|name| shown(name, root));
        let mut shown: Vec<String> =
            shown.collect::<anyhow::Result<_>>().with_context(|| self.id.clone())?;
        shown.extend(self.reason.as_ref().map(|reason| format!("*{reason}*")));
        ensure!(!shown.is_empty(), "{} is not shown and does not say why", self.id);
        let invariants = self.invariants.join(" ");
        let (fault, outcome) = (self.fault.clone(), self.outcome.clone());
        Ok([self.id.clone(), fault, outcome, invariants, shown.join("<br>")])
    }
}

/// Every row of every section, in their order.
fn complete(faults: &[Fault]) -> anyhow::Result<()> {
    let ids = |(letter, number, _)| (1..=number).map(move |n| format!("{letter}{n}"));
    let wanted: Vec<String> = SECTIONS.into_iter().flat_map(ids).collect();
    let found: Vec<&str> = faults.iter().map(|fault| fault.id.as_str()).collect();
    ensure!(wanted == found, "{SOURCE} has the rows {found:?}, wanted {wanted:?}");
    Ok(())
}

/// A name as it stands on the page; fails when there is nothing of this name.
fn shown(name: &str, root: &Path) -> anyhow::Result<String> {
    if let Some(fault) = name.strip_prefix("chaos:") {
        return in_kit(fault, root).map(|()| code(name));
    }
    let [krate, file, test] = name.split("::").collect::<Vec<_>>()[..] else {
        bail!("{name} is not of the form crate::file::test");
    };
    let head = format!("fn {test}(");
    let of = |path: &PathBuf| {
        path.iter().any(|part| part == file) || path.ends_with(format!("{file}.rs"))
    };
    let mut found = vec![];
    sources(&root.join(krate), &mut found);
    let is = |path: &&PathBuf| {
        of(path) && std::fs::read_to_string(path).is_ok_and(|text| text.contains(&head))
    };
    let path = found.iter().find(is).with_context(|| format!("there is no test {name}"))?;
    let path = path.strip_prefix(root)?.display();
    Ok(format!("[{}](../../{path})", code(test)))
}

/// The kit's fault `<class> <name>`: its file has the name as a text.
fn in_kit(fault: &str, root: &Path) -> anyhow::Result<()> {
    let (class, name) = fault.split_once(' ').context("a fault is a class and a name")?;
    let file = root.join(KIT).join(format!("{class}.rs"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let known = [format!("\"{name}\""), format!("\"{name} ")];
    ensure!(known.iter().any(|known| text.contains(known)), "the kit has no fault {fault}");
    Ok(())
}

/// Files of Rust below a folder, by path.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => sources(&path, found),
            false => found.extend(path.extension().is_some_and(|it| it == "rs").then_some(path)),
        }
    }
}
