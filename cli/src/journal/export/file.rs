//! The file of an export: written beside its place, and moved there when it is complete.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use super::line::{Line, titles};
use super::table::Table;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// One JSON object on each line.
    Ndjson,
    /// Comma-separated values with a line of titles; `data` is JSON.
    Csv,
    /// Apache Parquet, compressed with Snappy; `data` is JSON.
    Parquet,
}

/// A file that is not complete yet; when it never is, it is gone.
pub(super) struct Draft {
    out: PathBuf,
    body: Body,
}

enum Body {
    Ndjson(BufWriter<NamedTempFile>),
    Csv(BufWriter<NamedTempFile>),
    Parquet(Box<Table<NamedTempFile>>),
}

impl Draft {
    pub(super) fn new(form: Form, out: &Path) -> anyhow::Result<Self> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(".millrace-export-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .with_context(|| out.display().to_string())?;
        let body = match form {
            Form::Ndjson => Body::Ndjson(BufWriter::new(file)),
            Form::Csv => {
                let mut file = BufWriter::new(file);
                writeln!(file, "{}", titles())?;
                Body::Csv(file)
            }
            Form::Parquet => Body::Parquet(Box::new(Table::new(file)?)),
        };
        Ok(Self { out: out.to_owned(), body })
    }

    pub(super) fn add(&mut self, line: &Line) -> anyhow::Result<()> {
        let named = || self.out.display().to_string();
        match &mut self.body {
            Body::Ndjson(file) => writeln!(file, "{}", line.json()).with_context(named),
            Body::Csv(file) => writeln!(file, "{}", line.csv()).with_context(named),
            Body::Parquet(table) => table.add(line).with_context(named),
        }
    }

    /// Puts the file in its place, where it replaces what is there.
    pub(super) fn complete(self) -> anyhow::Result<()> {
        let named = || self.out.display().to_string();
        let file = match self.body {
            Body::Ndjson(file) | Body::Csv(file) => {
                file.into_inner().map_err(|error| error.into_error()).with_context(named)?
            }
            Body::Parquet(table) => table.complete().with_context(named)?,
        };
        file.persist(&self.out).map_err(|error| error.error).with_context(named)?;
        Ok(())
    }
}
