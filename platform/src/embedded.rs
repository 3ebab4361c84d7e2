//! librdkafka's mock broker behind a safe handle: a Kafka in this process, ready in milliseconds.
//! It has no topic administration, compaction, fencing or offsets by time, so what needs those
//! must not be tested on it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// The only broker of the cluster.
const BROKER: i32 = 1;
/// The longest wait for one answer of the mock, and for one poll.
const CALL_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// The mock broker could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("the embedded broker failed to {what}: {reason}")]
pub struct EmbeddedError {
    what: &'static str,
    reason: String,
}

/// A running mock broker; it ends when this is dropped.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts one mock broker on a free loopback port.
    ///
    /// # Errors
    /// When the port or the thread cannot be had.
    pub fn start() -> Result<Self, EmbeddedError> {
        let failed = |reason: String| EmbeddedError { what: "start", reason };
        let (orders, inbox) = channel::<Order>();
        let (ready, started) = channel();
        // The cluster holds raw pointers and may not leave the thread that made it.
        let thread = std::thread::Builder::new()
            .name("embedded-broker".into())
            .spawn(move || match MockCluster::new(BROKER) {
                Ok(cluster) => {
                    let heard = ready.send(Ok(cluster.bootstrap_servers()));
                    if heard.is_ok() {
                        obey(&cluster, &inbox);
                    }
                }
                Err(error) => drop(ready.send(Err(error.to_string()))),
            })
            .map_err(|error| failed(error.to_string()))?;
        let bootstrap =
            started.recv().map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        Ok(Self { bootstrap, orders: Some(orders), thread: Some(thread) })
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic with this many partitions.
    ///
    /// # Errors
    /// When the topic exists, or a client asked for it before: the mock then made it by itself.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), EmbeddedError> {
        let name = name.to_owned();
        self.order("create a topic", move |cluster| {
            cluster.create_topic(&name, partitions, 1).map_err(|error| error.to_string())
        })
    }

    /// Closes every connection and refuses new ones until [`Broker::up`].
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn down(&self) -> Result<(), EmbeddedError> {
        self.order("go down", |cluster| cluster.broker_down(BROKER).map_err(|e| e.to_string()))
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn up(&self) -> Result<(), EmbeddedError> {
        self.order("come up", |cluster| cluster.broker_up(BROKER).map_err(|e| e.to_string()))
    }

    /// Delays every answer by this much.
    ///
    /// # Errors
    /// When the mock refuses.
    pub fn round_trip(&self, delay: Duration) -> Result<(), EmbeddedError> {
        self.order("slow down", move |cluster| {
            cluster.broker_round_trip_time(BROKER, delay).map_err(|error| error.to_string())
        })
    }

    /// Puts a group without members at the beginning of these topics. The mock takes offsets from
    /// members alone, so this becomes one for a moment. Blocks for at most `deadline`.
    ///
    /// # Errors
    /// When the group cannot be joined in time, or the offsets are refused.
    pub fn rewind_group(
        &self,
        group: &str,
        topics: &[&str],
        deadline: Duration,
    ) -> Result<(), EmbeddedError> {
        let failed = |reason: String| EmbeddedError { what: "rewind a group", reason };
        self.rewind(group, topics, Instant::now() + deadline)
            .map_err(|error| failed(error.to_string()))
    }

    fn rewind(&self, group: &str, topics: &[&str], until: Instant) -> Result<(), KafkaError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", group)
            .set("group.protocol", "consumer")
            .set("enable.auto.commit", "false")
            .create()?;
        consumer.subscribe(topics)?;
        let metadata = consumer.fetch_metadata(None, CALL_MAX)?;
        let of_group = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()));
        let partitions: usize = of_group.map(|topic| topic.partitions().len()).sum();
        let mut assigned = consumer.assignment()?;
        while assigned.count() < partitions {
            if Instant::now() > until {
                return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
            }
            // Polling is what drives the join; a record in between is of no interest.
            drop(consumer.poll(POLL));
            assigned = consumer.assignment()?;
        }
        let mut first = TopicPartitionList::new();
        for element in assigned.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let (low, _) = consumer.fetch_watermarks(topic, partition, CALL_MAX)?;
            first.add_partition_offset(topic, partition, Offset::Offset(low))?;
        }
        consumer.commit(&first, CommitMode::Sync)
    }

    fn order(
        &self,
        what: &'static str,
        order: impl FnOnce(&Cluster) -> Result<(), String> + Send + 'static,
    ) -> Result<(), EmbeddedError> {
        let failed = |reason: String| EmbeddedError { what, reason };
        let (reply, answer) = channel();
        let orders = self.orders.as_ref().expect("the sender is taken only by drop");
        orders
            .send(Box::new(move |cluster| drop(reply.send(order(cluster)))))
            .map_err(|error| failed(error.to_string()))?;
        answer.recv().map_err(|error| failed(error.to_string()))?.map_err(failed)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn obey(cluster: &Cluster, inbox: &Receiver<Order>) {
    while let Ok(order) = inbox.recv() {
        order(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_created_once() {
        let broker = Broker::start().unwrap();
        assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));
        broker.create_topic("a", 3).unwrap();
        assert!(broker.create_topic("a", 3).is_err());
    }
}
