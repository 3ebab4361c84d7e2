//! A run as a page: what was asserted, how long things took, and the curves of their percentiles.

use std::fmt::Write as _;

use ops::load::{Report, Times};
use plotters::prelude::*;

use super::assertion::Judged;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;\
padding:0 1rem;color:#222}table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;\
border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}\
.missed{color:#b00020;font-weight:600}svg{max-width:100%;height:auto}";

/// Shares of all orders at which a curve has a point.
const SHARES: [f64; 12] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999];

/// The page. It needs nothing else.
pub(super) fn page(report: &Report, judged: &[Judged]) -> anyhow::Result<String> {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>Load: {}/s</title><style>{STYLE}</style>\
         <h1>{} orders a second for {} s</h1>",
        report.rate, report.rate, report.seconds
    );
    let Report { planned, sent, errors, lost, changed, .. } = report;
    let outcomes: Vec<String> =
        report.outcomes.iter().map(|(end, orders)| format!("{orders} {end}")).collect();
    write!(
        page,
        "<p>{planned} planned, {sent} sent; {}; {errors} errors, {lost} lost, {changed} changed \
         their outcome.</p>",
        outcomes.join(", ")
    )?;
    if let Some(why) = &report.void {
        write!(page, "<p class=missed>Void: {}</p>", escaped(why))?;
    }
    page.push_str("<ul>");
    for one in judged {
        let class = if one.pass { "held" } else { "missed" };
        write!(page, "<li class={class}>{}</li>", escaped(&one.to_string()))?;
    }
    page.push_str(
        "</ul><table><tr><th>ms<th>count<th>mean<th>p50<th>p90<th>p95<th>p99<th>p99.9<th>max</tr>",
    );
    for (name, times) in measures(report) {
        let Times { count, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms, .. } = times;
        write!(page, "<tr><td>{name}<td>{count}")?;
        for value in [mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms] {
            write!(page, "<td>{value:.1}")?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
    page.push_str(&curves(report)?);
    page.push_str(
        "<p>Times count from the planned moment of each order, so that an order that waited for its \
         turn has waited.</p></html>\n",
    );
    Ok(page)
}

pub(super) fn measures(report: &Report) -> [(&'static str, &Times); 3] {
    [
        ("http", &report.http),
        ("order_decided", &report.order_decided),
        ("send_delay", &report.send_delay),
    ]
}

/// Percentiles over the number of nines, as one reads latencies.
fn curves(report: &Report) -> anyhow::Result<String> {
    let top = report.order_decided.max_ms.max(report.http.max_ms).max(1.0) * 1.5;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0f64..4f64, (0.1f64..top).log_scale())?;
        chart
            .configure_mesh()
            .x_labels(5)
            .x_label_formatter(&|nines| format!("{:.2} %", share(*nines) * 100.0))
            .y_desc("milliseconds")
            .x_desc("of all orders took at most")
            .draw()?;
        for ((name, times), colour) in measures(report).into_iter().zip([BLUE, RED, BLACK]) {
            let points = SHARES.map(|share| (nines(share), at(times, share).max(0.1)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(svg)
}

fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn share(nines: f64) -> f64 {
    1.0 - 10f64.powf(-nines)
}

/// Milliseconds that this share of all took at most.
fn at(times: &Times, share: f64) -> f64 {
    let wanted = (times.count as f64 * share).ceil() as u64;
    let mut seen = 0;
    let found = times.histogram.iter().find(|(_, count)| {
        seen += count;
        seen >= wanted
    });
    found.map_or(0.0, |(micros, _)| *micros as f64 / 1e3)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::report;

    #[test]
    fn the_page_says_what_was_asserted_and_draws_each_measure() {
        let judged = ["lost==0", "p95(http)<1s"].map(|text| {
            text.parse::<super::super::assertion::Assertion>().unwrap().judge(&report())
        });
        let page = page(&report(), &judged).unwrap();
        assert!(page.contains("<li class=missed>MISSED: lost==0, it is 2</li>"), "{page}");
        assert!(page.contains("holds: p95(http)&lt;1s, it is 95"));
        assert!(page.matches("<polyline").count() >= 3);
        assert!(page.contains("<td>order_decided<td>0"));
    }

    #[test]
    fn a_share_of_orders_is_looked_up_in_what_was_recorded() {
        let times = report().http;
        assert_eq!((at(&times, 0.0), at(&times, 0.5), at(&times, 0.9999)), (50.0, 50.0, 999.0));
    }
}
