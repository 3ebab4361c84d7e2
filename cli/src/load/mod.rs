//! `millrace load`: orders at a steady rate, whatever the answers take, each followed to its one
//! outcome. It sells in a store of its own.

mod assertion;
mod html;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ops::load::{self, Plan, Progress, Report, Shop};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::args;
use crate::failure::Failure;
use crate::output::{Output, Row, stderr_is_terminal};
use crate::place::Place;
use assertion::{Assertion, Judged};

/// How often a bar moves, and how often a line is written where there can be no bar.
const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Place orders at a steady rate, and see how long they take and how each ends.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// An open model: orders come when they are due, whether or not earlier ones were answered, and
    /// their times count from then.
    #[command(before_help = "\
Examples:
  millrace load run checkout --rate 100/s --for 5m
  millrace load run checkout --rate 200/s --for 1m --assert 'p95(http)<500ms' --assert 'lost==0'
  millrace load run checkout --rate 50/s --for 30s --html load.html -o json > load.json")]
    #[command(after_help = "\
Assertions: mean, p50, p90, p95, p99, p99.9 or max of http or order_decided, against 500ms, 2s, 1m;
errors, unsent, lost, unconfirmed or changed, against a count. What is not named of these must be 0.
Exit code 10 when one is missed, or when the run is void because this machine placed its orders later
than they were due.")]
    Run(RunArgs),
}

/// What is placed, and what must come of it.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// What each customer does.
    story: Story,
    /// Orders in a second, or in a minute.
    #[arg(long, value_name = "N/s", default_value = "10/s", value_parser = args::rate)]
    rate: f64,
    /// For how long.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = args::duration)]
    time: Duration,
    /// How long an order may take before it counts as lost.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = args::duration)]
    patience: Duration,
    /// What must be true in the end.
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    /// Also writes a page to look at.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Story {
    /// Orders one to three articles.
    Checkout,
}

/// What is printed for programs.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    assertions: &'a [Judged],
}

/// A measure as people see it.
#[derive(Debug, Serialize)]
struct Line {
    measure: &'static str,
    cells: [f64; 6],
    count: u64,
}

pub(crate) async fn run(command: LoadCommand, place: &Place, output: Output) -> anyhow::Result<()> {
    let LoadCommand::Run(args) = command;
    let Story::Checkout = args.story;
    let plan = Plan { rate: args.rate, time: args.time, patience: args.patience };
    if plan.orders() == 0 {
        let text = "no order is due in that time: give a higher rate, or more time";
        return Err(Failure::Usage(text.to_owned()).into());
    }
    let retailer = place.retailer();
    let shop = Shop::new(&format!("load-{}", Uuid::now_v7().simple()));
    shop.open(&retailer).await.map_err(Failure::from)?;
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let watching = tokio::spawn(watch(plan.orders(), progress.clone()));
    let listening = tokio::spawn(listen(stop.clone()));
    let report = load::run(&retailer, &shop, plan, &progress, &stop).await;
    watching.abort();
    listening.abort();
    let assertions = Assertion::with_counts(args.assertions);
    let judged: Vec<Judged> = assertions.iter().map(|it| it.judge(&report)).collect();
    tell(&report, &judged, output)?;
    if let Some(file) = &args.html {
        write(file, &html::page(&report, &judged)?)?;
    }
    verdict(&report, &judged)
}

fn write(file: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(file, page)
        .map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

fn tell(report: &Report, judged: &[Judged], output: Output) -> io::Result<()> {
    let told = Told { report, assertions: judged };
    if !output.for_people() {
        return output.item(&told);
    }
    let line = |(measure, times): (&'static str, &load::Times)| Line {
        measure,
        cells: [
            times.mean_ms,
            times.p50_ms,
            times.p95_ms,
            times.p99_ms,
            times.p999_ms,
            times.max_ms,
        ],
        count: times.count,
    };
    output.list(&html::measures(report).map(line))?;
    let ends: Vec<String> = report.outcomes.iter().map(|(end, n)| format!("{n} {end}")).collect();
    let Report { planned, sent, errors, lost, .. } = report;
    let ends = if ends.is_empty() { "none has ended".to_owned() } else { ends.join(", ") };
    eprintln!("{sent} of {planned} orders sent; {ends}; {errors} errors, {lost} lost");
    if let Some(error) = &report.error {
        eprintln!("the first error: {error}");
    }
    judged.iter().for_each(|one| eprintln!("{one}"));
    Ok(())
}

fn verdict(report: &Report, judged: &[Judged]) -> anyhow::Result<()> {
    if let Some(why) = &report.void {
        return Err(Failure::CheckFailed(format!("the run proves nothing: {why}")).into());
    }
    let missed = judged.iter().filter(|one| !one.pass).count();
    match missed {
        0 => Ok(()),
        _ => Err(Failure::CheckFailed(format!("{missed} of {} missed", judged.len())).into()),
    }
}

async fn watch(total: u64, progress: Arc<Progress>) {
    let bar = stderr_is_terminal().then(|| {
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} left");
        let style = style.expect("the template is well formed");
        ProgressBar::new(total).with_style(style).with_message("orders")
    });
    let mut ticks = interval(if bar.is_some() { BAR_EVERY } else { LINE_EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (sent, ended, failed) = (progress.sent(), progress.ended(), progress.failed());
        match &bar {
            Some(bar) => bar.set_position(ended + failed),
            None => eprintln!("orders: {sent} of {total} sent, {ended} ended, {failed} failed"),
        }
    }
}

/// The first Ctrl-C lets what is on its way arrive, the second does not.
async fn listen(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    eprintln!("no more orders; those on their way are followed; once more to stop at once");
    stop.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(i32::from(Failure::Interrupted.code()));
    }
}

impl Row for Told<'_> {
    const COLUMNS: &'static [&'static str] = &["RATE", "SENT", "ERRORS", "LOST"];

    fn id(&self) -> String {
        format!("{}/s", self.report.rate)
    }

    fn cells(&self) -> Vec<String> {
        let Report { rate, sent, errors, lost, .. } = self.report;
        vec![format!("{rate}/s"), sent.to_string(), errors.to_string(), lost.to_string()]
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] =
        &["MS", "COUNT", "MEAN", "P50", "P95", "P99", "P99.9", "MAX"];

    fn id(&self) -> String {
        self.measure.to_owned()
    }

    fn cells(&self) -> Vec<String> {
        let head = [self.measure.to_owned(), self.count.to_string()];
        head.into_iter().chain(self.cells.map(|value| format!("{value:.1}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ops::load::{Report, Times};

    /// Nothing was decided, two were lost.
    pub(super) fn report() -> Report {
        let none = Times {
            count: 0,
            mean_ms: 0.0,
            p50_ms: 0.0,
            p90_ms: 0.0,
            p95_ms: 0.0,
            p99_ms: 0.0,
            p999_ms: 0.0,
            max_ms: 0.0,
            histogram: vec![],
        };
        let http = Times {
            count: 4,
            mean_ms: 60.0,
            p50_ms: 50.0,
            p90_ms: 90.0,
            p95_ms: 95.0,
            p99_ms: 99.0,
            p999_ms: 999.0,
            max_ms: 999.0,
            histogram: vec![(50_000, 3), (999_000, 1)],
        };
        Report {
            rate: 10.0,
            seconds: 30.0,
            planned: 300,
            sent: 300,
            unsent: 0,
            errors: 1,
            error: Some("no".to_owned()),
            outcomes: BTreeMap::from([("confirmed".to_owned(), 297)]),
            lost: 2,
            unconfirmed: 0,
            changed: 0,
            http,
            order_decided: none.clone(),
            send_delay: none,
            void: None,
        }
    }
}
