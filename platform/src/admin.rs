//! What the harness and an operator ask of the broker: topics, watermarks, records and the offsets
//! of groups. Every call has a deadline, and none but the probe joins a group. Services never use
//! it.

mod groups;
mod model;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::FutureProducer;

pub use model::{
    AdminError, Cluster, Creation, Group, GroupOffset, RawRecord, Record, To, TopicInfo, TopicSpec,
    Watermarks,
};

/// How long any one call may take, unless [`Admin::connect_within`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(15);
/// The longest wait between two looks at the clock or at the broker.
const TICK: Duration = Duration::from_millis(100);

/// A connection to the broker for administration.
#[derive(Clone)]
pub struct Admin {
    client: Arc<AdminClient<DefaultClientContext>>,
    producer: Arc<OnceLock<FutureProducer>>,
    config: ClientConfig,
    bootstrap: String,
    deadline: Duration,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

impl Admin {
    /// Connects, and waits at most 15 seconds for the broker's first answer. Of the properties
    /// only those about the connection are used.
    ///
    /// # Errors
    /// `Settings` or `Unreachable`.
    pub async fn connect(
        bootstrap: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self, AdminError> {
        Self::connect_within(bootstrap, properties, DEADLINE).await
    }

    /// As [`Admin::connect`], with another deadline for this and for every later call.
    ///
    /// # Errors
    /// `Settings` or `Unreachable`.
    pub async fn connect_within(
        bootstrap: &str,
        properties: &BTreeMap<String, String>,
        deadline: Duration,
    ) -> Result<Self, AdminError> {
        let config = settings(bootstrap, properties);
        let client = config.create().map_err(AdminError::Settings)?;
        let bootstrap = bootstrap.to_owned();
        let producer = Arc::default();
        let admin = Self { client: Arc::new(client), producer, config, bootstrap, deadline };
        admin.cluster().await?;
        Ok(admin)
    }

    /// Who answers: the proof that there is a broker.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn cluster(&self) -> Result<Cluster, AdminError> {
        self.blocking("name its cluster", |admin| {
            let client = admin.client.inner();
            let metadata = client.fetch_metadata(None, admin.deadline)?;
            let brokers = metadata.brokers().iter();
            Ok(Cluster {
                id: client.fetch_cluster_id(admin.deadline),
                brokers: brokers.map(|b| format!("{}:{}", b.host(), b.port())).collect(),
            })
        })
        .await
    }

    /// Proves that topics can be made and groups joined, which an open port does not: makes a
    /// topic, joins it with a throw-away group and removes it.
    ///
    /// # Errors
    /// Any but `NoTopic`.
    pub async fn probe(&self) -> Result<(), AdminError> {
        let name = format!("millrace.probe.{}", uuid::Uuid::now_v7());
        self.create_topics(&[TopicSpec::new(&name, 1)]).await?;
        let topic = name.clone();
        self.blocking("let a group join", move |admin| {
            let consumer = admin.reader(&topic)?;
            consumer.subscribe(&[&topic])?;
            let until = Instant::now() + admin.deadline;
            while consumer.assignment()?.count() == 0 {
                if Instant::now() > until {
                    return Err(KafkaError::Global(Code::OperationTimedOut));
                }
                // Only the rebalance is of interest, and polling is what drives it.
                drop(consumer.poll(TICK / 10));
            }
            Ok(())
        })
        .await?;
        self.delete_topics(&[&name]).await
    }

    /// Every topic but the broker's own, by name.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn topics(&self) -> Result<Vec<TopicInfo>, AdminError> {
        self.blocking("list topics", |admin| {
            let metadata = admin.client.inner().fetch_metadata(None, admin.deadline)?;
            let public = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
            let mut topics: Vec<TopicInfo> = public
                .map(|topic| TopicInfo {
                    name: topic.name().to_owned(),
                    partitions: topic.partitions().len(),
                    ready: topic.partitions().iter().all(|partition| partition.leader() >= 0),
                })
                .collect();
            topics.sort();
            Ok(topics)
        })
        .await
    }

    /// A topic's settings as the broker has them, defaults included.
    ///
    /// # Errors
    /// `NoTopic`, `Refused` or `Unreachable`.
    pub async fn describe(&self, topic: &str) -> Result<BTreeMap<String, String>, AdminError> {
        let what = format!("describe {topic}");
        let wanted = [ResourceSpecifier::Topic(topic)];
        let answers = self.client.describe_configs(&wanted, &self.options()).await;
        let answers = answers.map_err(|error| self.failed(&what, error))?;
        let answer = answers.into_iter().next().unwrap_or(Err(Code::UnknownTopic));
        let resource = answer.map_err(|code| self.refused(&what, topic, code))?;
        // Of a topic that is not there the client tells no settings rather than an error.
        if resource.entries.is_empty() {
            return Err(AdminError::NoTopic(topic.to_owned()));
        }
        let entries = resource.entries.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Makes what is not there yet, waits until it can be used, and leaves the rest alone.
    ///
    /// # Errors
    /// `OtherPartitions` when a topic is there with another number of partitions; `Refused`,
    /// `TooSlow` or `Unreachable`.
    pub async fn create_topics(
        &self,
        specs: &[TopicSpec],
    ) -> Result<Vec<(String, Creation)>, AdminError> {
        let wanted: Vec<NewTopic<'_>> = specs.iter().map(new_topic).collect();
        let answers = self.client.create_topics(&wanted, &self.options()).await;
        let answers = answers.map_err(|error| self.failed("create topics", error))?;
        let mut done = Vec::with_capacity(answers.len());
        for answer in answers {
            done.push(match answer {
                Ok(name) => (name, Creation::Created),
                Err((name, Code::TopicAlreadyExists)) => (name, Creation::Existed),
                Err((name, code)) => return Err(self.refused("create topics", &name, code)),
            });
        }
        self.until_ready(specs).await?;
        Ok(done)
    }

    /// Removes topics; one that is not there counts as removed.
    ///
    /// # Errors
    /// `Refused` or `Unreachable`.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), AdminError> {
        let answers: Vec<TopicResult> = self
            .client
            .delete_topics(names, &self.options())
            .await
            .map_err(|error| self.failed("delete topics", error))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, Code::UnknownTopic | Code::UnknownTopicOrPartition)) => {}
                Err((name, code)) => return Err(self.refused("delete topics", &name, code)),
            }
        }
        Ok(())
    }

    async fn until_ready(&self, specs: &[TopicSpec]) -> Result<(), AdminError> {
        let until = Instant::now() + self.deadline;
        loop {
            let there = self.topics().await?;
            let mut missing = false;
            for spec in specs {
                let wanted = spec.partitions as usize;
                match there.iter().find(|info| info.name == spec.name && info.ready) {
                    Some(info) if info.partitions == wanted => {}
                    Some(info) => {
                        let (topic, found) = (spec.name.clone(), info.partitions);
                        return Err(AdminError::OtherPartitions { topic, wanted, found });
                    }
                    None => missing = true,
                }
            }
            if !missing {
                return Ok(());
            }
            if Instant::now() > until {
                let what = "making topics usable".to_owned();
                return Err(AdminError::TooSlow { what, deadline: self.deadline });
            }
            tokio::time::sleep(TICK / 4).await;
        }
    }

    fn reader(&self, group: &str) -> Result<BaseConsumer, KafkaError> {
        self.config
            .clone()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("fetch.queue.backoff.ms", "5")
            .create()
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.deadline))
            .operation_timeout(Some(self.deadline))
    }

    /// librdkafka's blocking calls each carry the deadline; they only must not block the runtime.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(&Self) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let admin = self.clone();
        let call = tokio::task::spawn_blocking(move || call(&admin)).await;
        let outcome = call.expect("the call is not cancelled and does not panic");
        outcome.map_err(|error| self.failed(what, error))
    }

    fn failed(&self, what: &str, error: KafkaError) -> AdminError {
        match error.rdkafka_error_code() {
            Some(Code::OperationTimedOut | Code::RequestTimedOut) => {
                AdminError::TooSlow { what: what.to_owned(), deadline: self.deadline }
            }
            Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve) => {
                AdminError::Unreachable { bootstrap: self.bootstrap.clone(), source: error }
            }
            _ => AdminError::Refused { what: what.to_owned(), reason: error.to_string() },
        }
    }

    fn refused(&self, what: &str, topic: &str, code: Code) -> AdminError {
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition => {
                AdminError::NoTopic(topic.to_owned())
            }
            code => self.failed(&format!("{what} ({topic})"), KafkaError::AdminOp(code)),
        }
    }
}

fn settings(bootstrap: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    const CONNECTION: [&str; 6] = ["security.", "sasl.", "ssl.", "socket.", "broker.", "client."];
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "millrace-admin")
        .set("reconnect.backoff.max.ms", "500")
        // What goes wrong is in the answer of each call; one line for each attempt is only noise.
        .set_log_level(RDKafkaLogLevel::Critical);
    for (name, value) in properties {
        if CONNECTION.iter().any(|prefix| name.starts_with(prefix)) {
            config.set(name, value);
        }
    }
    config
}

fn new_topic(spec: &TopicSpec) -> NewTopic<'_> {
    // A test broker has a handful of partitions and one node: both numbers are far below i32::MAX.
    let replication = TopicReplication::Fixed(spec.replication.cast_signed());
    let topic = NewTopic::new(&spec.name, spec.partitions.cast_signed(), replication);
    spec.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
}
