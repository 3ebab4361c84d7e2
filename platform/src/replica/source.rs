//! The topic of a replica as the client gives it: every partition, without a group, from where the
//! store ends. It says when an end is reached, and when the topic is not the one that was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Message, Offset, Statistics, TopicPartitionList};

use super::decode::Record;
use super::row::Place;
use crate::Fault;
use crate::core::Core;
use crate::kafka::{self, Names, READERS_WAIT};

/// New partitions, and a topic that was made anew, are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Until the topic is there, and while no broker is.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// One look takes no longer.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A broker that sends nothing for so long stands still.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long an empty queue is waited at.
const PATIENCE: Duration = Duration::from_millis(100);
/// While there is much to read, a batch waits a little to become a large one.
const GATHER: Duration = Duration::from_millis(20);
/// Records and bytes of a batch at most.
const RECORDS_MAX: usize = 10_000;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// And while a new copy is made: rows lie all over the file, and the more are written at once, the fewer
/// pages are written again and again.
const FIRST_RECORDS_MAX: usize = 100_000;
const FIRST_BYTES_MAX: usize = 48 * 1024 * 1024;

/// The client of one replica.
pub(super) struct Source {
    consumer: BaseConsumer<Contact>,
    topic: String,
    partitions: BTreeMap<u32, Partition>,
    looked: Option<Instant>,
    look_after: Duration,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Partition {
    /// The next offset to read.
    next: u64,
    /// What the next record gets, when it was looked at first: where the start is over.
    goal: u64,
    /// Nothing was left to read.
    at_end: bool,
    /// The end was reached since the start.
    arrived: bool,
}

/// Whether a broker says anything.
#[derive(Default)]
struct Contact {
    down: AtomicBool,
    heard: AtomicBool,
}

/// What a look at the topic found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new, or not due.
    Same,
    /// The topic is not the one that was read: the reason.
    Other(String),
    /// No answer, or no topic.
    Nothing(String),
}

impl Source {
    pub(super) fn open(core: &Core, topic: &str) -> Result<Self, Fault> {
        let client_id = kafka::client_id(&core.config, core.service);
        // The client takes no partitions without a group's name; none is joined under it.
        let mut config = kafka::consumer(&core.config, &core.group, &client_id);
        config
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        // A look at the topic waits behind a fetch, and what is new behind the look.
        kafka::gather(&mut config, &core.config, READERS_WAIT);
        let consumer = config.create_with_context(Contact::default()).map_err(Fault::transient)?;
        let topic = Names::new(&core.config).topic(topic);
        let (partitions, looked) = (BTreeMap::new(), None);
        Ok(Self { consumer, topic, partitions, looked, look_after: Duration::ZERO })
    }

    /// The cluster's own name, once it is met and if it says one.
    pub(super) fn cluster(&self) -> Option<String> {
        let met = !self.partitions.is_empty();
        met.then(|| self.consumer.client().fetch_cluster_id(LOOK_MAX)).flatten()
    }

    /// Takes partitions that are new, and compares the others with what was read. `next` is where
    /// the store ends.
    pub(super) fn look(&mut self, next: &BTreeMap<u32, u64>) -> Look {
        if self.looked.is_some_and(|looked| looked.elapsed() < self.look_after) {
            return Look::Same;
        }
        let found = self.try_look(next);
        self.looked = Some(Instant::now());
        self.look_after = LOOK_EVERY;
        found.unwrap_or_else(|error| {
            self.look_after = LOOK_AGAIN;
            Look::Nothing(error)
        })
    }

    fn try_look(&mut self, next: &BTreeMap<u32, u64>) -> Result<Look, String> {
        let told = |error: KafkaError| error.to_string();
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), LOOK_MAX).map_err(told)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let there = topic.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
        let there = there.ok_or_else(|| format!("the topic {} is not there", self.topic))?;
        let numbers = there.partitions().iter().filter_map(|found| u32::try_from(found.id()).ok());
        let mut new = BTreeMap::new();
        let numbers: BTreeSet<u32> = numbers.collect();
        if let Some(lost) = next.keys().find(|known| !numbers.contains(known)) {
            return Ok(Look::Other(format!("the topic has no partition {lost} any more")));
        }
        let lows = self.ends(&numbers, Offset::Beginning).map_err(told)?;
        let highs = self.ends(&numbers, Offset::End).map_err(told)?;
        for number in numbers {
            let ends = lows.get(&number).zip(highs.get(&number));
            let Some((&low, &high)) = ends else {
                return Err(format!("partition {number} has no leader that answers"));
            };
            let reading = self.partitions.get(&number).map(|partition| partition.next);
            let read = reading.or(next.get(&number).copied());
            if let Some(read) = read.filter(|read| *read > high || *read < low) {
                let text = format!("partition {number} has {low} to {high}, and {read} was read");
                return Ok(Look::Other(text));
            }
            if reading.is_none() {
                let next = read.unwrap_or(low);
                let arrived = next >= high;
                new.insert(number, Partition { next, goal: high, at_end: false, arrived });
            }
        }
        self.take(new).map_err(told)?;
        Ok(Look::Same)
    }

    /// One end of every partition, in one request: each request waits its turn behind a fetch that
    /// waits for records.
    fn ends(&self, numbers: &BTreeSet<u32>, end: Offset) -> Result<BTreeMap<u32, u64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for number in numbers {
            list.add_partition_offset(&self.topic, number.cast_signed(), end)?;
        }
        let list = self.consumer.offsets_for_times(list, LOOK_MAX)?;
        let end = |element: &TopicPartitionListElem<'_>| {
            element.error().ok()?;
            let at = element.offset().to_raw().and_then(|at| u64::try_from(at).ok())?;
            Some((element.partition().cast_unsigned(), at))
        };
        Ok(list.elements().iter().filter_map(end).collect())
    }

    fn take(&mut self, new: BTreeMap<u32, Partition>) -> Result<(), KafkaError> {
        if new.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (number, partition) in &new {
            let offset = Offset::Offset(partition.next.cast_signed());
            list.add_partition_offset(&self.topic, number.cast_signed(), offset)?;
        }
        self.consumer.incremental_assign(&list)?;
        self.partitions.extend(new);
        Ok(())
    }

    /// Lets everything go, to begin again.
    pub(super) fn forget(&mut self) -> Result<(), Fault> {
        self.consumer.unassign().map_err(Fault::transient)?;
        self.partitions.clear();
        self.looked = None;
        Ok(())
    }

    /// The next records, after a short wait at most.
    pub(super) fn batch(&mut self) -> Vec<Record> {
        let (mut records, mut bytes) = (vec![], 0);
        let mut patience = PATIENCE;
        let (records_max, bytes_max) = match self.has_arrived() {
            true => (RECORDS_MAX, BYTES_MAX),
            false => (FIRST_RECORDS_MAX, FIRST_BYTES_MAX),
        };
        while records.len() < records_max && bytes < bytes_max {
            match self.consumer.poll(patience) {
                Some(Ok(message)) => {
                    let record = own(&message);
                    let number = record.place.partition;
                    let Some(partition) = self.partitions.get_mut(&number) else { continue };
                    bytes += record.payload.as_ref().map_or(0, Vec::len);
                    partition.next = record.place.offset + 1;
                    partition.at_end = false;
                    partition.arrived |= partition.next >= partition.goal;
                    self.consumer.context().down.store(false, Ordering::Relaxed);
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    if let Some(partition) = self.partitions.get_mut(&number.cast_unsigned()) {
                        (partition.at_end, partition.arrived) = (true, true);
                    }
                }
                // What the error means is seen by a look at the topic.
                Some(Err(error)) => {
                    tracing::debug!(topic = self.topic, %error, "poll");
                    self.look_after = self.look_after.min(LOOK_AGAIN);
                }
                None => break,
            }
            patience = if self.has_arrived() { Duration::ZERO } else { GATHER };
        }
        records
    }

    /// Whether everything was read that there was at the start.
    pub(super) fn has_arrived(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.values().all(|partition| partition.arrived)
    }

    /// Whether nothing is left to read, and a broker says so.
    pub(super) fn is_current(&self) -> bool {
        let contact = self.consumer.context();
        let heard = contact.heard.load(Ordering::Relaxed) && !contact.down.load(Ordering::Relaxed);
        heard && self.has_arrived() && self.partitions.values().all(|partition| partition.at_end)
    }

    /// Records that are known to be there and were not read yet, of the start.
    pub(super) fn left(&self) -> u64 {
        let left = |partition: &Partition| partition.goal.saturating_sub(partition.next);
        self.partitions.values().filter(|partition| !partition.arrived).map(left).sum()
    }
}

fn own(message: &BorrowedMessage<'_>) -> Record {
    let headers = kafka::headers(message).unwrap_or_default();
    let text = |name: &str| {
        let value = headers.iter().find(|(known, _)| known == name)?.1.as_deref()?;
        std::str::from_utf8(value).ok()
    };
    Record {
        place: Place {
            partition: message.partition().cast_unsigned(),
            offset: message.offset().unsigned_abs(),
        },
        key: message.key().unwrap_or_default().to_vec(),
        payload: message.payload().map(<[u8]>::to_vec),
        name: text("ce_type").map(str::to_owned),
        version: text("ce_sequence").and_then(|text| text.parse().ok()),
    }
}

impl ClientContext for Contact {
    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().filter(|broker| broker.state == "UP");
        let idle = connected.map(|broker| broker.rxidle).min();
        let heard = idle.is_some_and(|micros| micros <= SILENCE_MAX.as_micros() as i64);
        self.heard.store(heard, Ordering::Relaxed);
        if heard {
            self.down.store(false, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "replica");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.down.store(true, Ordering::Relaxed);
        }
    }
}

impl ConsumerContext for Contact {}
