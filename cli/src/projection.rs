//! `millrace projection`: the builds of a view. Another is made beside the live one, compared with
//! it, put in its place, and taken back.

use clap::Subcommand;
use millrace::control::{Build as Action, Kind};
use ops::command;
use ops::projection::{Build, Difference, ProjectionError, builds, diff, no_view, rebuild};
use ops::status::statuses;

use crate::act::{self, Act};
use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;

/// Views are rebuilt beside the live ones, compared, swapped and taken back.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionCommand {
    /// List the builds of every view.
    #[command(before_help = "Example:\n  millrace projection list")]
    List,
    /// Show the builds of one view: how far one in the making is, and when it will be done.
    #[command(before_help = "Example:\n  millrace projection status order-view")]
    Status {
        /// The service whose view it is.
        view: String,
    },
    /// Fold the topics anew, into rows beside the live ones.
    #[command(before_help = "\
Examples:
  millrace projection rebuild order-view                      what would be done
  millrace projection rebuild order-view --reason 'new fold' --execute")]
    Rebuild {
        /// The service whose view it is.
        view: String,
        #[command(flatten)]
        act: Act,
    },
    /// Compare the build in the making with the live one, key by key; exit code 10 when they differ.
    #[command(before_help = "Example:\n  millrace projection diff order-view -o wide")]
    Diff {
        /// The service whose view it is.
        view: String,
    },
    /// Put the build that was made in the place of the live one.
    #[command(before_help = "\
Example:
  millrace projection swap order-view --reason 'the differences are as meant' --execute")]
    Swap {
        /// The service whose view it is.
        view: String,
        /// Also when the live one shows keys that the build does not have.
        #[arg(long)]
        accept_missing: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Put the build that was live before back in its place; possible for a day.
    #[command(before_help = "\
Example:
  millrace projection rollback order-view --reason 'wrong totals' --execute")]
    Rollback {
        /// The service whose view it is.
        view: String,
        #[command(flatten)]
        act: Act,
    },
    /// Give up the build in the making.
    #[command(before_help = "\
Example:
  millrace projection cancel order-view --reason 'another fold' --execute")]
    Cancel {
        /// The service whose view it is.
        view: String,
        #[command(flatten)]
        act: Act,
    },
}

pub(crate) async fn run(
    command: ProjectionCommand,
    place: &Place,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        ProjectionCommand::List => {
            let mut all = vec![];
            for service in crate::house::views() {
                all.extend(of(place, service).await?);
            }
            Ok(output.list(&all)?)
        }
        ProjectionCommand::Status { view } => Ok(output.list(&of(place, known(&view)?).await?)?),
        ProjectionCommand::Rebuild { view, act } => begin(place, known(&view)?, &act, output).await,
        ProjectionCommand::Diff { view } => {
            let view = known(&view)?;
            let found = diff(&place.endpoints, view).await.map_err(Failure::from)?;
            if found.is_empty() {
                eprintln!("the build in the making and the live one of {view} are the same");
                return Ok(());
            }
            output.list(&found)?;
            let keys: i64 = found.iter().map(|it| it.keys).sum();
            Err(Failure::CheckFailed(format!("{keys} keys of {view} differ")).into())
        }
        ProjectionCommand::Swap { view, accept_missing, act } => {
            let view = known(&view)?;
            let found = diff(&place.endpoints, view).await.map_err(Failure::from)?;
            let missing = found.iter().filter(|it| it.cause == "only live");
            let missing: i64 = missing.map(|it| it.keys).sum();
            if missing > 0 && !accept_missing {
                return Err(Failure::Refused(format!(
                    "{missing} keys of {view} are only in the live build: their records may be past \
                     the retention of the topics (`millrace projection diff {view}` names some); to \
                     lose them, add --accept-missing"
                ))
                .into());
            }
            let keys: i64 = found.iter().map(|it| it.keys).sum();
            let detail =
                format!("{keys} keys change what they show; it can be taken back for a day");
            change(place, view, Action::Swap, ("swap", detail), &act, output).await
        }
        ProjectionCommand::Rollback { view, act } => {
            let detail = "the build that was live before is live again and reads what it missed";
            let step = ("rollback", detail.to_owned());
            change(place, known(&view)?, Action::Rollback, step, &act, output).await
        }
        ProjectionCommand::Cancel { view, act } => {
            let step = ("cancel", "the build in the making is dropped".to_owned());
            change(place, known(&view)?, Action::Cancel, step, &act, output).await
        }
    }
}

async fn of(place: &Place, view: &str) -> Result<Vec<Build>, Failure> {
    let admin = place.broker().await?;
    Ok(builds(&admin, &place.endpoints, view).await?)
}

async fn begin(place: &Place, view: &str, act: &Act, output: Output) -> anyhow::Result<()> {
    let admin = place.broker().await?;
    let prefix = &place.endpoints.topic_prefix;
    let found = statuses(&admin, prefix).await.map_err(Failure::from)?;
    let live = of(place, view).await?.into_iter().find(|build| build.state == "live");
    let live = live.map(|build| build.fold).unwrap_or_default();
    let group = command::group(prefix, view);
    let recent = ops::status::recent(&found, time::OffsetDateTime::now_utc().into());
    let codes: Vec<String> = recent
        .filter(|status| status.group == group)
        .filter_map(|status| status.fold.clone())
        .collect();
    let action = rebuild(&admin, &place.endpoints, view, &codes, &live).await;
    let action = action.map_err(Failure::from)?;
    let Action::Rebuild { fold, records, .. } = &action else { return Ok(()) };
    let same = if *fold == live { ", which is that of the live build" } else { "" };
    let detail = format!(
        "{records} records are folded by code {fold}{same}, under a group of its own; live reads and \
         live records go on, nothing outside happens"
    );
    change(place, view, action, ("rebuild", detail), act, output).await
}

async fn change(
    place: &Place,
    view: &str,
    action: Action,
    (name, detail): (&'static str, String),
    act: &Act,
    output: Output,
) -> anyhow::Result<()> {
    let Some(author) = act::author(act) else {
        return Ok(output.plan(&[Step::new(name, view.to_owned(), detail)])?);
    };
    let operator = act::operator(place).await?;
    let group = command::group(&place.endpoints.topic_prefix, view);
    let asked = command::command(&group, Kind::Projection { action }, &author);
    act::carry_out(place, &operator, vec![(view.to_owned(), asked)], output).await
}

/// The service whose view is meant.
fn known(view: &str) -> Result<&'static str, Failure> {
    let found = crate::house::views().find(|known| *known == view);
    found.ok_or_else(|| no_view(view).into())
}

impl From<ProjectionError> for Failure {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::NotFound(text) => Self::NotFound(text),
            ProjectionError::Refused(text) => Self::Refused(text),
            ProjectionError::Admin(error) => error.into(),
            ProjectionError::Database(error) => error.into(),
        }
    }
}

impl Row for Build {
    const COLUMNS: &'static [&'static str] =
        &["VIEW", "BUILD", "STATE", "PROGRESS", "ETA", "BEHIND", "BROKEN", "CODE"];
    const WIDE: &'static [&'static str] = &["FOLDED", "CREATED", "SWAPPED"];

    fn id(&self) -> String {
        format!("{}/{}", self.service, self.build)
    }

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let progress = self.progress.map(|part| format!("{:.0} %", part * 100.0));
        vec![
            self.service.clone(),
            self.build.to_string(),
            self.state.clone(),
            progress.unwrap_or_else(dash),
            self.eta_seconds.map_or_else(dash, |eta| format!("{eta:.0} s")),
            self.behind.map_or_else(dash, |behind| behind.to_string()),
            self.broken.to_string(),
            self.fold.clone(),
        ]
    }

    fn wide(&self) -> Vec<String> {
        let swapped = self.swapped_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        vec![self.folded.to_string(), self.created_at.to_string(), swapped]
    }
}

impl Row for Difference {
    const COLUMNS: &'static [&'static str] = &["TABLE", "DIFFERS IN", "KEYS", "FOR EXAMPLE"];
    const WIDE: &'static [&'static str] = &["LIVE AND BUILD"];

    fn id(&self) -> String {
        self.examples.first().cloned().unwrap_or_default()
    }

    fn cells(&self) -> Vec<String> {
        let example = self.examples.first().cloned().unwrap_or_default();
        vec![self.table.clone(), self.cause.clone(), self.keys.to_string(), example]
    }

    fn wide(&self) -> Vec<String> {
        let one =
            |(column, live, made): &(String, String, String)| format!("{column}: {live} -> {made}");
        vec![self.sample.iter().map(one).collect::<Vec<_>>().join("; ")]
    }
}
