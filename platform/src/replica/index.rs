//! The index of a new copy, made in one go when all rows are there. Its entries lie all over the
//! file: sorted in large runs, each page is written a few times and not once for each entry.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::row::Row;
use super::store::{ROWS, StoreError};

/// Value, moment and key.
pub(super) const INDEX: TableDefinition<'_, &[u8], ()> = TableDefinition::new("index");

/// Entries that are sorted at once, in bytes; in tests a few.
const RUN_BYTES: usize = if cfg!(test) { 256 } else { 64 * 1024 * 1024 };

/// Keys of the entries of a state, given the state and its key; `None` when it cannot be read.
pub(super) type EntriesOf = fn(&[u8], &[u8]) -> Option<Vec<Vec<u8>>>;

/// Makes the index from the rows. `false` when it was interrupted: nothing may be committed then.
pub(super) fn make(
    write: &WriteTransaction,
    entries_of: EntriesOf,
    interrupted: impl Fn() -> bool,
) -> Result<bool, StoreError> {
    write.delete_table(INDEX)?;
    let (rows, mut index) = (write.open_table(ROWS)?, write.open_table(INDEX)?);
    let mut run = Run::default();
    for row in rows.iter()? {
        let (key, row) = row?;
        let Some(row) = Row::read(row.value()).filter(|row| row.lives) else { continue };
        for entry in entries_of(row.content, key.value()).unwrap_or_default() {
            run.add(&entry);
        }
        if run.bytes.len() >= RUN_BYTES {
            run.write(&mut index)?;
            if interrupted() {
                return Ok(false);
            }
        }
    }
    run.write(&mut index)?;
    Ok(!interrupted())
}

/// Entries, one behind the other, and where each of them ends and begins.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    entries: Vec<(u32, u32)>,
}

impl Run {
    fn add(&mut self, entry: &[u8]) {
        // A run ends long before four gigabytes.
        let begin = self.bytes.len() as u32;
        self.bytes.extend_from_slice(entry);
        self.entries.push((begin, self.bytes.len() as u32));
    }

    fn write(&mut self, index: &mut Table<'_, &'static [u8], ()>) -> Result<(), StoreError> {
        let Self { bytes, entries } = self;
        let entry = |(begin, end): (u32, u32)| &bytes[begin as usize..end as usize];
        entries.sort_unstable_by(|a, b| entry(*a).cmp(entry(*b)));
        for place in entries.drain(..) {
            index.insert(entry(place), ())?;
        }
        bytes.clear();
        Ok(())
    }
}
