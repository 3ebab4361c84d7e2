//! Records and watermarks of a topic, read without a group, and raw writing for bad-input tests.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::{Admin, AdminError, RawRecord, Record, TICK, Watermarks};

/// A reader needs a group name, which it neither joins nor commits to.
const NO_GROUP: &str = "millrace-admin";

impl Admin {
    /// The offsets that each partition begins and ends with.
    ///
    /// # Errors
    /// `NoTopic` or `Unreachable`.
    pub async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, AdminError> {
        let name = topic.to_owned();
        let marks = self.blocking("name its watermarks", move |admin| admin.marks(&name)).await?;
        if marks.is_empty() { Err(AdminError::NoTopic(topic.to_owned())) } else { Ok(marks) }
    }

    /// Every record that is in the topic when this is called, by partition and offset. They are
    /// all held in memory.
    ///
    /// # Errors
    /// `NoTopic`, `TooSlow` or `Unreachable`.
    pub async fn read_all(&self, topic: &str) -> Result<Vec<Record>, AdminError> {
        let marks = self.watermarks(topic).await?;
        let name = topic.to_owned();
        self.blocking("read a topic", move |admin| admin.read_ranges(&name, &marks)).await
    }

    /// The newest records of the topic, at most `count` of each partition, by partition and offset.
    ///
    /// # Errors
    /// `NoTopic`, `TooSlow` or `Unreachable`.
    pub async fn read_last(&self, topic: &str, count: i64) -> Result<Vec<Record>, AdminError> {
        let mut marks = self.watermarks(topic).await?;
        marks.iter_mut().for_each(|mark| mark.low = mark.low.max(mark.high - count));
        let name = topic.to_owned();
        self.blocking("read a topic", move |admin| admin.read_ranges(&name, &marks)).await
    }

    /// Records of these ranges, from `low` up to and without `high`, by partition and offset.
    ///
    /// # Errors
    /// `TooSlow` or `Unreachable`.
    pub async fn read_between(
        &self,
        topic: &str,
        ranges: Vec<Watermarks>,
    ) -> Result<Vec<Record>, AdminError> {
        let name = topic.to_owned();
        self.blocking("read a topic", move |admin| admin.read_ranges(&name, &ranges)).await
    }

    /// For each partition the offset of its first record that is not older than so many
    /// milliseconds since 1970; `None` when all are older.
    ///
    /// # Errors
    /// `NoTopic` or `Unreachable`.
    pub async fn offsets_at(
        &self,
        topic: &str,
        millis: i64,
    ) -> Result<Vec<(i32, Option<i64>)>, AdminError> {
        let marks = self.watermarks(topic).await?;
        let name = topic.to_owned();
        self.blocking("find records by their time", move |admin| {
            let mut asked = TopicPartitionList::new();
            for mark in &marks {
                asked.add_partition_offset(&name, mark.partition, Offset::Offset(millis))?;
            }
            let found = admin.reader(NO_GROUP)?.offsets_for_times(asked, admin.deadline)?;
            let offset =
                |mark: &Watermarks| match found.find_partition(&name, mark.partition)?.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
            Ok(marks.iter().map(|mark| (mark.partition, offset(mark))).collect())
        })
        .await
    }

    /// Writes one record exactly as given and answers its partition and offset.
    ///
    /// # Errors
    /// `NoTopic`, `Refused` or `Unreachable`.
    pub async fn produce(&self, topic: &str, raw: RawRecord) -> Result<(i32, i64), AdminError> {
        let producer = self.producer()?;
        let mut headers = OwnedHeaders::new();
        for (key, value) in &raw.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).headers(headers);
        record.partition = raw.partition;
        record.key = raw.key.as_deref();
        record.payload = raw.payload.as_deref();
        match producer.send(record, self.deadline).await {
            Ok(delivery) => Ok((delivery.partition, delivery.offset)),
            Err((KafkaError::MessageProduction(code), _)) => {
                Err(self.refused("write a record", topic, code))
            }
            Err((error, _)) => Err(self.failed("write a record", error)),
        }
    }

    fn marks(&self, topic: &str) -> Result<Vec<Watermarks>, KafkaError> {
        let client = self.client.inner();
        // Asking for one topic by name would make a mock broker create it.
        let metadata = client.fetch_metadata(None, self.deadline)?;
        let topics = metadata.topics().iter().filter(|info| info.name() == topic);
        let mut marks = Vec::new();
        for partition in topics.flat_map(|info| info.partitions()) {
            let (low, high) = client.fetch_watermarks(topic, partition.id(), self.deadline)?;
            marks.push(Watermarks { partition: partition.id(), low, high });
        }
        Ok(marks)
    }

    fn read_ranges(&self, topic: &str, marks: &[Watermarks]) -> Result<Vec<Record>, KafkaError> {
        let consumer = self.reader(NO_GROUP)?;
        let filled = marks.iter().filter(|mark| mark.high > mark.low);
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut assignment = TopicPartitionList::new();
        for mark in filled {
            assignment.add_partition_offset(topic, mark.partition, Offset::Offset(mark.low))?;
            ends.insert(mark.partition, mark.high);
        }
        consumer.assign(&assignment)?;
        let mut records = Vec::new();
        let until = Instant::now() + self.deadline;
        while !ends.is_empty() {
            match consumer.poll(TICK) {
                Some(Ok(message)) => take(&message, &mut ends, &mut records),
                // Compaction and markers leave no record at the last offset, but the end is told.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.remove(&partition)),
                Some(Err(error)) => return Err(error),
                None if Instant::now() > until => {
                    return Err(KafkaError::Global(Code::OperationTimedOut));
                }
                None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    fn producer(&self) -> Result<&FutureProducer, AdminError> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let mut config = self.config.clone();
        config.set("acks", "all").set("partitioner", "murmur2_random").set("linger.ms", "0");
        let producer = config.create().map_err(AdminError::Settings)?;
        Ok(self.producer.get_or_init(|| producer))
    }
}

fn take(message: &BorrowedMessage<'_>, ends: &mut BTreeMap<i32, i64>, records: &mut Vec<Record>) {
    let Some(&end) = ends.get(&message.partition()) else { return };
    if message.offset() < end {
        records.push(record(message));
    }
    if message.offset() + 1 >= end {
        ends.remove(&message.partition());
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: crate::kafka::headers(message).unwrap_or_default(),
    }
}
