//! The registry's wire format: a zero byte, the schema id as four big-endian bytes, the datum.

/// A payload that is not framed as the registry's clients frame it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer than the five bytes of the prefix.
    #[error("payload of {0} bytes is too short for the schema id")]
    Short(usize),
    /// The first byte is not zero.
    #[error("magic byte is {0:#04x}, not 0x00")]
    Magic(u8),
}

/// Puts the prefix before a datum.
pub fn frame(schema_id: u32, datum: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(datum.len() + 5);
    begin(schema_id, &mut framed);
    framed.extend_from_slice(datum);
    framed
}

/// Appends the prefix; the datum follows.
pub(crate) fn begin(schema_id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

/// Takes the prefix off: the schema id and the datum.
pub fn unframe(payload: &[u8]) -> Result<(u32, &[u8]), FrameError> {
    match payload {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [magic, _, _, _, _, ..] => Err(FrameError::Magic(*magic)),
        short => Err(FrameError::Short(short.len())),
    }
}
