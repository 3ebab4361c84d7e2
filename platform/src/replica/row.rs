//! The bytes of a store: rows, entries of indexes and cursors of lists. All of them sort as bytes
//! as they are meant to sort.

use crate::Timestamp;

/// Where a state stands in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The offset in it.
    pub offset: u64,
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// It has a state; else its state was taken back.
    pub(super) lives: bool,
    pub(super) place: Place,
    /// The version of the record: an older one changes nothing.
    pub(super) version: u64,
    /// The state in our schema, or the key's text when there is none.
    pub(super) content: &'a [u8],
}

const HEAD: usize = 1 + 4 + 8 + 8;

impl<'a> Row<'a> {
    /// `None` when these bytes are no row.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, content) = bytes.split_at_checked(HEAD)?;
        let number = |at: usize| Some(u64::from_be_bytes(head[at..at + 8].try_into().ok()?));
        let partition = u32::from_be_bytes(head[1..5].try_into().ok()?);
        let place = Place { partition, offset: number(5)? };
        Some(Self { lives: head[0] == 1, place, version: number(13)?, content })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.content.len());
        bytes.push(u8::from(self.lives));
        bytes.extend(self.place.partition.to_be_bytes());
        bytes.extend(self.place.offset.to_be_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.content);
        bytes
    }
}

/// Under which values of which indexes a state is found.
#[derive(Debug, Default)]
pub struct Entries(Vec<Vec<u8>>);

impl Entries {
    /// Lets the state be found under this value of an index. Indexes are told apart by a number.
    pub fn add(&mut self, index: u8, value: &str) {
        self.0.push(prefix(index, value));
    }

    /// The keys of the entries of one row, sorted.
    pub(super) fn keys(self, sorted_by: Timestamp, row: &[u8]) -> Vec<Vec<u8>> {
        let mut keys = self.0;
        for key in &mut keys {
            key.extend(moment(sorted_by));
            key.extend(row);
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// What all entries of a value begin with.
pub(super) fn prefix(index: u8, value: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + value.len() + 1 + 8 + 16);
    key.push(index);
    key.extend(value.as_bytes());
    key.push(0);
    key
}

/// A moment that sorts as it passes, also before 1970.
pub(super) fn moment(at: Timestamp) -> [u8; 8] {
    (at.micros() as u64 ^ 1 << 63).to_be_bytes()
}

/// A cursor as text: where in its value's entries a page ended.
pub(super) fn cursor(rest: &[u8]) -> String {
    rest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a cursor; `None` when it is none of ours.
pub(super) fn read_cursor(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let whole = digits.len() >= 16 && digits.len() <= 256 && digits.len().is_multiple_of(2);
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    whole.then(|| digits.chunks_exact(2).map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let place = Place { partition: 7, offset: u64::MAX };
        let row = Row { lives: true, place, version: 3, content: b"datum" };
        assert_eq!(Row::read(&row.write()), Some(row));
        assert_eq!(Row::read(&row.write()[..20]), None);
    }

    #[test]
    fn entries_of_a_value_sort_by_time_and_stay_together() {
        let key = |value: &str, micros: i64, row: &[u8]| {
            let mut entries = Entries::default();
            entries.add(1, value);
            entries.keys(at(micros), row).remove(0)
        };
        let sorted = [key("a", -5, b"9"), key("a", 0, b"1"), key("a", 0, b"2"), key("ab", -9, b"")];
        assert!(sorted.is_sorted());
        assert!(sorted[..3].iter().all(|key| key.starts_with(&prefix(1, "a"))));
        assert!(!sorted[3].starts_with(&prefix(1, "a")));
    }

    #[test]
    fn a_cursor_is_read_or_refused() {
        let rest = [moment(at(1)).as_slice(), b"row"].concat();
        assert_eq!(read_cursor(&cursor(&rest)), Some(rest));
        for wrong in ["", "0", "zz", "00112233445566zz", "é123456789012345", &"0".repeat(258)] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
        }
    }
}
