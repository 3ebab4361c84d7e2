//! Reads Avro's binary encoding strictly. Every length is checked before anything is allocated.

use crate::{Currency, Money, Timestamp};

/// A datum may have at most this many bytes.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// A string or bytes value may have at most this many bytes.
pub const STRING_BYTES_MAX: usize = 64 * 1024;
/// An array may have at most this many items.
pub const ARRAY_ITEMS_MAX: usize = 1_000;

/// Why a datum cannot be read. The offset is the number of bytes read before the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The datum is longer than [`RECORD_BYTES_MAX`].
    #[error("datum of {0} bytes is over the limit of {RECORD_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes end inside a value.
    #[error("datum ends inside a value at byte {0}")]
    Truncated(usize),
    /// Bytes follow the value.
    #[error("{0} bytes are left over after the datum")]
    Trailing(usize),
    /// A value is written as Avro does not allow, or breaks a limit.
    #[error("{what} at byte {at}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Offset of the fault.
        at: usize,
    },
    /// A value of another schema version has no counterpart in ours.
    #[error("value does not fit our schema: {0}")]
    Unresolved(String),
}

/// A cursor over one datum.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte; refuses a datum over [`RECORD_BYTES_MAX`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.len() {
            length if length > RECORD_BYTES_MAX => Err(DecodeError::TooLarge(length)),
            _ => Ok(Self { bytes, at: 0 }),
        }
    }

    /// Demands that every byte was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }

    /// An error at the current place.
    pub fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::Invalid { what, at: self.at }
    }

    /// `long`: a zigzag varint of at most ten bytes in its shortest form.
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        let mut value: u64 = 0;
        for index in 0..10 {
            let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated(self.at))?;
            self.at += 1;
            if index == 9 && byte > 1 {
                return Err(self.invalid("number does not fit into 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    return Err(self.invalid("number is not in its shortest form"));
                }
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.invalid("number does not fit into 64 bits"))
    }

    /// `int`: as a long, within 32 bits.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| self.invalid("number does not fit into 32 bits"))
    }

    /// `boolean`: a byte of 0 or 1.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.invalid("boolean is neither 0 nor 1")),
        }
    }

    /// `bytes`: at most [`STRING_BYTES_MAX`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) if length <= STRING_BYTES_MAX => self.take(length),
            _ => Err(self.invalid("length is negative or over the limit")),
        }
    }

    /// `string`: UTF-8.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.invalid("string is not UTF-8"))
    }

    /// A string with the logical type `uuid`, in the hyphenated lower-case form.
    pub fn uuid(&mut self) -> Result<uuid::Uuid, DecodeError> {
        let text = self.string()?;
        crate::parse_uuid("value", text).map_err(|_| self.invalid("string is not a UUID"))
    }

    /// A long with the logical type `timestamp-micros`.
    pub fn timestamp(&mut self) -> Result<Timestamp, DecodeError> {
        let micros = self.long()?;
        Timestamp::from_micros(micros)
            .ok_or_else(|| self.invalid("time is outside years 1 to 9999"))
    }

    /// The record `retail.Money`.
    pub fn money(&mut self) -> Result<Money, DecodeError> {
        let minor = self.long()?;
        let currency: Result<Currency, _> = self.string()?.parse();
        Ok(Money::new(minor, currency.map_err(|_| self.invalid("unknown currency"))?))
    }

    /// An array in blocks, at most [`ARRAY_ITEMS_MAX`] items.
    pub fn array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::new();
        loop {
            let (count, end) = self.block(items.len())?;
            if count == 0 {
                return Ok(items);
            }
            for _ in 0..count {
                items.push(item(self)?);
            }
            self.block_end(end)?;
        }
    }

    /// The head of a block, after `seen` items: how many items follow, and where the block ends
    /// if its writer said so. A count of zero ends the array.
    pub(super) fn block(&mut self, seen: usize) -> Result<(usize, Option<usize>), DecodeError> {
        let count = self.long()?;
        let end = match count {
            ..0 => {
                let length = usize::try_from(self.long()?).ok();
                let end = length.and_then(|length| self.at.checked_add(length));
                Some(end.ok_or_else(|| self.invalid("block has a negative length"))?)
            }
            _ => None,
        };
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= ARRAY_ITEMS_MAX - seen => Ok((count, end)),
            _ => Err(self.invalid("array is too long")),
        }
    }

    /// Demands that a block ends where its head said.
    pub(super) fn block_end(&self, end: Option<usize>) -> Result<(), DecodeError> {
        match end {
            Some(end) if end != self.at => Err(self.invalid("block is not as long as it says")),
            _ => Ok(()),
        }
    }

    /// The union `["null", T]`.
    pub fn optional<T>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.long()? {
            0 => Ok(None),
            1 => Ok(Some(some(self)?)),
            _ => Err(self.invalid("union has no such branch")),
        }
    }

    /// The index of an enum symbol below `symbols`.
    pub fn symbol(&mut self, symbols: usize) -> Result<usize, DecodeError> {
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < symbols => Ok(index),
            _ => Err(self.invalid("enum has no such symbol")),
        }
    }

    /// A value of so many bytes without a length prefix.
    pub(super) fn fixed(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        if length > STRING_BYTES_MAX {
            return Err(self.invalid("fixed value is over the limit"));
        }
        self.take(length)
    }

    /// The length is at most [`STRING_BYTES_MAX`].
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at + length;
        let bytes = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated(self.at))?;
        self.at = end;
        Ok(bytes)
    }
}
