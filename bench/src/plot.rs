//! A comparison as a picture: a row for each side, and in it a point for each round.

use anyhow::Result;
use plotters::prelude::*;
use serde_json::Value;

const WIDTH: u32 = 860;
const ROW: u32 = 44;
const FRAME: u32 = 90;
const NAMES: u32 = 210;

/// What each side did, round by round, as SVG.
pub(crate) fn rounds(rounds: &Value) -> Result<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let sides = list(&rounds["sides"]);
    let sides: Vec<&str> = sides.iter().filter_map(Value::as_str).collect();
    let in_ms = rounds["shows"] == "milliseconds";
    let shown = |sample: &Value| {
        let rate = sample["rate"].as_f64().filter(|rate| *rate > 0.0)?;
        Some(if in_ms { 1e3 / rate } else { rate })
    };
    let mut points = vec![];
    for round in list(&rounds["samples"]) {
        for (side, sample) in list(&round).iter().enumerate() {
            points.extend(shown(sample).map(|value| (value, side)));
        }
    }
    let high = points.iter().map(|(value, _)| *value).fold(0.0, f64::max);
    if points.is_empty() {
        return Ok(String::new());
    }
    let rows = sides.len() as i32;
    let row = |side: usize| SegmentValue::CenterOf(rows - 1 - side as i32);
    let name = |row: &SegmentValue<i32>| match row {
        SegmentValue::CenterOf(row) => sides.get((rows - 1 - row) as usize).copied(),
        _ => None,
    };
    let mut svg = String::new();
    {
        let size = (WIDTH, FRAME + ROW * sides.len() as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_right(40)
            .x_label_area_size(44)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(0.0..high * 1.05, (0..rows).into_segmented())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 14))
            .x_labels(6)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|row| name(row).unwrap_or_default().to_owned())
            .x_desc(if in_ms { "milliseconds" } else { "in a second" })
            .draw()?;
        let dot = |(value, side): &(f64, usize)| {
            Circle::new((*value, row(*side)), 5, BLUE.mix(0.5).filled())
        };
        chart.draw_series(points.iter().map(dot))?;
        area.present()?;
    }
    Ok(svg)
}

/// As many digits as one reads.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1} million", value / 1e6),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_round_of_each_side_is_a_point() {
        let sample = |rate: f64| json!({ "rate": rate, "own_us": 0.0, "postgres_us": 0.0 });
        let kept = json!({
            "sides": ["ours", "a peer"],
            "samples": [[sample(10.0), sample(2.0)], [sample(11.0), sample(3.0)]],
        });
        let svg = rounds(&kept).unwrap();
        assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
        assert!(svg.contains("a peer") && svg.contains("in a second"));
        assert_eq!(rounds(&json!({ "sides": ["ours"], "samples": [] })).unwrap(), "");
    }
}
