//! How every command that changes a running system does it: who and why, sending, and following the
//! operation until it ends, is left alone, or nobody takes it up.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use millrace::control::Command;
use ops::command::{Author, Operator};
use ops::databases::DatabaseError;
use ops::operation::{Operation, operation};
use tokio::time::Instant;
use uuid::Uuid;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::place::Place;

/// A running service takes a command up within this time.
pub(crate) const TAKEN_UP_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whether to act, and why.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Act {
    /// Why; it stands in the audit beside your name, $MILLRACE_OPERATOR or else $USER.
    #[arg(long, required_if_eq("execute", "true"))]
    reason: Option<String>,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    execute: bool,
}

/// Who asks and why; `None` when nothing is to be done yet.
pub(crate) fn author(act: &Act) -> Option<Author> {
    let reason = act.reason.clone().filter(|_| act.execute)?;
    let names = ["MILLRACE_OPERATOR", "USER", "LOGNAME"];
    let by = names.iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    Some(Author { by: by.unwrap_or_else(|| "unknown".to_owned()), reason })
}

/// Whoever sends to the services.
pub(crate) async fn operator(place: &Place) -> Result<Operator, Failure> {
    let admin = place.broker().await?;
    Ok(Operator::new(admin, &place.endpoints.topic_prefix))
}

/// Sends commands to their services and follows what comes of them.
pub(crate) async fn carry_out(
    place: &Place,
    operator: &Operator,
    commands: Vec<(String, Command)>,
    output: Output,
) -> anyhow::Result<()> {
    let mut sent = vec![];
    for (service, command) in commands {
        operator.send(&command).await.map_err(Failure::from)?;
        let id = command.operator.id;
        eprintln!("{service}: {} {id}", command.kind.name());
        sent.push((service, id));
    }
    let ended = follow(place, &sent).await?;
    output.list(&ended)?;
    Ok(ended.iter().try_for_each(verdict)?)
}

/// Watches operations until all of them have ended.
pub(crate) async fn follow(
    place: &Place,
    sent: &[(String, Uuid)],
) -> Result<Vec<Operation>, Failure> {
    let bars = Bars::new(sent);
    tokio::select! {
        ended = until_ended(place, sent, &bars) => ended,
        _ = tokio::signal::ctrl_c() => {
            bars.clear();
            let id = sent.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>().join(" ");
            Err(Failure::Failed(format!(
                "no longer watched, and still running: `millrace operation watch {id}`; \
                 or `millrace operation pause` or `cancel` it"
            )))
        }
    }
}

async fn until_ended(
    place: &Place,
    sent: &[(String, Uuid)],
    bars: &Bars,
) -> Result<Vec<Operation>, Failure> {
    let taken_up_until = Instant::now() + TAKEN_UP_MAX;
    let mut known: BTreeMap<Uuid, Operation> = BTreeMap::new();
    loop {
        for (service, id) in sent {
            if known.get(id).is_some_and(Operation::has_ended) {
                continue;
            }
            match operation(&place.endpoints, service, *id).await {
                Ok(Some(found)) => {
                    bars.show(&found);
                    known.insert(*id, found);
                }
                Ok(None) => {}
                // It goes on without us; whoever watches waits until it can be seen again.
                Err(DatabaseError::Unreachable { .. }) if known.contains_key(id) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if known.len() == sent.len() && known.values().all(Operation::has_ended) {
            bars.clear();
            let in_order = sent.iter().filter_map(|(_, id)| known.remove(id));
            return Ok(in_order.collect());
        }
        if let Some((service, id)) = sent.iter().find(|(_, id)| !known.contains_key(id))
            && Instant::now() > taken_up_until
        {
            bars.clear();
            return Err(no_sign(service, *id));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn no_sign(service: &str, id: Uuid) -> Failure {
    Failure::Unreachable(format!(
        "{service} gave no sign of the command within {} s; it is carried out when {service} runs \
         again (`millrace group show {service}` says how it is, `millrace operation watch {id}` \
         follows it)",
        TAKEN_UP_MAX.as_secs()
    ))
}

/// What the end of an operation means for whoever asked.
pub(crate) fn verdict(ended: &Operation) -> Result<(), Failure> {
    let Operation { service, kind, state, failed, detail, .. } = ended;
    let text = format!("{service}: {kind} {state}: {detail}");
    match state.as_str() {
        "done" if *failed == 0 => Ok(()),
        "refused" => Err(Failure::Refused(text)),
        _ => Err(Failure::Failed(text)),
    }
}

/// A bar for each operation, where there is a terminal.
struct Bars {
    all: MultiProgress,
    bars: BTreeMap<Uuid, ProgressBar>,
}

impl Bars {
    fn new(sent: &[(String, Uuid)]) -> Self {
        let all = MultiProgress::new();
        let mut bars = BTreeMap::new();
        if output::stderr_is_terminal() {
            let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            for (service, id) in sent {
                let bar = ProgressBar::new(0).with_style(style.clone());
                bars.insert(*id, all.add(bar.with_prefix(service.clone())));
            }
        }
        Self { all, bars }
    }

    fn show(&self, operation: &Operation) {
        let Some(bar) = self.bars.get(&operation.id) else { return };
        bar.set_length(operation.total);
        bar.set_position(operation.done);
        bar.set_message(match operation.failed {
            0 => operation.state.clone(),
            failed => format!("{}, {failed} failed", operation.state),
        });
    }

    fn clear(&self) {
        // A bar that cannot be wiped away harms nothing.
        drop(self.all.clear());
    }
}
