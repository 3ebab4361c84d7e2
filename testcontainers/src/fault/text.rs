//! How times and amounts stand in the text of a fault or a plan. What is shown is read back as it
//! was, to the millisecond.

use std::time::Duration;

use super::ParseError;

/// `250ms`, or `4.200s` from a second on.
pub(crate) fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 { format!("{ms}ms") } else { format!("{}.{:03}s", ms / 1000, ms % 1000) }
}

/// Reads `250ms`, `4s` and `4.2s`.
pub(crate) fn duration(text: &str) -> Result<Duration, ParseError> {
    let wrong = || ParseError::new(text, "a time, like 250ms or 4.2s");
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().map(Duration::from_millis).map_err(|_| wrong());
    }
    let seconds: f64 = text.strip_suffix('s').ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    let whole = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    // A fraction that binary numbers do not have would not be shown as it was written.
    Ok(Duration::from_millis((whole.as_secs_f64() * 1000.0).round() as u64))
}

/// Reads an amount before its unit.
pub(crate) fn amount(text: &str, unit: &str) -> Result<u64, ParseError> {
    let wrong = || ParseError::new(text, "a whole number with its unit");
    text.strip_suffix(unit).ok_or_else(wrong)?.parse().map_err(|_| wrong())
}

/// The words of a text, of which there must be so many.
pub(crate) fn words<const N: usize>(text: &str) -> Result<[&str; N], ParseError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.try_into().map_err(|_| ParseError::new(text, "another number of words"))
}
