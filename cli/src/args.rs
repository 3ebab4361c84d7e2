//! Values that several commands take.

use std::time::Duration;

use schemas::{Sku, Timestamp};

/// Reads `30s`, `500ms` or `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number = number.parse().ok();
    let duration = number.and_then(|number: u64| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    });
    duration.ok_or_else(|| "give a whole number and its unit: 500ms, 30s or 2m".to_owned())
}

/// Reads a moment: RFC 3339, a day, or a span before `now` such as `-2h`.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong =
        || "give a time: 2026-11-20T10:00:00Z, 2026-11-20 (from midnight UTC) or -2h".to_owned();
    if let Some(back) = text.strip_prefix('-') {
        let (number, unit) =
            back.split_at(back.len() - back.chars().next_back().map_or(0, char::len_utf8));
        let number: i64 = number.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let micros = number.checked_mul(seconds * 1_000_000).ok_or_else(wrong)?;
        return Timestamp::from_micros(now.micros().saturating_sub(micros)).ok_or_else(wrong);
    }
    let at_midnight = format!("{text}T00:00:00Z");
    text.parse().or_else(|_| at_midnight.parse()).map_err(|_: time::error::Parse| wrong())
}

/// Reads the first digits of a cause's fingerprint.
pub(crate) fn cause(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let fits = (1..=8).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    fits.then_some(text).ok_or_else(|| {
        "give the first digits of a cause, as `millrace dlq causes` shows them: 7f3a".to_owned()
    })
}

/// Reads `50/s` or `600/m` as records in a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        Some((number, "s")) => (number, 1.0),
        Some((number, "m")) => (number, 60.0),
        _ => ("", 1.0),
    };
    let number = number.parse::<u32>().ok().filter(|number| *number > 0);
    let rate = number.map(|number| f64::from(number) / seconds);
    rate.ok_or_else(|| "give a whole number of records for each second or minute: 50/s".to_owned())
}

/// Reads `SKU=QUANTITY`.
pub(crate) fn line(text: &str) -> Result<(Sku, i64), String> {
    let wrong = || "give an article and a quantity: p-1001=2".to_owned();
    let (sku, quantity) = text.split_once('=').ok_or_else(wrong)?;
    let sku = sku.parse().map_err(|error: schemas::IdError| error.to_string())?;
    let quantity = quantity.parse().ok().filter(|quantity| *quantity > 0);
    Ok((sku, quantity.ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "1h", "18446744073709551616s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_a_span_before_now() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |text: &str| moment(text, now).map(|at| at.to_string());
        assert_eq!(at("2026-11-20T10:00:00Z").unwrap(), "2026-11-20T10:00:00Z");
        assert_eq!(at("2026-11-20").unwrap(), "2026-11-20T00:00:00Z");
        assert_eq!(at("-2h").unwrap(), "2026-11-21T10:00:00Z");
        assert_eq!(at("-30m").unwrap(), "2026-11-21T11:30:00Z");
        for wrong in ["", "-", "-h", "-2", "-2w", "--2h", "2h", "yesterday", "2026-13-01", "-ü"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cause_is_hexadecimal_and_a_rate_has_a_span() {
        assert_eq!(cause("7F3a"), Ok("7f3a".to_owned()));
        assert!(["", "7f3a0b1c2", "x"].iter().all(|wrong| cause(wrong).is_err()));
        assert_eq!((rate("50/s"), rate("30/m")), (Ok(50.0), Ok(0.5)));
        for wrong in ["", "50", "0/s", "-1/s", "1.5/s", "5/h", "/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_is_an_article_and_a_positive_quantity() {
        assert_eq!(line("p-1=2"), Ok((Sku::new("p-1").unwrap(), 2)));
        for wrong in ["", "p-1", "=1", "p-1=", "p-1=0", "p-1=-1", "p-1=x", "p 1=1"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
