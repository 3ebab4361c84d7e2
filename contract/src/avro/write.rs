//! Writes Avro's binary encoding into a buffer the caller owns.

use crate::{Money, Timestamp};

/// Appends values in schema order.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// `int` and `long`: a zigzag varint.
    pub fn long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.out.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    /// `boolean`.
    pub fn boolean(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// `string`.
    pub fn string(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// `bytes`.
    pub fn bytes(&mut self, value: &[u8]) {
        self.long(value.len() as i64);
        self.out.extend_from_slice(value);
    }

    /// A string with the logical type `uuid`.
    pub fn uuid(&mut self, value: uuid::Uuid) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.string(value.hyphenated().encode_lower(&mut text));
    }

    /// A long with the logical type `timestamp-micros`.
    pub fn timestamp(&mut self, value: Timestamp) {
        self.long(value.micros());
    }

    /// The record `retail.Money`: amount in minor units, then the currency.
    pub fn money(&mut self, value: Money) {
        self.long(value.minor());
        self.string(value.currency().code());
    }

    /// An array as one block and its end.
    pub fn array<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        if !items.is_empty() {
            self.long(items.len() as i64);
            for each in items {
                item(self, each);
            }
        }
        self.long(0);
    }

    /// The union `["null", T]`.
    pub fn optional<T>(&mut self, value: Option<&T>, mut some: impl FnMut(&mut Self, &T)) {
        match value {
            None => self.long(0),
            Some(value) => {
                self.long(1);
                some(self, value);
            }
        }
    }
}
