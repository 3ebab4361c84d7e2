//! What a run must come to: `p95(http)<500ms`, `lost==0`.

use std::fmt;
use std::str::FromStr;

use ops::load::{Report, Times};
use serde::Serialize;

use crate::args;

/// A number of a report, and its bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assertion {
    text: String,
    number: Number,
    relation: Relation,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Time(Statistic, Measure),
    Count(Count),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Http,
    OrderDecided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Errors,
    Unsent,
    Lost,
    Unconfirmed,
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("<", Relation::Below),
    (">", Relation::Above),
];
const STATISTICS: [(&str, Statistic); 7] = [
    ("mean", Statistic::Mean),
    ("p50", Statistic::P50),
    ("p90", Statistic::P90),
    ("p95", Statistic::P95),
    ("p99", Statistic::P99),
    ("p99.9", Statistic::P999),
    ("max", Statistic::Max),
];
const MEASURES: [(&str, Measure); 2] =
    [("http", Measure::Http), ("order_decided", Measure::OrderDecided)];
const COUNTS: [(&str, Count); 5] = [
    ("errors", Count::Errors),
    ("unsent", Count::Unsent),
    ("lost", Count::Lost),
    ("unconfirmed", Count::Unconfirmed),
    ("changed", Count::Changed),
];

/// An assertion, and what the run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    pub(crate) assertion: String,
    /// A count, or milliseconds.
    pub(crate) value: f64,
    pub(crate) pass: bool,
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = RELATIONS.iter().find_map(|(sign, relation)| {
            text.split_once(sign).map(|(left, right)| (left.trim(), *relation, right.trim()))
        });
        let (number, relation, bound) = found.ok_or_else(|| wrong(text))?;
        let (number, bound) = match number.split_once('(') {
            Some((statistic, measure)) => {
                let measure = measure.strip_suffix(')').ok_or_else(|| wrong(text))?;
                let number = Number::Time(
                    named(&STATISTICS, statistic.trim())?,
                    named(&MEASURES, measure.trim())?,
                );
                (number, args::duration(bound)?.as_secs_f64() * 1e3)
            }
            None => {
                let bound: u32 = bound.parse().map_err(|_| format!("{bound} is no count"))?;
                (Number::Count(named(&COUNTS, number)?), f64::from(bound))
            }
        };
        Ok(Self { text: text.to_owned(), number, relation, bound })
    }
}

fn wrong(text: &str) -> String {
    format!("`{text}` is no assertion: say p95(http)<500ms or lost==0")
}

fn named<T: Copy>(known: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    found.ok_or_else(|| format!("`{name}` is not known: {}", names.join(", ")))
}

impl Assertion {
    /// These, and of every count that they do not name that it is 0: what was fast because it failed
    /// is not good.
    pub(crate) fn with_counts(mut these: Vec<Self>) -> Vec<Self> {
        for (name, count) in COUNTS {
            let number = Number::Count(count);
            if !these.iter().any(|it| it.number == number) {
                let (text, relation) = (format!("{name}==0"), Relation::Equal);
                these.push(Self { text, number, relation, bound: 0.0 });
            }
        }
        these
    }

    pub(crate) fn judge(&self, report: &Report) -> Judged {
        let value = match self.number {
            Number::Time(statistic, Measure::Http) => statistic.of(&report.http),
            Number::Time(statistic, Measure::OrderDecided) => statistic.of(&report.order_decided),
            Number::Count(Count::Errors) => report.errors as f64,
            Number::Count(Count::Unsent) => report.unsent as f64,
            Number::Count(Count::Lost) => report.lost as f64,
            Number::Count(Count::Unconfirmed) => report.unconfirmed as f64,
            Number::Count(Count::Changed) => report.changed as f64,
        };
        let pass = match self.relation {
            Relation::Below => value < self.bound,
            Relation::AtMost => value <= self.bound,
            Relation::Equal => value == self.bound,
            Relation::AtLeast => value >= self.bound,
            Relation::Above => value > self.bound,
        };
        Judged { assertion: self.text.clone(), value, pass }
    }
}

impl Statistic {
    fn of(self, times: &Times) -> f64 {
        match self {
            // Nothing was measured: no bound holds.
            _ if times.count == 0 => f64::NAN,
            Self::Mean => times.mean_ms,
            Self::P50 => times.p50_ms,
            Self::P90 => times.p90_ms,
            Self::P95 => times.p95_ms,
            Self::P99 => times.p99_ms,
            Self::P999 => times.p999_ms,
            Self::Max => times.max_ms,
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = (self.value * 10.0).round() / 10.0;
        let said = if self.pass { "holds" } else { "MISSED" };
        write!(f, "{said}: {}, it is {value}", self.assertion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::report;

    #[test]
    fn an_assertion_is_about_a_time_or_a_count() {
        let judged = |text: &str| text.parse::<Assertion>().unwrap().judge(&report());
        for (text, value, pass) in [
            ("p95(http)<500ms", 95.0, true),
            ("p95( http ) < 95ms", 95.0, false),
            ("p95(http)<=95ms", 95.0, true),
            ("p99.9(http)>1s", 999.0, false),
            ("lost==0", 2.0, false),
            ("errors >= 1", 1.0, true),
            ("mean(order_decided)<1s", f64::NAN, false),
        ] {
            let judged = judged(text);
            assert_eq!(judged.pass, pass, "{text}");
            assert!(judged.value == value || judged.value.is_nan() && value.is_nan(), "{judged}");
        }
    }

    #[test]
    fn every_count_is_judged_whatever_else_is_asked() {
        let asked = ["p95(http)<1s", "lost<=2"].map(|text| text.parse().unwrap());
        let judged = Assertion::with_counts(asked.to_vec());
        let judged: Vec<Judged> = judged.iter().map(|it| it.judge(&report())).collect();
        let missed: Vec<&str> =
            judged.iter().filter(|it| !it.pass).map(|it| it.assertion.as_str()).collect();
        assert_eq!((judged.len(), missed), (6, vec!["errors==0"]));
    }

    #[test]
    fn what_is_no_assertion_is_refused_with_what_there_is() {
        for (text, wanted) in [
            ("", "p95(http)<500ms"),
            ("p95(http)", "p95(http)<500ms"),
            ("p96(http)<1s", "p50, p90"),
            ("p95(https)<1s", "http, order_decided"),
            ("p95(http<1s", "p95(http)<500ms"),
            ("p95(http)<1", "500ms"),
            ("lost==none", "no count"),
            ("found==0", "errors, unsent, lost, unconfirmed, changed"),
        ] {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
