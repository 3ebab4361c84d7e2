//! One entry as it is exported: the same columns in every form.

use journal::decode::Said;
use journal::domain::chain::Entry;
use schemas::{StoreId, Timestamp};
use serde_json::{Map, Value};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that is always there.
    Text,
    /// Text that may be missing.
    Maybe,
    /// A whole number.
    Number,
    /// A moment, in microseconds of UTC.
    Moment,
    /// Any JSON.
    Json,
}

/// A cell of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Maybe(Option<String>),
    Number(i64),
    Moment(Timestamp),
    Json(Value),
}

/// The columns, in their order.
pub(super) const COLUMNS: [(&str, Kind); 17] = [
    ("order_id", Kind::Text),
    ("seq", Kind::Number),
    ("event_id", Kind::Text),
    ("fact", Kind::Text),
    ("producer", Kind::Text),
    ("topic", Kind::Text),
    ("partition", Kind::Number),
    ("offset", Kind::Number),
    ("schema_id", Kind::Number),
    ("version", Kind::Number),
    ("correlation_id", Kind::Text),
    ("causation_id", Kind::Maybe),
    ("store_id", Kind::Maybe),
    ("occurred_at", Kind::Moment),
    ("recorded_at", Kind::Moment),
    ("hash", Kind::Text),
    ("data", Kind::Json),
];

/// An entry as cells, one for each column.
pub(super) struct Line(pub(super) [Cell; 17]);

impl Line {
    pub(super) fn of(entry: &Entry, said: &Said, store: Option<&StoreId>) -> Self {
        let page = &entry.page;
        let number = |number: u64| Cell::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let text = |text: &dyn ToString| Cell::Text(text.to_string());
        Self([
            text(&page.order),
            number(entry.seq),
            text(&page.event_id),
            text(&page.name),
            text(&page.producer),
            text(&page.topic),
            Cell::Number(page.partition.into()),
            Cell::Number(page.offset),
            Cell::Number(page.schema_id.into()),
            number(page.version),
            text(&page.correlation),
            Cell::Maybe(page.causation.map(|cause| cause.to_string())),
            Cell::Maybe(store.map(ToString::to_string)),
            Cell::Moment(page.occurred_at),
            Cell::Moment(page.recorded_at),
            text(&entry.hash),
            Cell::Json(said.json()),
        ])
    }

    /// As a JSON object.
    pub(super) fn json(&self) -> Value {
        let names = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
        Value::Object(names.zip(self.0.iter().map(Cell::json)).collect::<Map<_, _>>())
    }

    /// As comma-separated values.
    pub(super) fn csv(&self) -> String {
        self.0.iter().map(Cell::csv).collect::<Vec<_>>().join(",")
    }
}

/// The line above the lines of CSV.
pub(super) fn titles() -> String {
    COLUMNS.map(|(name, _)| name).join(",")
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Maybe(text) => text.as_deref().into(),
            Self::Number(number) => (*number).into(),
            Self::Moment(at) => at.to_string().into(),
            Self::Json(value) => value.clone(),
        }
    }

    /// Quoted where a comma, a quote or a line's end would be taken for the end of the cell.
    fn csv(&self) -> String {
        let text = match self.json() {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        match text.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_ends_where_it_should() {
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(text("plain").csv(), "plain");
        assert_eq!(Cell::Maybe(None).csv(), "");
        assert_eq!(Cell::Number(7).csv(), "7");
        assert_eq!(text("a,b\n\"c\"").csv(), "\"a,b\n\"\"c\"\"\"");
        assert_eq!(Cell::Json(json!({ "a": "b" })).csv(), "\"{\"\"a\"\":\"\"b\"\"}\"");
    }
}
