//! The polling thread: it serves the group protocol and hands records over, nothing else. When
//! the batch loop cannot keep up, or waits for a database, fetching is paused and polling goes on,
//! so that the member is never thrown out of its group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millrace_contract::{Position, Topic};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, Statistics, TopicPartitionList};

use super::Haste;
use super::arrive::Record;
use super::assign::{Assignment, Partition};
use super::handover::{Giver, Taker, handover};
use super::packed::Packed;
use super::reaction::Room;
use crate::core::Core;
use crate::kafka::{self, Names, READERS_WAIT};
use crate::{Condition, Fault};

/// Polling waits this long for room before fetching is paused: a pause throws away what the client
/// has fetched.
const ROOM_WAIT_MAX: Duration = Duration::from_millis(250);
const ROOM_LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long the broker keeps an answer of which nobody waits for what comes of it.
const NOBODY_WAITS: Duration = Duration::from_millis(100);
/// A rebalance waits this long for the batch in hand.
const REVOKE_WAIT_MAX: Duration = Duration::from_secs(5);
/// One look for a broker holds up polling no longer.
const BROKER_LOOK_MAX: Duration = Duration::from_millis(500);
/// A broker that sends nothing for so long stands still: even an idle member hears of its
/// heartbeats.
const BROKER_SILENCE_MAX: Duration = Duration::from_secs(3);
/// Marks an offset as committed by a member; one that was set by a tool is not marked.
pub(super) const OURS: &str = "handled";
/// Looking up offsets takes no longer.
pub(super) const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// The batch loop's end of the consumer.
pub(crate) struct Link {
    pub(crate) records: Taker,
    pub(crate) assignment: Arc<Assignment>,
    pub(super) consumer: Arc<BaseConsumer<Listener>>,
    pub(super) names: Names,
    turnstile: Arc<Turnstile>,
    thread: Option<JoinHandle<()>>,
}

/// Hears of rebalances on the polling thread.
pub(crate) struct Listener {
    assignment: Arc<Assignment>,
    topics: Vec<&'static Topic>,
    names: Names,
    condition: Condition,
    joined: AtomicBool,
    brokers_down: AtomicBool,
    silent: AtomicBool,
}

/// Joins the group and starts polling.
pub(crate) fn start(
    core: &Core,
    group: &str,
    room: &dyn Room,
    condition: Condition,
) -> Result<Link, Fault> {
    let names = Names::new(&core.config);
    let mut topics: Vec<&'static Topic> =
        room.reads().into_iter().map(|(_, topic)| topic).collect();
    topics.sort_by_key(|topic| topic.name);
    topics.dedup();
    let assignment = Arc::new(Assignment::default());
    let listener = Listener {
        assignment: assignment.clone(),
        topics: topics.clone(),
        names: names.clone(),
        condition,
        joined: AtomicBool::new(false),
        brokers_down: AtomicBool::new(false),
        silent: AtomicBool::new(false),
    };
    let client_id = kafka::client_id(&core.config, core.service);
    let mut config = kafka::consumer(&core.config, group, &client_id);
    match room.haste() {
        Haste::Step => {}
        Haste::Readers => kafka::gather(&mut config, &core.config, READERS_WAIT),
        Haste::Nobody => kafka::gather(&mut config, &core.config, NOBODY_WAITS),
    }
    let consumer: BaseConsumer<Listener> =
        config.create_with_context(listener).map_err(Fault::transient)?;
    let subscribed: Vec<String> = topics.iter().map(|topic| names.topic(topic.name)).collect();
    let subscribed: Vec<&str> = subscribed.iter().map(String::as_str).collect();
    consumer.subscribe(&subscribed).map_err(Fault::transient)?;
    let consumer = Arc::new(consumer);
    let (giver, records) = handover();
    let turnstile = Arc::<Turnstile>::default();
    let poller = Poller {
        consumer: consumer.clone(),
        giver,
        overflow: VecDeque::new(),
        turnstile: turnstile.clone(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("poll-{}", core.service))
        .spawn(move || poller.run())
        .map_err(Fault::transient)?;
    Ok(Link { records, assignment, consumer, names, turnstile, thread: Some(thread) })
}

impl Link {
    /// Remembers how far each partition is done; the client commits it in the background.
    pub(crate) fn store_offsets(&self, next: impl IntoIterator<Item = (Partition, i64)>) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in next {
            let topic = self.names.topic(topic);
            let mut element = list.add_partition(&topic, partition);
            element.set_metadata(OURS);
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                tracing::debug!(%error, topic, partition, "offset not listed");
            }
        }
        if let Err(error) = self.consumer.store_offsets(&list) {
            tracing::debug!(%error, "an offset of a revoked partition was not stored");
        }
    }

    /// Stops fetching a partition until it is assigned anew.
    pub(crate) fn stop(&self, partition: Partition) {
        self.assignment.stop(partition);
        pause(&self.consumer, &self.names, &[partition]);
    }

    /// Fetches a partition that rested again, from this offset.
    pub(crate) async fn restart(&self, partition: Partition, offset: i64) -> Result<(), Fault> {
        let (consumer, topic) = (self.consumer.clone(), self.names.topic(partition.0));
        let (turnstile, assignment) = (self.turnstile.clone(), self.assignment.clone());
        // No record is on its way from the client to us meanwhile: what was fetched before is told
        // apart from what comes now.
        let seek = move || {
            let _alone = turnstile.blocking_lock();
            consumer.seek(&topic, partition.1, Offset::Offset(offset), LOOKUP_MAX)?;
            assignment.renew(partition);
            Ok::<_, KafkaError>(())
        };
        let sought = tokio::task::spawn_blocking(seek).await.map_err(Fault::transient)?;
        sought.map_err(Fault::transient)?;
        let resumed = self.consumer.resume(&self.names.list(&[partition]));
        resumed.map_err(Fault::transient)
    }

    /// Fetches nothing of what an operator holds, and again what he holds no more, but for what has
    /// to be restarted.
    pub(crate) fn hold(
        &self,
        held: &[(&'static str, Option<i32>)],
        aside: impl Fn(Partition) -> bool,
    ) {
        let (begin, end) = self.assignment.hold(held);
        if !begin.is_empty() {
            pause(&self.consumer, &self.names, &begin);
        }
        let end: Vec<Partition> = end.into_iter().filter(|partition| !aside(*partition)).collect();
        if !end.is_empty()
            && let Err(error) = self.consumer.resume(&self.names.list(&end))
        {
            tracing::debug!(%error, "resume");
        }
    }

    /// Leaves the group; the client commits what is stored on its way out.
    pub(crate) async fn close(self) {
        let Self { records, consumer, thread, .. } = self;
        drop(records);
        let leave = tokio::task::spawn_blocking(move || {
            drop(consumer);
            if let Some(thread) = thread
                && thread.join().is_err()
            {
                tracing::error!("the polling thread panicked");
            }
        });
        if tokio::time::timeout(REVOKE_WAIT_MAX, leave).await.is_err() {
            tracing::warn!("left the consumer group without a goodbye: the broker did not answer");
        }
    }
}

/// Who waits has his turn: the polling thread lets go and takes it again at once, all day, and a lock that is
/// not fair keeps others from it for seconds.
type Turnstile = tokio::sync::Mutex<()>;

/// The state of the polling thread.
struct Poller {
    consumer: Arc<BaseConsumer<Listener>>,
    giver: Giver,
    /// Records that found the hand-over full; fetching is paused while there are any.
    overflow: VecDeque<Record>,
    /// Held from a poll until its record is ours, and while a partition is put elsewhere.
    turnstile: Arc<Turnstile>,
}

impl Poller {
    fn run(mut self) {
        while !self.giver.is_closed() {
            let waiting = !self.overflow.is_empty();
            let patience = Duration::from_millis(if waiting { 10 } else { 100 });
            match self.poll(patience) {
                Ok(Some(record)) => self.hand_over(record),
                Ok(None) => {}
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => {
                    tracing::error!(%error, "the consumer cannot go on");
                    return;
                }
                Err(error) => tracing::warn!(%error, "poll"),
            }
            if waiting {
                self.drain();
            }
            if self.consumer.context().brokers_down.load(Ordering::Relaxed) {
                self.look_for_brokers();
            }
        }
    }

    fn poll(&self, patience: Duration) -> Result<Option<Record>, KafkaError> {
        let _alone = match self.turnstile.try_lock() {
            Ok(alone) => alone,
            Err(_) => self.turnstile.blocking_lock(),
        };
        let message = self.consumer.poll(patience).transpose()?;
        Ok(message.and_then(|message| self.own(&message)))
    }

    fn own(&self, message: &BorrowedMessage<'_>) -> Option<Record> {
        let listener = self.consumer.context();
        let topic = listener.topic(message.topic())?.name;
        let generation = listener.assignment.generation((topic, message.partition()))?;
        Some(Record {
            position: Position { topic, partition: message.partition(), offset: message.offset() },
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: Packed::of(message),
            generation,
        })
    }

    fn hand_over(&mut self, record: Record) {
        let refused = match self.overflow.is_empty() {
            true => self.offer(record),
            false => Some(record),
        };
        if let Some(record) = refused {
            self.overflow.push_back(record);
            self.pause();
        }
    }

    /// Gives a record, or has it back when there is no room for long.
    fn offer(&self, record: Record) -> Option<Record> {
        let began = Instant::now();
        let waits = || began.elapsed() < ROOM_WAIT_MAX && !self.giver.is_closed();
        let mut refused = self.giver.offer(record).err();
        while let Some(record) = refused.take_if(|_| waits()) {
            std::thread::sleep(ROOM_LOOK_EVERY);
            refused = self.giver.offer(*record).err();
        }
        refused.map(|record| *record)
    }

    fn drain(&mut self) {
        while let Some(record) = self.overflow.pop_front() {
            if let Err(record) = self.giver.offer(record) {
                return self.overflow.push_front(*record);
            }
        }
        let listener = self.consumer.context();
        let list = listener.names.list(&listener.assignment.flowing());
        if let Err(error) = self.consumer.resume(&list) {
            tracing::debug!(%error, "resume");
        }
    }

    /// The client tells when the last broker went, not when the first came back.
    fn look_for_brokers(&self) {
        let listener = self.consumer.context();
        let first = listener.topics.first().map(|topic| listener.names.topic(topic.name));
        if self.consumer.fetch_metadata(first.as_deref(), BROKER_LOOK_MAX).is_ok() {
            listener.brokers_down.store(false, Ordering::Relaxed);
            listener.tell();
        }
    }

    fn pause(&self) {
        let listener = self.consumer.context();
        pause(&self.consumer, &listener.names, &listener.assignment.flowing());
    }
}

pub(super) fn pause(consumer: &BaseConsumer<Listener>, names: &Names, partitions: &[Partition]) {
    if let Err(error) = consumer.pause(&names.list(partitions)) {
        tracing::debug!(%error, "pause");
    }
}

impl Listener {
    fn tell(&self) {
        if self.brokers_down.load(Ordering::Relaxed) {
            self.condition.not("no broker is in reach");
        } else if self.silent.load(Ordering::Relaxed) {
            self.condition.not("no broker says anything");
        } else if self.joined.load(Ordering::Relaxed) {
            self.condition.ok();
        } else {
            self.condition.not("joining the consumer group");
        }
    }

    fn topic(&self, on_broker: &str) -> Option<&'static Topic> {
        let logical = self.names.logical(on_broker);
        self.topics.iter().find(|topic| topic.name == logical).copied()
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        if list.count() == 0 {
            return vec![];
        }
        let ours = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some((self.topic(element.topic())?.name, element.partition()))
        };
        list.elements().iter().filter_map(ours).collect()
    }
}

impl ClientContext for Listener {
    /// A broker that stands still with its connections open makes no error for a minute.
    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().filter(|broker| broker.state == "UP");
        let heard = connected.map(|broker| broker.rxidle).min();
        let silent = heard.is_some_and(|micros| micros > BROKER_SILENCE_MAX.as_micros() as i64);
        if self.silent.swap(silent, Ordering::Relaxed) != silent {
            self.tell();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "consumer");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.brokers_down.store(true, Ordering::Relaxed);
            self.tell();
        }
    }
}

impl ConsumerContext for Listener {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => {
                tracing::info!(partitions = list.count(), "partitions revoked");
                self.assignment.revoke(&self.partitions(list), REVOKE_WAIT_MAX);
            }
            Rebalance::Assign(list) => {
                tracing::info!(partitions = list.count(), "partitions assigned");
                self.assignment.assign(&self.partitions(list));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.joined.store(true, Ordering::Relaxed);
            self.tell();
            // A pause outlives the assignment it was made under.
            if let Err(error) = consumer.resume(list) {
                tracing::warn!(%error, "resume");
            }
            pause(consumer, &self.names, &self.assignment.resting());
        }
    }
}
