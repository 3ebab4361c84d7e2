//! `millrace operation`: what operators asked for, how far it is, and changing it on the way.

use clap::Subcommand;
use millrace::control::{Do, Kind};
use ops::command::command;
use ops::operation::{Operation, operations};
use uuid::Uuid;

use crate::act::{self, Act};
use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;

/// List, watch, pause, resume and cancel what was asked of the services.
#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// List operations, the newest first.
    #[command(
        before_help = "Examples:\n  millrace operation list\n  millrace operation list -o wide"
    )]
    List {
        /// At most so many of each service.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
    },
    /// Follow operations until they end.
    #[command(before_help = "Example:\n  millrace operation watch ID")]
    Watch {
        /// Which ones.
        #[arg(required = true)]
        id: Vec<Uuid>,
    },
    /// Let an operation wait.
    #[command(before_help = "\
Examples:
  millrace operation pause ID                                what would be done
  millrace operation pause ID --reason 'load is high' --execute")]
    Pause(Changed),
    /// Let a paused operation go on.
    #[command(before_help = "\
Example:
  millrace operation resume ID --reason 'load is low again' --execute")]
    Resume(Changed),
    /// End an operation; what is done stays done.
    #[command(before_help = "\
Example:
  millrace operation cancel ID --reason 'wrong cause' --execute")]
    Cancel(Changed),
}

/// An operation that is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Changed {
    /// Which one.
    id: Uuid,
    #[command(flatten)]
    act: Act,
}

pub(crate) async fn run(
    command: OperationCommand,
    place: &Place,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        OperationCommand::List { limit } => {
            let (found, faults) = operations(&place.endpoints, None, limit).await;
            if !found.is_empty() || faults.is_empty() {
                output.list(&found)?;
            }
            match faults.into_iter().next() {
                Some(fault) => Err(Failure::from(fault).into()),
                None => Ok(()),
            }
        }
        OperationCommand::Watch { id } => {
            let mut known = vec![];
            for id in id {
                known.push((find(place, id).await?.service, id));
            }
            let ended = act::follow(place, &known).await?;
            output.list(&ended)?;
            Ok(ended.iter().try_for_each(act::verdict)?)
        }
        OperationCommand::Pause(changed) => change(changed, Do::Pause, place, output).await,
        OperationCommand::Resume(changed) => change(changed, Do::Resume, place, output).await,
        OperationCommand::Cancel(changed) => change(changed, Do::Cancel, place, output).await,
    }
}

async fn change(changed: Changed, action: Do, place: &Place, output: Output) -> anyhow::Result<()> {
    let Changed { id, act } = changed;
    let found = find(place, id).await?;
    if found.has_ended() {
        let state = &found.state;
        return Err(Failure::Refused(format!("operation {id} has ended: {state}")).into());
    }
    let Operation { service, kind, state, done, total, .. } = &found;
    let target = format!("{kind} {id} of {service}");
    let Some(author) = act::author(&act) else {
        let action = match action {
            Do::Pause => "pause",
            Do::Resume => "resume",
            Do::Cancel => "cancel",
        };
        let detail = format!("it is {state}, {done} of {total} done");
        return Ok(output.plan(&[Step::new(action, target, detail)])?);
    };
    let operator = act::operator(place).await?;
    let group = operator.group(service);
    let steer = command(&group, Kind::Control { operation: id, action }, &author);
    operator.send(&steer).await.map_err(Failure::from)?;
    let wanted: &[&str] = match action {
        Do::Pause => &["paused"],
        Do::Resume => &["running"],
        Do::Cancel => &["cancelled"],
    };
    let until = tokio::time::Instant::now() + act::TAKEN_UP_MAX;
    loop {
        let now = find(place, id).await?;
        if now.has_ended() || wanted.contains(&now.state.as_str()) {
            return Ok(output.item(&now)?);
        }
        if tokio::time::Instant::now() > until {
            return Err(Failure::Unreachable(format!(
                "{service} gave no sign of the command within {} s; `millrace group show {service}`",
                act::TAKEN_UP_MAX.as_secs()
            ))
            .into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

async fn find(place: &Place, id: Uuid) -> Result<Operation, Failure> {
    let (found, faults) = operations(&place.endpoints, Some(id), 1).await;
    match (found.into_iter().next(), faults.into_iter().next()) {
        (Some(found), _) => Ok(found),
        (None, Some(fault)) => Err(fault.into()),
        (None, None) => Err(Failure::NotFound(format!(
            "no service has taken up an operation {id}; see `millrace operation list`"
        ))),
    }
}

impl Row for Operation {
    const COLUMNS: &'static [&'static str] =
        &["ID", "SERVICE", "KIND", "STATE", "DONE", "FAILED", "TOTAL", "DETAIL"];
    const WIDE: &'static [&'static str] = &["BY", "REASON", "ISSUED AT", "UPDATED AT"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.service.clone(),
            self.kind.clone(),
            self.state.clone(),
            self.done.to_string(),
            self.failed.to_string(),
            self.total.to_string(),
            self.detail.clone(),
        ]
    }

    fn wide(&self) -> Vec<String> {
        let (issued, updated) = (self.issued_at.to_string(), self.updated_at.to_string());
        vec![self.issued_by.clone(), self.reason.clone(), issued, updated]
    }
}
