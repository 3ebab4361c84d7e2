//! `millrace topic`: the declared topics on the broker. It never removes or changes one.

use clap::Subcommand;
use millrace::admin::Creation;
use ops::topics::{self, Comparison, TopicState};

use crate::output::{Output, Row, Step};
use crate::place::Place;

/// List and create the topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// List the declared topics and how the broker's compare with them.
    #[command(before_help = "Examples:\n  millrace topic list\n  millrace topic list -o wide")]
    List,
    /// Create the declared topics that are not there.
    #[command(before_help = "\
Examples:
  millrace topic create                            what would be done
  millrace topic create --replication 3 --execute  do it")]
    Create {
        /// Copies of each partition.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
        replication: u32,
        /// Do it, instead of only saying what would be done.
        #[arg(long)]
        execute: bool,
    },
}

pub(crate) async fn run(topic: Topic, place: &Place, output: Output) -> anyhow::Result<()> {
    let admin = place.broker().await?;
    let prefix = &place.endpoints.topic_prefix;
    match topic {
        Topic::List => {
            let states = topics::examine(&admin, prefix).await.map_err(crate::Failure::from)?;
            Ok(output.list(&states)?)
        }
        Topic::Create { replication, execute: true } => {
            let created = topics::create(&admin, prefix, replication).await;
            let created = created.map_err(crate::Failure::from)?;
            let step = |(topic, creation)| match creation {
                Creation::Created => Step::new("created", topic, ""),
                Creation::Existed => Step::new("kept", topic, "is there as declared"),
            };
            Ok(output.list(&created.into_iter().map(step).collect::<Vec<_>>())?)
        }
        Topic::Create { replication, execute: false } => {
            let states = topics::examine(&admin, prefix).await.map_err(crate::Failure::from)?;
            let declared = states.into_iter().filter(|state| state.declared_partitions.is_some());
            let plan: Vec<Step> = declared.map(|state| planned(state, replication)).collect();
            Ok(output.plan(&plan)?)
        }
    }
}

fn planned(state: TopicState, replication: u32) -> Step {
    let partitions = state.declared_partitions.unwrap_or_default();
    let cleanup = state.cleanup.unwrap_or_default();
    let (action, detail) = match state.state {
        Comparison::Missing => {
            ("create", format!("{partitions} partitions, {replication} copies, {cleanup}"))
        }
        Comparison::OtherPartitions => {
            let found = state.partitions.unwrap_or_default();
            ("refuse", format!("has {found} partitions where {partitions} are declared"))
        }
        _ => ("keep", "is there as declared".to_owned()),
    };
    Step::new(action, state.topic, detail)
}

impl Row for TopicState {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "STATE", "PARTITIONS", "OWNER", "CLEANUP"];
    const WIDE: &'static [&'static str] = &["KEY", "READERS"];

    fn id(&self) -> String {
        self.topic.clone()
    }

    fn cells(&self) -> Vec<String> {
        let partitions = self.partitions.map(|count| count.to_string());
        vec![
            self.topic.clone(),
            self.state.as_str().to_owned(),
            partitions.unwrap_or_else(|| "-".to_owned()),
            self.owner.unwrap_or("-").to_owned(),
            self.cleanup.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }

    fn wide(&self) -> Vec<String> {
        vec![self.key.unwrap_or("-").to_owned(), self.readers.join(", ")]
    }
}
