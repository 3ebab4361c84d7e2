//! Typed identifiers, so that no order is looked up by a customer. Each has exactly one spelling,
//! because identifiers are record keys.

use std::fmt;
use std::str::FromStr;

use millrace_contract::{IdError, parse_uuid};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An order, from its checkout to its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(Uuid);

/// The sale that records an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaleId(Uuid);

/// A customer with an account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(String);

/// A store that keeps stock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(String);

/// An article of the catalogue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sku(String);

/// A text identifier may have at most this many characters.
pub const ID_CHARS_MAX: usize = 64;

impl SaleId {
    /// Namespace of the sales, drawn once at random.
    const NAMESPACE: Uuid = Uuid::from_u128(0x7b1f_6f0c_52c4_4a6e_9d4b_0c2f_8e35_a1d7);

    /// The sale of an order: always the same one, so that an order can never be sold twice.
    pub fn of(order: OrderId) -> Self {
        Self(Uuid::new_v5(&Self::NAMESPACE, order.0.as_bytes()))
    }
}

macro_rules! uuid_id {
    ($id:ident, $what:literal) => {
        impl $id {
            /// Takes a UUID of any version.
            pub fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The plain UUID.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $id {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid($what, text).map(Self)
            }
        }

        as_text!($id);
    };
}

macro_rules! text_id {
    ($id:ident, $what:literal) => {
        impl $id {
            /// Takes 1 to 64 letters, digits, dots, underscores and hyphens of ASCII.
            pub fn new(text: &str) -> Result<Self, IdError> {
                text.parse()
            }

            /// Does as [`Self::new`].
            pub fn parse(text: &str) -> Result<Self, IdError> {
                text.parse()
            }

            /// The plain text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $id {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_text($what, text).map(|()| Self(text.to_owned()))
            }
        }

        as_text!($id);
    };
}

/// Everything that goes through the text form.
macro_rules! as_text {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(OrderId, "order id");
uuid_id!(SaleId, "sale id");
text_id!(CustomerId, "customer id");
text_id!(StoreId, "store id");
text_id!(Sku, "sku");

fn check_text(what: &'static str, text: &str) -> Result<(), IdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() {
        return Err(IdError::new(what, "is empty"));
    }
    if text.len() > ID_CHARS_MAX {
        return Err(IdError::new(what, "has more than 64 characters"));
    }
    if !text.bytes().all(allowed) {
        return Err(IdError::new(what, "may have only letters, digits and any of ._-"));
    }
    Ok(())
}
