//! What a goal came to: its ratio round by round, and whether the worse quartile holds.

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::rounds::Spread;

/// Which side of the target is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost,
    AtLeast,
}

/// A goal and what it came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: &'static str,
    pub(crate) ratio_median: f64,
    pub(crate) ratio_lower_quartile: f64,
    pub(crate) ratio_upper_quartile: f64,
    /// `None` where nothing is judged.
    pub(crate) bound: Option<Bound>,
    pub(crate) target: Option<f64>,
    /// The quartile that is further from the goal holds; `None` where nothing is judged.
    pub(crate) pass: Option<bool>,
    pub(crate) detail: String,
}

impl Verdict {
    pub(crate) fn new(
        goal: &'static str,
        ratios: &[f64],
        bound: Bound,
        target: f64,
        detail: String,
    ) -> Self {
        let known = Self::known(goal, ratios, detail);
        let pass = match bound {
            Bound::AtMost => known.ratio_upper_quartile <= target,
            Bound::AtLeast => known.ratio_lower_quartile >= target,
        };
        Self { bound: Some(bound), target: Some(target), pass: Some(pass), ..known }
    }

    /// What was measured to be known, without a goal.
    pub(crate) fn known(goal: &'static str, ratios: &[f64], detail: String) -> Self {
        let none = Spread { lower: f64::NAN, median: f64::NAN, upper: f64::NAN };
        let Spread { lower, median, upper } = Spread::of(ratios).unwrap_or(none);
        Self {
            goal,
            ratio_median: median,
            ratio_lower_quartile: lower,
            ratio_upper_quartile: upper,
            bound: None,
            target: None,
            pass: ratios.is_empty().then_some(false),
            detail,
        }
    }

    pub(crate) fn passes(&self) -> bool {
        self.pass != Some(false)
    }
}

/// For people.
pub(crate) fn table(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["GOAL", "MEDIAN", "QUARTILES", "TARGET", "", "DETAIL"]);
    for it in verdicts {
        let target = match (it.bound, it.target) {
            (Some(Bound::AtMost), Some(target)) => format!("at most {target}"),
            (Some(Bound::AtLeast), Some(target)) => format!("at least {target}"),
            _ => "none".to_owned(),
        };
        let held = match it.pass {
            None => "known",
            Some(true) => "holds",
            Some(false) => "MISSED",
        };
        table.add_row([
            it.goal.to_owned(),
            format!("{:.2}", it.ratio_median),
            format!("{:.2} to {:.2}", it.ratio_lower_quartile, it.ratio_upper_quartile),
            target,
            held.to_owned(),
            it.detail.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_quartile_decides() {
        let of = |bound, target| Verdict::new("g", &[1.0, 2.0, 3.0], bound, target, String::new());
        assert!(of(Bound::AtMost, 2.5).passes());
        assert!(!of(Bound::AtMost, 2.4).passes());
        assert!(of(Bound::AtLeast, 1.5).passes());
        assert!(!of(Bound::AtLeast, 1.6).passes());
        assert!(!Verdict::new("g", &[], Bound::AtMost, 2.0, String::new()).passes());
        assert!(!Verdict::known("g", &[], String::new()).passes(), "nothing was measured");
        let known = Verdict::known("g", &[1.0, 2.0, 3.0], String::new());
        assert!(known.passes() && known.pass.is_none() && known.target.is_none());
        assert!(table(&[known]).to_string().contains("known"));
    }
}
