//! Reads the commands and the desired states, from their beginning and without a group: every
//! instance reads them all.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::Fault;
use crate::control::OpsTopics;
use crate::core::Core;
use crate::kafka::{self, Names};

/// Orders read and not obeyed yet.
const WAITING_MAX: usize = 100;
const PATIENCE: Duration = Duration::from_millis(100);

/// A record of an operator.
pub(super) enum Order {
    /// A command, as bytes.
    Command(Vec<u8>),
    /// A desired state under its key; `None` when it is no longer wanted.
    Desired(String, Option<Vec<u8>>),
}

/// Starts reading; ends when the service does.
pub(super) fn open(core: &Core, stop: CancellationToken) -> Result<Receiver<Order>, Fault> {
    let names = Names::new(&core.config);
    let topics = OpsTopics::of(core.domain);
    let (commands, desired) = (names.topic(&topics.commands), names.topic(&topics.desired));
    let client_id = format!("{}-ops", kafka::client_id(&core.config, core.service));
    let mut config = kafka::consumer(&core.config, &format!("{}-ops", core.group), &client_id);
    config.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().map_err(Fault::transient)?;
    let mut list = TopicPartitionList::new();
    for topic in [&commands, &desired] {
        let added = list.add_partition_offset(topic, 0, Offset::Beginning);
        added.map_err(Fault::transient)?;
    }
    consumer.assign(&list).map_err(Fault::transient)?;
    let (sender, receiver) = channel(WAITING_MAX);
    let service = core.service;
    std::thread::Builder::new()
        .name(format!("ops-{service}"))
        .spawn(move || read(&consumer, &commands, &sender, &stop, service))
        .map_err(Fault::transient)?;
    Ok(receiver)
}

fn read(
    consumer: &BaseConsumer,
    commands: &str,
    sender: &Sender<Order>,
    stop: &CancellationToken,
    service: &str,
) {
    while !stop.is_cancelled() && !sender.is_closed() {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                let payload = message.payload().map(<[u8]>::to_vec);
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                let order = match (message.topic() == commands, payload) {
                    (true, Some(payload)) => Order::Command(payload),
                    (true, None) => continue,
                    (false, payload) => Order::Desired(key, payload),
                };
                if sender.blocking_send(order).is_err() {
                    return;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            // A topic that is not there yet is looked for again by the client.
            Some(Err(error)) => tracing::debug!(service, %error, "commands"),
        }
    }
}
