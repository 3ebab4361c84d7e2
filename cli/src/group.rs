//! `millrace group`: the services' consumer groups, how they are, and pausing them or putting one
//! record out of their way.

mod seek;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Subcommand;
use millrace::control::{Kind, PartitionStatus};
use ops::command::{self, Target};
use ops::status::{Group, groups, statuses};
use ops::{Endpoints, late::span};
use schemas::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::act::{self, Act};
use crate::failure::Failure;
use crate::output::{Output, Row, Step};
use crate::place::Place;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Show the services' consumer groups; pause them, or put one record out of their way.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups and how they are.
    #[command(before_help = "Examples:\n  millrace group list\n  millrace group list -o wide")]
    List,
    /// Show one group: what does not hold, and how far it is in each partition.
    #[command(
        before_help = "Examples:\n  millrace group show payments\n  millrace group show retail.payments -o json"
    )]
    Show {
        /// The group, or its service.
        group: String,
    },
    /// Let a group, one of its topics or one partition wait. Its members stay.
    #[command(before_help = "\
Examples:
  millrace group pause payments                                      what would be done
  millrace group pause payments --reason 'provider is down' --execute
  millrace group pause payments --topic retail.stock.events.v1 --partition 3 --reason R --execute")]
    Pause(Paused),
    /// Let what was paused go on.
    #[command(before_help = "\
Example:
  millrace group resume payments --reason 'provider is back' --execute")]
    Resume(Paused),
    /// Read again from somewhere else; the members stay.
    #[command(before_help = "\
Examples:
  millrace group seek order-view --to earliest                       what would be done
  millrace group seek order-view --to earliest --reason 'rows are wrong' --execute
  millrace group seek payments --to -2h
  millrace group seek payments --to 2026-11-20T10:00:00Z --reason R --execute
  millrace group seek stock --shift=-500 --topic retail.order.events.v1 --partition 3")]
    Seek(seek::Seek),
    /// Make one record a dead letter without handling it; it is not lost, see `dlq`.
    #[command(before_help = "\
Examples:
  millrace group skip payments --topic retail.stock.events.v1 --partition 3 --offset 991
  millrace group skip payments --topic T --partition 3 --offset 991 --reason R --execute")]
    Skip {
        /// The group, or its service.
        group: String,
        /// The topic.
        #[arg(long, value_name = "NAME")]
        topic: String,
        /// The partition.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
        partition: i32,
        /// The offset of the record.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
        offset: i64,
        #[command(flatten)]
        act: Act,
    },
}

/// What is paused.
#[derive(Debug, clap::Args)]
pub(crate) struct Paused {
    /// The group, or its service.
    group: String,
    /// Only this topic.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    #[command(flatten)]
    act: Act,
}

/// A partition of a group, and what is still to be read of it.
#[derive(Debug, Serialize)]
struct Reading {
    topic: String,
    partition: i32,
    offset: Option<i64>,
    behind: Option<i64>,
    time_lag_seconds: Option<f64>,
}

/// A group with its partitions, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    group: Group,
    reading: Vec<Reading>,
}

pub(crate) async fn run(
    command: GroupCommand,
    place: &Place,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        GroupCommand::List => Ok(output.list(&all(place).await?)?),
        GroupCommand::Show { group } => show(place, &group, output).await,
        GroupCommand::Pause(paused) => pause(paused, true, place, output).await,
        GroupCommand::Resume(paused) => pause(paused, false, place, output).await,
        GroupCommand::Seek(seek) => seek::run(seek, place, output).await,
        GroupCommand::Skip { group, topic, partition, offset, act } => {
            let name = known(&place.endpoints, &group)?;
            let topic = logical(&place.endpoints, &topic);
            let Some(author) = act::author(&act) else {
                let target = format!("{topic}/{partition} at offset {offset}");
                let detail = format!("{name} makes it a dead letter and goes on behind it");
                return Ok(output.plan(&[Step::new("skip record", target, detail)])?);
            };
            let operator = act::operator(place).await?;
            let service = command::service_of(&place.endpoints.topic_prefix, &name).to_owned();
            let kind = Kind::Skip { topic, partition, offset };
            let sent = vec![(service, command::command(&name, kind, &author))];
            act::carry_out(place, &operator, sent, output).await
        }
    }
}

async fn pause(paused: Paused, pause: bool, place: &Place, output: Output) -> anyhow::Result<()> {
    let Paused { group, topic, partition, act } = paused;
    let group = known(&place.endpoints, &group)?;
    let topic = topic.map(|topic| logical(&place.endpoints, &topic));
    let target = Target { group, topic, partition };
    let action = if pause { "pause" } else { "resume" };
    let Some(author) = act::author(&act) else {
        let detail = match pause {
            true => "its members stay, and read nothing until it is resumed",
            false => "it goes on where it stands",
        };
        return Ok(output.plan(&[Step::new(action, named(&target), detail)])?);
    };
    let operator = act::operator(place).await?;
    operator.pause(&target, pause, &author).await.map_err(Failure::from)?;
    let held = match (&target.topic, target.partition) {
        (None, _) => "group".to_owned(),
        (Some(topic), None) => topic.clone(),
        (Some(topic), Some(partition)) => format!("{topic}/{partition}"),
    };
    let until = Instant::now() + act::TAKEN_UP_MAX;
    loop {
        let found = one(place, &target.group).await?;
        if found.instances > 0 && found.paused.contains(&held) == pause {
            return Ok(output.list(&[Step::new(action, named(&target), "done")])?);
        }
        if Instant::now() > until {
            let service = &found.service;
            return Err(Failure::Unreachable(format!(
                "{service} gave no sign that it obeys within {} s; it does when it runs again \
                 (`millrace group show {service}` says how it is)",
                act::TAKEN_UP_MAX.as_secs()
            ))
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn show(place: &Place, name: &str, output: Output) -> anyhow::Result<()> {
    let name = known(&place.endpoints, name)?;
    let group = one(place, &name).await?;
    let reading = reading(place, &group).await?;
    if !output.for_people() {
        return Ok(output.item(&Shown { group, reading })?);
    }
    output.item(&group)?;
    for (condition, reason) in &group.faults {
        output.text(&format!("does not hold: {condition}: {reason}"))?;
    }
    for what in &group.paused {
        output.text(&format!("paused by an operator: {what}"))?;
    }
    for (breaker, state) in &group.breakers {
        output.text(&format!("circuit breaker {breaker}: {state}"))?;
    }
    if group.instances == 0 {
        let since = group.last_sign.map(|at| format!(" for {}", span(at, now())));
        output.text(&format!("no instance gives a sign{}", since.unwrap_or_default()))?;
    }
    output.text("")?;
    Ok(output.list(&reading)?)
}

/// How far a group is: what its members say, else what they committed.
async fn reading(place: &Place, group: &Group) -> Result<Vec<Reading>, Failure> {
    let admin = place.broker().await?;
    let prefix = &place.endpoints.topic_prefix;
    let reads = schemas::topics::ALL.iter();
    let reads = reads.filter(|topic| topic.readers.contains(&group.service.as_str()));
    let mut all = vec![];
    for topic in reads {
        let full = format!("{prefix}{}", topic.name);
        let committed = admin.group_offsets(&group.group, &[&full]).await?;
        let committed: BTreeMap<i32, Option<i64>> =
            committed.into_iter().map(|it| (it.partition, it.committed)).collect();
        for mark in admin.watermarks(&full).await? {
            let told =
                |it: &&PartitionStatus| it.topic == topic.name && it.partition == mark.partition;
            let told = group.partitions.iter().find(told);
            let offset = told.map(|it| it.offset);
            let offset = offset.or(committed.get(&mark.partition).copied().flatten());
            all.push(Reading {
                topic: topic.name.to_owned(),
                partition: mark.partition,
                offset,
                behind: offset.map(|offset| (mark.high - offset.max(mark.low)).max(0)),
                time_lag_seconds: told.and_then(|it| it.time_lag_seconds),
            });
        }
    }
    Ok(all)
}

async fn all(place: &Place) -> Result<Vec<Group>, Failure> {
    let admin = place.broker().await?;
    let statuses = statuses(&admin, &place.endpoints.topic_prefix).await?;
    Ok(groups(&place.endpoints, &statuses, now()))
}

async fn one(place: &Place, name: &str) -> Result<Group, Failure> {
    let found = all(place).await?.into_iter().find(|group| group.group == name);
    found.ok_or_else(|| Failure::NotFound(format!("there is no group {name}")))
}

/// The full name of a group that is given as such, without the prefix, or as its service.
fn known(endpoints: &Endpoints, given: &str) -> Result<String, Failure> {
    let service = command::service_of(&endpoints.topic_prefix, given);
    match ops::SERVICES.contains(&service) {
        true => Ok(command::group(&endpoints.topic_prefix, service)),
        false => Err(Failure::NotFound(format!(
            "there is no group {given}; the services are {}",
            ops::SERVICES.join(", ")
        ))),
    }
}

/// What is paused, in one word.
fn named(target: &Target) -> String {
    let Target { group, topic, partition } = target;
    let topic = topic.iter().map(|topic| format!(" {topic}"));
    let partition = partition.iter().map(|partition| format!("/{partition}"));
    std::iter::once(group.clone()).chain(topic).chain(partition).collect()
}

/// A topic without the deployment's prefix, as the services name it.
fn logical(endpoints: &Endpoints, topic: &str) -> String {
    topic.strip_prefix(&endpoints.topic_prefix).unwrap_or(topic).to_owned()
}

fn now() -> Timestamp {
    time::OffsetDateTime::now_utc().into()
}

impl Row for Group {
    const COLUMNS: &'static [&'static str] = &[
        "GROUP",
        "STATE",
        "INSTANCES",
        "LAG",
        "PARKED KEYS",
        "PARKED RECORDS",
        "DEAD LETTERS",
        "OUTBOX",
    ];
    const WIDE: &'static [&'static str] = &["OLDEST IN OUTBOX", "PAUSED", "BREAKERS", "LAST SIGN"];

    fn id(&self) -> String {
        self.group.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.group.clone(),
            self.state().to_owned(),
            self.instances.to_string(),
            format!("{:.1} s", self.time_lag_seconds),
            self.parked_keys.to_string(),
            self.parked_records.to_string(),
            self.dead_letters.to_string(),
            self.outbox_pending.to_string(),
        ]
    }

    fn wide(&self) -> Vec<String> {
        let paused: Vec<&str> = self.paused.iter().map(String::as_str).collect();
        let breakers = self.breakers.iter().map(|(name, state)| format!("{name} {state}"));
        vec![
            format!("{:.1} s", self.outbox_oldest_seconds),
            paused.join(", "),
            breakers.collect::<Vec<_>>().join(", "),
            self.last_sign.map_or_else(|| "-".to_owned(), |at| at.to_string()),
        ]
    }
}

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = Group::COLUMNS;

    fn id(&self) -> String {
        self.group.id()
    }

    fn cells(&self) -> Vec<String> {
        self.group.cells()
    }
}

impl Row for Reading {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "PARTITION", "OFFSET", "BEHIND", "LAG"];

    fn id(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            number(self.offset),
            number(self.behind),
            self.time_lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
        ]
    }
}
