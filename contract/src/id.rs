//! Parsing of identifiers, shared by the typed ids of every schema crate.

use uuid::Uuid;

/// A text that is no identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct IdError {
    what: &'static str,
    why: &'static str,
}

impl IdError {
    /// Names the kind of identifier and what is wrong with the text.
    pub fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// Parses the hyphenated lower-case form only, so that one identifier has one spelling as a key.
pub fn parse_uuid(what: &'static str, text: &str) -> Result<Uuid, IdError> {
    let id = Uuid::try_parse(text).map_err(|_| IdError::new(what, "is not a UUID"))?;
    let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
    if id.hyphenated().encode_lower(&mut canonical) != text {
        return Err(IdError::new(what, "is not written in the hyphenated lower-case form"));
    }
    Ok(id)
}
