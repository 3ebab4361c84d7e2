//! The schemas as this crate understands them: a subset of Avro that every engine treats alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The full name of the one type that is not generated: `millrace_contract::Money`.
pub(crate) const MONEY: &str = "retail.Money";

/// All named types by full name.
pub(crate) type Types = BTreeMap<String, Named>;

/// A record or an enum, from a file of its own.
pub(crate) struct Named {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) doc: String,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Record(Vec<Field>),
    Enum { symbols: Vec<String>, default: String },
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) ty: Type,
}

/// The type of a field. Strings and UUIDs may be a typed identifier in Rust.
#[derive(Clone, PartialEq)]
pub(crate) enum Type {
    String(Option<String>),
    Uuid(Option<String>),
    Long,
    Int,
    Boolean,
    Bytes,
    Timestamp,
    Array(Box<Type>),
    Optional(Box<Type>),
    Named(String),
}

impl Named {
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// The fields of a record; none for an enum.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Record(fields) => fields,
            Kind::Enum { .. } => &[],
        }
    }
}

impl Type {
    /// The named type in this one, if there is one.
    pub(crate) fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Array(inner) | Self::Optional(inner) => inner.named(),
            _ => None,
        }
    }

    /// The typed identifier in this type, if there is one.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::String(id) | Self::Uuid(id) => id.as_deref(),
            Self::Array(inner) | Self::Optional(inner) => inner.id(),
            _ => None,
        }
    }
}

/// The `.avsc` files directly in a folder, by name.
pub(crate) fn sorted_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "avsc"));
    Ok(files)
}

/// Everything directly in a folder, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("{}: cannot be read", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        paths.push(entry.with_context(context)?.path());
    }
    paths.sort();
    Ok(paths)
}
