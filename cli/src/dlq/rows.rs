//! Causes, letters and their neighbours as rows of tables.

use ops::dead::{Cause, Letter, Neighbour, Shown};
use schemas::Timestamp;

use crate::output::Row;

/// So much of a message stands in a table.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn shown_time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// The name without its namespace.
fn last_word(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

impl Row for Cause {
    const COLUMNS: &'static [&'static str] =
        &["CAUSE", "SERVICE", "FACT", "ERROR", "COUNT", "KEYS", "WAITING", "TREND", "LAST"];
    const WIDE: &'static [&'static str] = &["FIRST", "LAST 15 MIN", "MESSAGE"];

    fn id(&self) -> String {
        self.cause.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.cause.clone(),
            self.service.clone(),
            last_word(&self.fact),
            format!("{}: {}", last_word(&self.error_type), short(&self.message)),
            self.count.to_string(),
            self.keys.to_string(),
            self.waiting.to_string(),
            self.trend.as_str().to_owned(),
            shown_time(self.last_at),
        ]
    }

    fn wide(&self) -> Vec<String> {
        vec![shown_time(self.first_at), self.recent.to_string(), self.message.clone()]
    }
}

impl Row for Letter {
    const COLUMNS: &'static [&'static str] =
        &["ID", "SERVICE", "CAUSE", "STATUS", "FACT", "KEY", "ERROR"];
    const WIDE: &'static [&'static str] = &["REASON", "PLACE", "ATTEMPTS", "LAST FAILED", "PARKED"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn cells(&self) -> Vec<String> {
        let error = match self.error_type.is_empty() {
            true => "-".to_owned(),
            false => format!("{}: {}", last_word(&self.error_type), short(&self.error_message)),
        };
        vec![
            self.id.clone(),
            self.service.clone(),
            self.cause.clone(),
            self.status.clone(),
            last_word(&self.fact),
            self.key.clone(),
            error,
        ]
    }

    fn wide(&self) -> Vec<String> {
        vec![
            self.reason.clone(),
            self.place(),
            self.attempts.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            shown_time(self.last_failed_at),
            shown_time(self.parked_at),
        ]
    }
}

impl Row for Neighbour {
    const COLUMNS: &'static [&'static str] = &["ID", "FACT", "PLACE", "STATUS", "REASON"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn cells(&self) -> Vec<String> {
        let Self { id, fact, place, status, reason } = self;
        vec![id.clone(), last_word(fact), place.clone(), status.clone(), reason.clone()]
    }
}

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = Letter::COLUMNS;

    fn id(&self) -> String {
        self.letter.id.clone()
    }

    fn cells(&self) -> Vec<String> {
        self.letter.cells()
    }
}
