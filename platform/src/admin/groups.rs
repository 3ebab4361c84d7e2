//! Consumer groups as an operator sees them: members, committed offsets, and putting a group that
//! is at rest somewhere else.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Admin, AdminError, Group, GroupOffset, To, Watermarks};

impl Admin {
    /// A group's state and the number of its members.
    ///
    /// # Errors
    /// `Refused` or `Unreachable`.
    pub async fn group(&self, name: &str) -> Result<Group, AdminError> {
        let name = name.to_owned();
        self.blocking("describe a group", move |admin| {
            let list = admin.client.inner().fetch_group_list(Some(&name), admin.deadline)?;
            let found = list.groups().iter().find(|group| group.name() == name);
            Ok(found.map_or(Group { state: "Dead".to_owned(), members: 0 }, |group| Group {
                state: group.state().to_owned(),
                members: group.members().len(),
            }))
        })
        .await
    }

    /// What a group has committed in every partition of these topics.
    ///
    /// # Errors
    /// `NoTopic` or `Unreachable`.
    pub async fn group_offsets(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Vec<GroupOffset>, AdminError> {
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            for mark in self.watermarks(topic).await? {
                wanted.add_partition(topic, mark.partition);
            }
        }
        let group = group.to_owned();
        self.blocking("name a group's offsets", move |admin| {
            let committed = admin.reader(&group)?.committed_offsets(wanted, admin.deadline)?;
            let mut offsets: Vec<GroupOffset> = committed
                .elements()
                .iter()
                .map(|element| GroupOffset {
                    topic: element.topic().to_owned(),
                    partition: element.partition(),
                    committed: match element.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    },
                })
                .collect();
            offsets.sort();
            Ok(offsets)
        })
        .await
    }

    /// Puts a group that has no members at another place in every partition of these topics.
    ///
    /// # Errors
    /// `Refused` while the group has members; `NoTopic` or `Unreachable`.
    pub async fn reset_group(
        &self,
        group: &str,
        topics: &[&str],
        to: To,
    ) -> Result<(), AdminError> {
        let mut marks = Vec::new();
        for topic in topics {
            let of_topic = self.watermarks(topic).await?;
            marks.extend(of_topic.into_iter().map(|mark| ((*topic).to_owned(), mark)));
        }
        let group = group.to_owned();
        self.blocking("reset a group", move |admin| {
            // A consumer that never subscribed may commit for its group while it is empty.
            let consumer = admin.reader(&group)?;
            let offsets = target(&consumer, &marks, to, admin.deadline)?;
            consumer.commit(&offsets, CommitMode::Sync)
        })
        .await
    }
}

impl Admin {
    /// Puts a group that has no members at these offsets: topic, partition and offset.
    ///
    /// # Errors
    /// `Refused` while the group has members; `Unreachable`.
    pub async fn put_group(
        &self,
        group: &str,
        places: Vec<(String, i32, i64)>,
    ) -> Result<(), AdminError> {
        let group = group.to_owned();
        self.blocking("reset a group", move |admin| {
            let mut offsets = TopicPartitionList::new();
            for (topic, partition, offset) in &places {
                offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            }
            admin.reader(&group)?.commit(&offsets, CommitMode::Sync)
        })
        .await
    }
}

/// The offsets that `to` means, kept between what each partition begins and ends with.
fn target(
    consumer: &BaseConsumer,
    marks: &[(String, Watermarks)],
    to: To,
    deadline: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for (topic, mark) in marks {
        let offset = match to {
            To::Earliest => mark.low,
            To::Latest => mark.high,
            To::Offset(offset) => offset.clamp(mark.low, mark.high),
            To::Time(millis) => millis,
        };
        asked.add_partition_offset(topic, mark.partition, Offset::Offset(offset))?;
    }
    let To::Time(_) = to else { return Ok(asked) };
    let mut found = consumer.offsets_for_times(asked, deadline)?;
    for (topic, mark) in marks {
        let place = found.find_partition(topic, mark.partition).map(|element| element.offset());
        if !matches!(place, Some(Offset::Offset(_))) {
            // No record is that young: the group goes behind the newest.
            let newest = Offset::Offset(mark.high);
            found.set_partition_offset(topic, mark.partition, newest)?;
        }
    }
    Ok(found)
}
