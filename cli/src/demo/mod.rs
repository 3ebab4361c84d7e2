//! `millrace demo`: stories of an order on the real stack, each of which acts like a customer and
//! then checks itself: answers, topics, databases. It leaves nothing behind.

mod audit;
mod balance;
mod cancelled;
mod crash;
mod crowd;
mod duplicate;
mod expired;
mod facts;
mod law;
mod partner_down;
mod poison;
mod reads_survive;
mod rebalance;
mod rebuild;
mod replay;
mod report;
mod seek;
mod stage;
mod success;
mod time_travel;
mod trace;
mod undone;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use harness::{Ground, GroundKind};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::output::{Format, Output, Row, stderr_is_terminal};
use report::{Report, Tale};
use stage::Stage;

/// What `demo` can be told.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Tell only this story; can be given more than once.
    #[arg(long, value_name = "NAME")]
    story: Vec<Story>,
}

/// The stories, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Story {
    Success,
    NoStock,
    PaymentRefused,
    CancelledAfterPayment,
    DuplicateCheckout,
    Expired,
    Trace,
    Replay,
    TimeTravel,
    Seek,
    Rebuild,
    ReadsSurvive,
    Poison,
    PartnerDown,
    Rebalance,
    Crash,
}

/// Tells the stories; succeeds only when all of them hold.
pub async fn run(args: DemoArgs, output: Output) -> Result<ExitCode> {
    if std::env::var_os("RUST_LOG").is_some() {
        millrace::log::init(millrace::log::json_wanted());
    }
    // Heard from the first moment on, so that an early Ctrl-C ends in good order as well.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let reports = tokio::select! {
        reports = on_ground(&args, output) => reports?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    if output.format() == Format::Json {
        output.list(&reports)?;
    }
    let failed: Vec<&str> =
        reports.iter().filter(|report| !report.ok).map(|report| report.story).collect();
    if failed.is_empty() {
        eprintln!("told {}, and every story holds", reports.len());
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::CheckFailed(format!("did not hold: {}", failed.join(", "))).into())
}

/// The ground ends with this, also when it is dropped half-way.
async fn on_ground(args: &DemoArgs, output: Output) -> Result<Vec<Report>> {
    let chosen = |story: &&Story| args.story.is_empty() || args.story.contains(story);
    let stories: Vec<Story> = Story::value_variants().iter().filter(chosen).copied().collect();
    let ground = Ground::builder().progress(|line| eprintln!("{line}")).start().await?;
    let (stories, left_out): (Vec<Story>, Vec<Story>) =
        stories.into_iter().partition(|story| story.can_be_told_on(ground.kind()));
    for story in &left_out {
        eprintln!("left out, not told: {}, which needs a real broker", story.name());
    }
    if stories.is_empty() {
        return Err(Failure::Refused("no story is left to be told".to_owned()).into());
    }
    let told = tell_all(&ground, &stories, output).await;
    ground.stop().await;
    told
}

/// Silence on a terminal looks like a fault.
fn announce(story: Story) {
    if stderr_is_terminal() {
        eprintln!("telling {}: {}", story.name(), story.about());
    }
}

async fn tell_all(ground: &Ground, stories: &[Story], output: Output) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    if stories.iter().any(|story| !story.has_its_own_world()) {
        let stage = Stage::open(ground).await?;
        for story in stories.iter().filter(|story| !story.has_its_own_world()) {
            reports.push(tell(*story, &stage, output).await?);
        }
        stage.close().await?;
    }
    for story in stories.iter().filter(|story| story.has_its_own_world()) {
        announce(*story);
        let mut tale = Tale::begin(story.name(), story.about());
        let told = match story {
            Story::Rebalance => rebalance::tell(ground, &mut tale).await,
            _ => crash::tell(ground, &mut tale).await,
        };
        reports.push(show(tale.end(told), output)?);
    }
    Ok(reports)
}

async fn tell(story: Story, stage: &Stage, output: Output) -> Result<Report> {
    announce(story);
    let mut tale = Tale::begin(story.name(), story.about());
    let told = match story {
        Story::Success => success::tell(stage, &mut tale).await,
        Story::NoStock => undone::no_stock(stage, &mut tale).await,
        Story::PaymentRefused => undone::payment_refused(stage, &mut tale).await,
        Story::CancelledAfterPayment => cancelled::tell(stage, &mut tale).await,
        Story::DuplicateCheckout => duplicate::tell(stage, &mut tale).await,
        Story::Expired => expired::tell(stage, &mut tale).await,
        Story::Trace => trace::tell(stage, &mut tale).await,
        Story::Replay => replay::tell(stage, &mut tale).await,
        Story::TimeTravel => time_travel::tell(stage, &mut tale).await,
        Story::Seek => seek::tell(stage, &mut tale).await,
        Story::Rebuild => rebuild::tell(stage, &mut tale).await,
        Story::ReadsSurvive => reads_survive::tell(stage, &mut tale).await,
        Story::Poison => poison::tell(stage, &mut tale).await,
        Story::PartnerDown => partner_down::tell(stage, &mut tale).await,
        Story::Rebalance | Story::Crash => Err(anyhow::anyhow!("told in a world of its own")),
    };
    show(tale.end(told), output)
}

fn show(report: Report, output: Output) -> Result<Report> {
    match output.format() {
        Format::Table | Format::Wide => output.text(&report.told(output.colours()))?,
        Format::Ndjson | Format::Id => output.item(&report)?,
        Format::Json => {}
    }
    Ok(report)
}

impl Story {
    /// Its services are processes of their own.
    fn has_its_own_world(self) -> bool {
        matches!(self, Self::Rebalance | Self::Crash)
    }

    /// The mock broker does not tell who is in a group, and misses a dead member late.
    fn can_be_told_on(self, ground: GroundKind) -> bool {
        !matches!(self, Self::Rebalance | Self::Seek | Self::Rebuild)
            || ground == GroundKind::Native
    }

    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NoStock => "no-stock",
            Self::PaymentRefused => "payment-refused",
            Self::CancelledAfterPayment => "cancelled-after-payment",
            Self::DuplicateCheckout => "duplicate-checkout",
            Self::Expired => "expired",
            Self::Trace => "trace",
            Self::Replay => "replay",
            Self::TimeTravel => "time-travel",
            Self::Seek => "seek",
            Self::Rebuild => "rebuild",
            Self::ReadsSurvive => "reads-survive",
            Self::Poison => "poison",
            Self::PartnerDown => "partner-down",
            Self::Rebalance => "rebalance",
            Self::Crash => "crash",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Success => success::ABOUT,
            Self::NoStock => undone::NO_STOCK,
            Self::PaymentRefused => undone::PAYMENT_REFUSED,
            Self::CancelledAfterPayment => cancelled::ABOUT,
            Self::DuplicateCheckout => duplicate::ABOUT,
            Self::Expired => expired::ABOUT,
            Self::Trace => trace::ABOUT,
            Self::Replay => replay::ABOUT,
            Self::TimeTravel => time_travel::ABOUT,
            Self::Seek => seek::ABOUT,
            Self::Rebuild => rebuild::ABOUT,
            Self::ReadsSurvive => reads_survive::ABOUT,
            Self::Poison => poison::ABOUT,
            Self::PartnerDown => partner_down::ABOUT,
            Self::Rebalance => rebalance::ABOUT,
            Self::Crash => crash::ABOUT,
        }
    }
}

impl Row for Report {
    const COLUMNS: &'static [&'static str] = &["STORY", "OK"];

    fn id(&self) -> String {
        self.story.to_owned()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.story.to_owned(), self.ok.to_string()]
    }
}
