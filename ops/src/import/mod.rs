//! Files of products, stock, accounts and orders, brought to the services. A file is checked as a
//! whole before its first row is sent; sending it again is safe.

mod rows;
mod send;
mod text;

use std::io::{self, Read};

use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use rows::{Numbered, Order, Rows};
pub use send::{Options, Outcome, Progress, Report, Times, send};
pub use text::FileFormat;

/// Rows of one file, at most.
pub const ROWS_MAX: u64 = 1_000_000;
/// Bytes of one file, at most.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Articles and their prices.
    Products,
    /// Goods that came into stores.
    Stock,
    /// Customers and what they pay in.
    Accounts,
    /// Lines of orders.
    Orders,
}

/// A file that was read and found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many rows it has.
    pub rows_read: u64,
    /// The rows.
    pub rows: Rows,
    /// Stands for the content: two files with the same rows have the same.
    pub fingerprint: Uuid,
}

/// A row that is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RefusedRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Everything that is wrong with it.
    pub reason: String,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It has rows that are wrong: all of them are here.
    #[error("nothing was sent, because of wrong rows: {}", .0.len())]
    Rows(Vec<RefusedRow>),
    /// It is too large for one file.
    #[error("a file may have at most {ROWS_MAX} rows and {} MiB: split it", FILE_BYTES_MAX >> 20)]
    TooLarge,
    /// There is no row in it.
    #[error("the file has no rows")]
    Empty,
}

impl Kind {
    /// Names of its columns, all of which must be there, in any order.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Products => &["sku", "name", "price", "currency", "category"],
            Self::Stock => &["store", "sku", "quantity"],
            Self::Accounts => &["customer", "currency", "balance"],
            Self::Orders => &["order_ref", "customer", "store", "sku", "quantity", "placed_at"],
        }
    }

    /// What its rows are called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Stock => "stock",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
        }
    }
}

/// Reads and checks a whole file.
///
/// # Errors
/// `Rows` with every wrong row; or what keeps the file from being read at all.
pub fn read(kind: Kind, format: FileFormat, input: impl Read) -> Result<Checked, ReadError> {
    let mut gathered = rows::Gathering::new(kind);
    let mut refused = vec![];
    let mut rows_read = 0;
    let mut content = Sha256::new();
    text::each_row(format, kind.columns(), input, |line, fields| {
        rows_read += 1;
        let taken = fields.and_then(|fields| {
            for field in &fields {
                content.update((field.len() as u64).to_be_bytes());
                content.update(field);
            }
            gathered.take(line, &fields)
        });
        if let Err(reason) = taken {
            refused.push(RefusedRow { line, reason });
        }
    })?;
    if !refused.is_empty() {
        return Err(ReadError::Rows(refused));
    }
    if rows_read == 0 {
        return Err(ReadError::Empty);
    }
    let fingerprint = Uuid::new_v5(&Uuid::NAMESPACE_OID, &content.finalize());
    Ok(Checked { rows_read, rows: gathered.rows(), fingerprint })
}

#[cfg(test)]
mod tests;
