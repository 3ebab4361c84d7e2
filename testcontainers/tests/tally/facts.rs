//! The facts of the notes, written by hand as the generator would.

use std::fmt;
use std::str::FromStr;

use millrace::contract::{Cleanup, DecodeError, IdError, Reader, Writer};
use millrace::{Event, Topic};

const DAY: Cleanup = Cleanup::Delete { retention_ms: 86_400_000 };

/// Notes, keyed by book.
pub(crate) static NOTES: Topic = Topic {
    name: "test.note.events.v1",
    owner: "writer",
    partitions: 6,
    cleanup: DAY,
    key: "book",
    readers: &["tally"],
};

/// Sums, keyed by book.
pub(crate) static TALLIES: Topic = Topic {
    name: "test.tally.events.v1",
    owner: "tally",
    partitions: 6,
    cleanup: DAY,
    key: "book",
    readers: &["ledger"],
};

/// The name of a book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Book(pub(crate) String);

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Book {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Ok(Self(text.to_owned()))
    }
}

/// A note was taken.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    /// The book it belongs to.
    pub(crate) book: Book,
    /// What it adds.
    pub(crate) amount: i64,
}

/// A book has a new sum.
#[derive(Debug, Clone)]
pub(crate) struct Tallied {
    /// The book.
    pub(crate) book: Book,
    /// Its sum after the note.
    pub(crate) total: i64,
}

impl Event for Noted {
    const NAME: &'static str = "test.note.Noted";
    const TOPIC: &'static Topic = &NOTES;
    const SCHEMA: &'static str = r#"{"type":"record","name":"Noted","namespace":"test.note","fields":[{"name":"book","type":"string"},{"name":"amount","type":"long"}]}"#;
    type Key = Book;

    fn key(&self) -> &Book {
        &self.book
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(&self.book.0);
        out.long(self.amount);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { book: Book(input.string()?.to_owned()), amount: input.long()? })
    }
}

impl Event for Tallied {
    const NAME: &'static str = "test.tally.Tallied";
    const TOPIC: &'static Topic = &TALLIES;
    const SCHEMA: &'static str = r#"{"type":"record","name":"Tallied","namespace":"test.tally","fields":[{"name":"book","type":"string"},{"name":"total","type":"long"}]}"#;
    type Key = Book;

    fn key(&self) -> &Book {
        &self.book
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(&self.book.0);
        out.long(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { book: Book(input.string()?.to_owned()), total: input.long()? })
    }
}
