//! `millrace dlq`: dead letters by cause and one by one, and what becomes of them. Whatever changes
//! something is shown first and sent as a command; the failing group alone obeys it.

mod change;
mod read;
mod rows;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use millrace::repair::{Condition, Edit};
use ops::dead::Filter;
use uuid::Uuid;

use crate::act::Act;
use crate::args;
use crate::output::Output;
use crate::place::Place;

/// Look at dead letters, redrive, repair or discard them.
#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// List what goes wrong: dead letters by cause, the largest first.
    #[command(before_help = "\
Examples:
  millrace dlq causes
  millrace dlq causes --topic orders-dlt              anybody's topic of dead letters
  millrace dlq causes -o json | jq '.items[].cause'")]
    Causes {
        #[command(flatten)]
        topic: FromTopic,
        /// Only those of this service.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
    },
    /// List dead letters, and with --status what waits behind them.
    #[command(before_help = "\
Examples:
  millrace dlq list --cause 7f3a
  millrace dlq list --key 0190b2e0-0000-7000-8000-000000000000 --status any
  millrace dlq list --topic orders-dlt -o ndjson")]
    List {
        #[command(flatten)]
        which: Which,
        /// Where they stand: dead, waiting, retrying, redriven, discarded or any.
        #[arg(long, default_value = "dead", value_parser = STATUS)]
        status: String,
        /// At most so many of each service.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
        #[command(flatten)]
        topic: FromTopic,
    },
    /// Show one dead letter: its value, its errors, its place and its neighbours of the same key.
    #[command(before_help = "\
Examples:
  millrace dlq show 0190b2e0-0000-7000-8000-000000000000
  millrace dlq show 3/991 --topic orders-dlt    by partition and offset in that topic")]
    Show {
        /// Its id; in a foreign topic `PARTITION/OFFSET`.
        id: String,
        /// As this service has it; several may have the same.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Print its schema too.
        #[arg(long)]
        schema: bool,
        #[command(flatten)]
        topic: FromTopic,
    },
    /// Handle dead letters again, in order of each key, in the failing group only.
    #[command(before_help = "\
Examples:
  millrace dlq redrive --cause 7f3a                                   what would be done
  millrace dlq redrive --cause 7f3a --reason 'fixed in 1.4' --execute
  millrace dlq redrive --cause 7f3a --canary 10 --rate 50/s --reason 'fixed in 1.4' --execute
  millrace dlq redrive --key ID --set '$.total.amount=1990' --where '$.total.amount<0'")]
    Redrive {
        #[command(flatten)]
        which: Chosen,
        /// At most so many keys in a second or minute.
        #[arg(long, value_name = "N/s", value_parser = args::rate)]
        rate: Option<f64>,
        /// So many keys first; nothing more is tried if one of them fails again.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        canary: Option<u32>,
        /// Repair: put JSON, or else a plain text, at a place of the value.
        #[arg(long, value_name = "PATH=JSON")]
        set: Vec<Edit>,
        /// Repair only values for which this holds; the others are redriven as they are.
        #[arg(long = "where", value_name = "CONDITION", requires = "set")]
        conditions: Vec<Condition>,
        #[command(flatten)]
        act: Act,
    },
    /// Give dead letters up and release what waits behind them. They are kept, see `restore`.
    #[command(before_help = "\
Examples:
  millrace dlq discard --cause 7f3a                                       what would be done
  millrace dlq discard --cause 7f3a --reason 'orders of the load test' --execute")]
    Discard {
        #[command(flatten)]
        which: Chosen,
        #[command(flatten)]
        act: Act,
    },
    /// Take discarded dead letters back.
    #[command(before_help = "\
Examples:
  millrace dlq restore --cause 7f3a                                  what would be done
  millrace dlq restore --id ID --reason 'was not of the test' --execute")]
    Restore {
        #[command(flatten)]
        which: Chosen,
        #[command(flatten)]
        act: Act,
    },
    /// Write dead letters with their values as NDJSON.
    #[command(before_help = "\
Examples:
  millrace dlq export --cause 7f3a > letters.ndjson
  millrace dlq export --topic orders-dlt --file letters.ndjson")]
    Export {
        #[command(flatten)]
        which: Which,
        /// Where they stand: dead, waiting, retrying, redriven, discarded or any.
        #[arg(long, default_value = "dead", value_parser = STATUS)]
        status: String,
        /// Write here instead of standard output; the file must not be there yet.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        topic: FromTopic,
    },
}

const STATUS: [&str; 6] = ["dead", "waiting", "retrying", "redriven", "discarded", "any"];

/// Some of the dead letters.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// Only those of the cause that begins like this.
    #[arg(long, value_name = "HEX", value_parser = args::cause)]
    cause: Option<String>,
    /// Only those of this key: the id of an order, or an article.
    #[arg(long)]
    key: Option<String>,
    /// Only those of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// Dead letters that something happens to: it must be said which.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("chosen").required(true).multiple(true).args(["cause", "key", "id"]))]
pub(crate) struct Chosen {
    /// Those of the cause that begins like this.
    #[arg(long, value_name = "HEX", value_parser = args::cause)]
    cause: Option<String>,
    /// Those of this key: the id of an order, or an article.
    #[arg(long)]
    key: Option<String>,
    /// This one; once for each.
    #[arg(long, value_name = "UUID")]
    id: Vec<Uuid>,
    /// Only those of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// A topic instead of the services' databases.
#[derive(Debug, Clone, Args)]
pub(crate) struct FromTopic {
    /// Read this topic of dead letters instead: ours, Spring's, Kafka Streams', Connect's.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// The header with the original topic, where none of these wrote it.
    #[arg(long, value_name = "NAME", requires = "topic")]
    #[arg(default_value = ops::dead::foreign::ORIGINAL_TOPIC)]
    original_topic_header: String,
}

pub(crate) async fn run(dlq: Dlq, place: &Place, output: Output) -> anyhow::Result<()> {
    match dlq {
        Dlq::Causes { topic, service } => {
            let filter = Filter { service, ..with_status("dead") };
            read::causes(place, &topic, &filter, output).await
        }
        Dlq::List { which, status, limit, topic } => {
            read::list(place, &topic, &which.filter(&status), limit, output).await
        }
        Dlq::Show { id, service, schema, topic } => {
            let asked = read::Asked { id: &id, service: service.as_deref(), schema };
            read::show(place, &topic, asked, output).await
        }
        Dlq::Export { which, status, file, topic } => {
            read::export(place, &topic, &which.filter(&status), file, output).await
        }
        changing => change::run(changing, place, output).await,
    }
}

fn with_status(status: &str) -> Filter {
    let status = if status == "any" { vec![] } else { vec![status.to_owned()] };
    Filter { status, ..Filter::default() }
}

impl Which {
    fn filter(self, status: &str) -> Filter {
        let Self { cause, key, service } = self;
        Filter { cause, key, service, ..with_status(status) }
    }
}

impl Chosen {
    fn filter(self, status: &str) -> Filter {
        let Self { cause, key, id, service } = self;
        Filter { cause, key, service, ids: id, ..with_status(status) }
    }
}
