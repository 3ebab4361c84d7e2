//! Relations between values: what each must hold, and what to do when it does not.

use std::time::Duration;

use super::units::show_duration;
use super::{Config, ConfigError, Secret};
use crate::kafka;

impl Config {
    /// Refuses values that contradict each other; the error names the key and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_addresses()?;
        self.check_http()?;
        self.check_consume()?;
        self.check_rest()?;
        self.check_open_tables()
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        for server in self.kafka.bootstrap_servers.split(',') {
            let wrong = format!("is `{server}`, not host:port; write localhost:9092");
            hold(has_port(server), "kafka.bootstrap_servers", &wrong)?;
        }
        url("registry.url", &self.registry.url)?;
        positive("registry.timeout", self.registry.timeout)?;
        if let Some(endpoint) = &self.trace.endpoint {
            url("trace.endpoint", endpoint)?;
        }
        postgres(&self.database.url)
    }

    fn check_http(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        let wrong = format!("is `{}`, not address:port; write 127.0.0.1:8080", http.listen);
        hold(has_port(&http.listen), "http.listen", &wrong)?;
        hold(http.body_bytes_max > 0, "http.body_bytes_max", "is 0; write 256KiB")?;
        hold(http.requests_max > 0, "http.requests_max", "is 0; write 512")?;
        hold(http.connections_max > 0, "http.connections_max", "is 0; write 1024")?;
        positive("http.header_timeout", http.header_timeout)?;
        positive("http.body_timeout", http.body_timeout)?;
        positive("http.answer_timeout", http.answer_timeout)?;
        at_least(
            ("http.request_timeout", http.request_timeout),
            ("http.answer_timeout", http.answer_timeout),
        )?;
        at_least(
            ("http.request_timeout", http.request_timeout),
            ("http.body_timeout", http.body_timeout),
        )
    }

    fn check_consume(&self) -> Result<(), ConfigError> {
        let consume = &self.consume;
        hold(consume.batch_records_max > 0, "consume.batch_records_max", "is 0; write 500")?;
        hold(consume.batch_bytes_max > 0, "consume.batch_bytes_max", "is 0; write 256KiB")?;
        positive("consume.retry_base", consume.retry_base)?;
        at_least(
            ("consume.retry_max", consume.retry_max),
            ("consume.retry_base", consume.retry_base),
        )?;
        hold(consume.parked_keys_max > 0, "consume.parked_keys_max", "is 0; write 10000")?;
        hold(consume.parked_records_max > 0, "consume.parked_records_max", "is 0; write 100000")?;
        positive("consume.gap_wait", consume.gap_wait)?;
        positive("consume.heartbeat", consume.heartbeat)?;
        let wrong = format!(
            "is {}, not under half of consume.session_timeout ({}); lower it or raise the other",
            show_duration(consume.heartbeat),
            show_duration(consume.session_timeout)
        );
        let often = consume.heartbeat * 2 < consume.session_timeout;
        hold(often, "consume.heartbeat", &wrong)
    }

    fn check_rest(&self) -> Result<(), ConfigError> {
        let outbox = &self.outbox;
        hold(outbox.batch_records_max > 0, "outbox.batch_records_max", "is 0; write 1000")?;
        hold(outbox.batch_bytes_max > 0, "outbox.batch_bytes_max", "is 0; write 4MiB")?;
        positive("outbox.poll", outbox.poll)?;
        positive("outbox.delivery_timeout", outbox.delivery_timeout)?;
        let replica = &self.replica;
        hold(replica.cache >= 1024 * 1024, "replica.cache", "is under 1 MiB; write 64MiB")?;
        hold(replica.subscribers_max > 0, "replica.subscribers_max", "is 0; write 256")?;
        positive("shutdown.drain", self.shutdown.drain)?;
        positive("database.statement_timeout", self.database.statement_timeout)?;
        let enough = self.database.max_connections >= 2;
        let wrong = "is under 2, but requests and batches need one each; write 8";
        hold(enough, "database.max_connections", wrong)?;
        let share = (0.0..=1.0).contains(&self.trace.sample_ratio);
        hold(share, "trace.sample_ratio", "is not between 0 and 1; write 1.0 to keep every trace")
    }

    fn check_open_tables(&self) -> Result<(), ConfigError> {
        for name in self.kafka.properties.keys() {
            let reason = kafka::fixed(name);
            let key = format!("kafka.properties.{name}");
            hold(reason.is_none(), &key, reason.unwrap_or_default())?;
        }
        for (name, settings) in &self.service {
            let wrong = format!("is a value; write service.{name}.<key>");
            hold(settings.is_object(), &format!("service.{name}"), &wrong)?;
        }
        Ok(())
    }
}

fn hold(holds: bool, key: &str, wrong: &str) -> Result<(), ConfigError> {
    match holds {
        true => Ok(()),
        false => Err(ConfigError::Invalid { key: key.to_owned(), reason: wrong.to_owned() }),
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn positive(key: &str, value: Duration) -> Result<(), ConfigError> {
    hold(!value.is_zero(), key, "is 0s; it must be longer")
}

fn at_least(larger: (&str, Duration), smaller: (&str, Duration)) -> Result<(), ConfigError> {
    let (large, small) = (show_duration(larger.1), show_duration(smaller.1));
    let wrong = format!("is {large}, less than {} ({small}); raise it to {small}", smaller.0);
    hold(larger.1 >= smaller.1, larger.0, &wrong)
}

fn url(key: &str, text: &str) -> Result<(), ConfigError> {
    let fits = reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    hold(fits, key, "is not an http or https URL; write http://host:port")
}

fn postgres(secret: &Secret) -> Result<(), ConfigError> {
    let known = ["postgres", "postgresql"];
    let fits = reqwest::Url::parse(secret.expose()).is_ok_and(|url| known.contains(&url.scheme()));
    let wrong = "is not a PostgreSQL URL; write postgres://user:password@host:5432/database";
    hold(fits, "database.url", wrong)
}
