//! Everything that is printed as a result: tables for people, JSON for programs, ids for pipes.
//! Progress and remarks go to standard error and never through here.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// The number in every JSON object; it changes when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table with the columns one mostly wants.
    Table,
    /// A table with every column.
    Wide,
    /// One JSON object; a list is in its `items`.
    Json,
    /// One JSON object on each line.
    Ndjson,
    /// Only the id of each item.
    Id,
}

/// Something that can be printed in every format.
pub trait Row: Serialize {
    /// Titles of the columns.
    const COLUMNS: &'static [&'static str];
    /// Titles of the columns that only `wide` shows.
    const WIDE: &'static [&'static str] = &[];
    /// What names the item to another command.
    fn id(&self) -> String;
    /// One text for each of `COLUMNS`.
    fn cells(&self) -> Vec<String>;
    /// One text for each of `WIDE`.
    fn wide(&self) -> Vec<String> {
        vec![]
    }
}

/// One thing that would be done, or was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    action: &'static str,
    target: String,
    detail: String,
}

/// Where results go, and in which form. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    format: u32,
    #[serde(flatten)]
    item: &'a T,
}

#[derive(Serialize)]
struct List<'a, T> {
    format: u32,
    items: &'a [T],
}

impl Output {
    /// Results in this format on standard output.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// The chosen format.
    pub fn format(self) -> Format {
        self.format
    }

    /// Whether a person reads: `table` or `wide`.
    pub fn for_people(self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether results may have colours: a terminal, and no `NO_COLOR`.
    pub fn colours(self) -> bool {
        self.for_people() && io::stdout().is_terminal() && !no_color()
    }

    /// Prints a list.
    pub fn list<T: Row>(self, items: &[T]) -> io::Result<()> {
        match self.format {
            Format::Table | Format::Wide => self.text(&self.table(items)),
            Format::Json => self.json(&List { format: FORMAT, items }),
            Format::Ndjson => items.iter().try_for_each(|item| self.line(item)),
            Format::Id => items.iter().try_for_each(|item| self.text(&item.id())),
        }
    }

    /// Prints what a command would do, and says on standard error that it did not.
    pub fn plan<T: Row>(self, steps: &[T]) -> io::Result<()> {
        self.list(steps)?;
        eprintln!("nothing was changed; add --execute to do it");
        Ok(())
    }

    /// Prints one item: a table of one row, or one JSON object.
    pub fn item<T: Row>(self, item: &T) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(&Versioned { format: FORMAT, item }),
            _ => self.list(std::slice::from_ref(item)),
        }
    }

    /// Prints one JSON object on one line, at once.
    pub fn line<T: Serialize>(self, item: &T) -> io::Result<()> {
        self.text(&serde_json::to_string(&Versioned { format: FORMAT, item })?)
    }

    /// Prints plain text and a line's end.
    pub fn text(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        match written {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn json<T: Serialize>(self, value: &T) -> io::Result<()> {
        self.text(&serde_json::to_string_pretty(value)?)
    }

    fn table<T: Row>(self, items: &[T]) -> String {
        let wide = self.format == Format::Wide;
        let mut titles = T::COLUMNS.to_vec();
        if wide {
            titles.extend(T::WIDE);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(titles);
        for item in items {
            let mut cells = item.cells();
            if wide {
                cells.extend(item.wide());
            }
            table.add_row(cells);
        }
        table.trim_fmt()
    }
}

impl Step {
    /// A step: a verb, what it acts on, and what is to be known of it.
    pub fn new(action: &'static str, target: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { action, target: target.into(), detail: detail.into() }
    }
}

impl Row for Step {
    const COLUMNS: &'static [&'static str] = &["ACTION", "TARGET", "DETAIL"];

    fn id(&self) -> String {
        self.target.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.action.to_owned(), self.target.clone(), self.detail.clone()]
    }
}

/// Whether standard error is a terminal, where bars and colours are welcome.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether colours are unwanted everywhere (no-color.org).
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
