//! `millrace journal replay`: how orders would have ended under other rules, by this build or by
//! another one that is asked line by line.

use std::io::BufRead;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use journal::decode::Decoder;
use journal::domain::replay::{Outcome, Rules, actual, outcome};
use journal::histories::{Histories, facts};
use schemas::history::{Fact, Facts};
use schemas::{Currency, Money, OrderId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::SERVICE;
use crate::args;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::place::Place;

/// An answer of another build comes within this time.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Orders that are listed.
const LISTED_MAX: usize = 100_000;

/// Under which rules.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    rules: RulesArgs,
    /// Ask this `millrace` program, of another build, instead of this one.
    #[arg(long, value_name = "PROGRAM")]
    with: Option<PathBuf>,
}

/// Rules that are other than they were.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    /// An order expires when a step takes longer.
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    deadline: Option<Duration>,
    /// A payment of more is refused.
    #[arg(long, value_name = "AMOUNT")]
    payment_limit: Option<String>,
    /// The currency of the limit; payments in others are left alone.
    #[arg(long, value_name = "CODE", default_value = "CAD")]
    currency: Currency,
}

/// A history on its way to another build.
#[derive(Serialize, Deserialize)]
struct Asked {
    order_id: OrderId,
    facts: Vec<Fact>,
}

/// What a build says of a history; none when it does not know how the order began.
#[derive(Serialize, Deserialize)]
struct Answered {
    order_id: OrderId,
    outcome: Option<Outcome>,
}

/// An order that would have ended otherwise.
#[derive(Serialize)]
struct Otherwise {
    order_id: OrderId,
    was: String,
    would_be: String,
}

/// Another build that is asked.
struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

pub(super) async fn run(args: Replay, place: &Place, output: Output) -> Result<()> {
    let rules = args.rules.rules()?;
    if args.with.is_none() && rules == Rules::default() {
        let text = "name a rule that is other than it was: --deadline, --payment-limit or --with";
        return Err(Failure::Usage(text.to_owned()).into());
    }
    let mut other = args.with.as_ref().map(|program| Other::start(program, &args.rules));
    let mut other = other.take().transpose()?;
    let mut db = ops::databases::open(&place.endpoints, SERVICE).await.map_err(Failure::from)?;
    let mut histories = Histories::new(&mut db, Decoder::new(place.registry()));
    let (mut orders, mut unknown, mut otherwise) = (0_u64, 0_u64, vec![]);
    loop {
        let entries = histories.next().await.map_err(Failure::from)?;
        let Some(order_id) = entries.first().map(|(entry, _)| entry.page.order) else { break };
        orders += 1;
        let Some(facts) = facts(&entries) else {
            unknown += 1;
            continue;
        };
        let would_be = match &mut other {
            Some(other) => other.ask(order_id, &facts).await?,
            None => outcome(&facts, &rules),
        };
        match would_be {
            None => unknown += 1,
            Some(would_be) if would_be != actual(&facts) && otherwise.len() < LISTED_MAX => {
                let (was, would_be) = (text(actual(&facts)), text(would_be));
                otherwise.push(Otherwise { order_id, was, would_be });
            }
            Some(_) => {}
        }
    }
    output.list(&otherwise)?;
    eprintln!(
        "{} of {orders} orders would have ended otherwise; of {unknown} it is not known how they \
         began; nothing was changed",
        otherwise.len()
    );
    match other {
        Some(other) => other.end().await,
        None => Ok(()),
    }
}

/// Answers each history on standard input.
pub(super) fn judge(rules: &RulesArgs) -> Result<()> {
    let (rules, output) = (rules.rules()?, Output::new(crate::output::Format::Ndjson));
    for line in std::io::stdin().lock().lines() {
        let asked: Asked = serde_json::from_str(&line?).context("reading a history")?;
        let facts = Facts::new(asked.facts);
        let outcome = facts.and_then(|facts| outcome(&facts, &rules));
        output.line(&Answered { order_id: asked.order_id, outcome })?;
    }
    Ok(())
}

impl RulesArgs {
    fn rules(&self) -> Result<Rules, Failure> {
        let limit = |amount: &String| Money::parse(amount, self.currency);
        let limit = self.payment_limit.as_ref().map(limit).transpose();
        let wrong = |error| Failure::Usage(format!("--payment-limit: {error}"));
        Ok(Rules { deadline: self.deadline, payment_limit: limit.map_err(wrong)? })
    }

    /// The same for another program.
    fn arguments(&self) -> Vec<String> {
        let deadline = self.deadline.map(|it| format!("--deadline={}ms", it.as_millis()));
        let limit = self.payment_limit.as_ref().map(|it| format!("--payment-limit={it}"));
        let currency = format!("--currency={}", self.currency);
        deadline.into_iter().chain(limit).chain([currency]).collect()
    }
}

impl Other {
    fn start(program: &PathBuf, rules: &RulesArgs) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["journal", "judge"]).args(rules.arguments()).kill_on_drop(true);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |error| Failure::Usage(format!("{}: {error}", program.display()));
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take().context("the other build's input")?;
        let output = child.stdout.take().context("the other build's output")?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    /// One history and one answer at a time, so that neither side waits for the other's pipe.
    async fn ask(&mut self, order_id: OrderId, facts: &Facts) -> Result<Option<Outcome>> {
        let asked = Asked { order_id, facts: facts.as_slice().to_vec() };
        let line = format!("{}\n", serde_json::to_string(&asked)?);
        let silent = || Failure::Failed("the other build does not answer".to_owned());
        let told = async {
            self.input.write_all(line.as_bytes()).await?;
            self.input.flush().await?;
            self.output.next_line().await
        };
        let answer = tokio::time::timeout(ANSWER_MAX, told).await.map_err(|_| silent())?;
        let answer = answer?.ok_or_else(silent)?;
        let answer: Answered = serde_json::from_str(&answer).context("the other build's answer")?;
        if answer.order_id != order_id {
            return Err(Failure::Failed("the other build answers out of turn".to_owned()).into());
        }
        Ok(answer.outcome)
    }

    async fn end(mut self) -> Result<()> {
        drop(self.input);
        tokio::time::timeout(ANSWER_MAX, self.child.wait()).await.context("its end")??;
        Ok(())
    }
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ends(status) => status.as_str().to_owned(),
        Outcome::Waits(status) => format!("waiting, {}", status.as_str()),
    }
}

impl Row for Otherwise {
    const COLUMNS: &'static [&'static str] = &["ORDER", "WAS", "WOULD BE"];

    fn id(&self) -> String {
        self.order_id.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.id(), self.was.clone(), self.would_be.clone()]
    }
}
