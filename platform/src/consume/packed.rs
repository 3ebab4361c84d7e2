//! Headers of a record in three pieces of memory, where one for each name and value would be two dozen: every
//! record that is read has them, and another thread gives them back.

use millrace_contract::Headers;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};

/// Headers as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    names: String,
    values: Vec<u8>,
    /// Where each name and each value ends, and whether there is a value.
    ends: Vec<(usize, usize, bool)>,
}

impl Packed {
    /// The headers of a message; `None` when a name among them is not UTF-8, at which the client panics.
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Option<Self> {
        let Some(headers) = message.headers() else { return Some(Self::default()) };
        let read = || headers.iter().map(|header| (header.key, header.value)).collect();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> + Clone {
        let begins = [(0, 0, false)].into_iter().chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|((name, value, _), (name_end, value_end, given))| {
            let value = given.then(|| &self.values[value..*value_end]);
            (&self.names[name..*name_end], value)
        })
    }

    /// How many bytes names and values have.
    pub(crate) fn bytes(&self) -> usize {
        self.names.len() + self.values.len()
    }

    pub(crate) fn unpacked(&self) -> Headers {
        self.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
    }
}

impl<'a> FromIterator<(&'a str, Option<&'a [u8]>)> for Packed {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>>(headers: I) -> Self {
        // What the relay of a service writes fits without growing.
        let mut packed = Self {
            names: String::with_capacity(192),
            values: Vec::with_capacity(512),
            ends: Vec::with_capacity(16),
        };
        for (name, value) in headers {
            packed.names.push_str(name);
            packed.values.extend_from_slice(value.unwrap_or_default());
            packed.ends.push((packed.names.len(), packed.values.len(), value.is_some()));
        }
        packed
    }
}

impl From<&Headers> for Packed {
    fn from(headers: &Headers) -> Self {
        headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_come_out_as_they_went_in(headers: Vec<(String, Option<Vec<u8>>)>) {
            let packed = Packed::from(&headers);
            prop_assert_eq!(packed.unpacked(), headers.clone());
            let bytes = headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
            prop_assert_eq!(packed.bytes(), bytes.sum::<usize>());
        }
    }
}
