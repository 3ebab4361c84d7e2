//! Where the group stands in its partitions: asking the broker, and putting it elsewhere.

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::assign::Partition;
use super::poll::{LOOKUP_MAX, Link, OURS, pause};
use crate::Fault;

/// Where a partition and its group stand.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The group's committed offset, when there is one.
    pub(crate) committed: Option<i64>,
    /// It was committed by a member, not set by a tool.
    pub(crate) ours: bool,
    /// Lowest offset the partition still has.
    pub(crate) low: i64,
    /// Offset that its next record will get, when the broker said so.
    pub(crate) high: Option<i64>,
}

impl Link {
    /// What the broker knows of each partition.
    pub(crate) async fn bounds(&self, partitions: Vec<Partition>) -> Result<Vec<Bounds>, Fault> {
        let (consumer, names) = (self.consumer.clone(), self.names.clone());
        // One request for all: each waits its turn behind a fetch that waits for records.
        let look = move || {
            let committed = consumer.committed_offsets(names.list(&partitions), LOOKUP_MAX)?;
            let end_of_log = |end: Offset| {
                let mut list = TopicPartitionList::new();
                for (topic, partition) in &partitions {
                    list.add_partition_offset(&names.topic(topic), *partition, end)?;
                }
                consumer.offsets_for_times(list, LOOKUP_MAX)
            };
            let (lowest, next) = (end_of_log(Offset::Beginning)?, end_of_log(Offset::End)?);
            let bound = |(topic, partition): &Partition| {
                let topic = names.topic(topic);
                let offset = |list: &TopicPartitionList| {
                    list.find_partition(&topic, *partition)?.offset().to_raw().filter(|at| *at >= 0)
                };
                let found = committed.find_partition(&topic, *partition);
                Bounds {
                    committed: offset(&committed),
                    ours: found.is_some_and(|element| element.metadata() == OURS),
                    low: offset(&lowest).unwrap_or(0),
                    high: offset(&next),
                }
            };
            Ok::<_, KafkaError>(partitions.iter().map(bound).collect::<Vec<_>>())
        };
        let looked = tokio::task::spawn_blocking(look).await.map_err(Fault::transient)?;
        looked.map_err(Fault::transient)
    }

    /// Puts a partition of ours where an operator wants it, for the group too: what is committed is
    /// not marked as handled by a member, so that a view takes it for the reset it is.
    pub(crate) async fn put(&self, partition: Partition, offset: i64) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        let topic = self.names.topic(partition.0);
        let added = list.add_partition_offset(&topic, partition.1, Offset::Offset(offset));
        added.map_err(Fault::transient)?;
        let consumer = self.consumer.clone();
        let commit = move || {
            // What the client would commit in the background is this from now on.
            consumer.store_offsets(&list)?;
            consumer.commit(&list, CommitMode::Sync)
        };
        let committed = tokio::task::spawn_blocking(commit).await.map_err(Fault::transient)?;
        committed.map_err(Fault::transient)?;
        self.restart(partition, offset).await?;
        if self.assignment.rests(partition) {
            pause(&self.consumer, &self.names, &[partition]);
        }
        Ok(())
    }
}
