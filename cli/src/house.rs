//! The retailer's services as one house in a world: topics and schemas made, each service with
//! a port of its own, mounted in this process. It decides nothing for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use harness::{World, free_port};
use millrace::contract::Cleanup;
use millrace::{Config, Running, Service};
use ops::Endpoints;
use schemas::{EVENTS, topics};
use serde_json::{Value, json};

/// What makes a service, which can be mounted once.
type Make = fn() -> Service;

/// Every service by its name, in the order of [`ops::SERVICES`].
const SERVICES: [(&str, Make); 7] = [
    ("catalogue", catalogue::service),
    ("orders", orders::service),
    ("stock", stock::service),
    ("payments", payments::service),
    ("sales", sales::service),
    ("order-view", order_view::service),
    ("journal", journal::service),
];

/// What answers from a copy and has neither database nor group, in the order of [`ops::REPLICAS`].
const REPLICAS: [(&str, Make); 1] = [("order-query", order_query::service)];

/// Mounted services by name.
pub(crate) type Mounted = BTreeMap<&'static str, Running>;

/// A world with room for the services.
#[derive(Debug)]
pub(crate) struct House {
    world: World,
    configs: BTreeMap<&'static str, Config>,
}

/// The names of the services with a database and a group of their own.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, _)| *name)
}

/// The names of the services that keep a view.
pub(crate) fn views() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().filter(|(_, service)| service().is_view()).map(|(name, _)| *name)
}

/// The names of all that can be mounted.
pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
    names().chain(REPLICAS.iter().map(|(name, _)| *name))
}

/// The service of this name.
pub(crate) fn service(name: &str) -> Option<Make> {
    SERVICES.iter().chain(&REPLICAS).find(|(known, _)| *known == name).map(|(_, service)| *service)
}

impl House {
    /// Makes topics, schemas and databases where they are not there yet. The services get ports
    /// from `port_base` on, or free ones.
    pub(crate) async fn build(world: World, port_base: Option<u16>) -> Result<Self> {
        let subjects = EVENTS.iter().map(|event| (event.subject(), event.schema));
        let configs = async {
            let configs = names().map(async |name| Ok((name, world.config(name).await?)));
            try_join_all(configs).await
        };
        let (_, _, configs) = futures::try_join!(
            world.create_topics(topics::ALL),
            world.register(subjects),
            configs
        )?;
        set_levels(&world).await?;
        let mut house = Self { world, configs: configs.into_iter().collect() };
        for (name, _) in REPLICAS {
            house.configs.insert(name, house.world.replica_config(name));
        }
        for (n, name) in (0..).zip(all_names()) {
            let port = match port_base {
                Some(base) => base.checked_add(n).context("--port-base is too high")?,
                None => free_port()?,
            };
            house.config_mut(name)?.http.listen =
                SocketAddr::from(([127, 0, 0, 1], port)).to_string();
        }
        let follow_base = house.url("order-view")?;
        house.set("orders", "follow_base", json!(follow_base))?;
        Ok(house)
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// What a service is told.
    pub(crate) fn config(&self, name: &str) -> Result<&Config> {
        self.configs.get(name).with_context(|| format!("there is no service {name}"))
    }

    /// Tells a service something else, from its next start on.
    pub(crate) fn config_mut(&mut self, name: &str) -> Result<&mut Config> {
        self.configs.get_mut(name).with_context(|| format!("there is no service {name}"))
    }

    /// Gives a service a setting of its own, from its next start on, and answers the one before.
    /// Null stands for the default.
    pub(crate) fn set(&mut self, name: &str, key: &str, value: Value) -> Result<Value> {
        let settings = self.config_mut(name)?.service.entry(name.to_owned()).or_insert(json!({}));
        let settings = settings.as_object_mut().context("settings of a service are an object")?;
        let before = match value {
            Value::Null => settings.remove(key),
            value => settings.insert(key.to_owned(), value),
        };
        Ok(before.unwrap_or_default())
    }

    /// Where a service is served.
    pub(crate) fn url(&self, name: &str) -> Result<String> {
        Ok(format!("http://{}", self.config(name)?.http.listen))
    }

    /// Where everything is.
    pub(crate) fn endpoints(&self) -> Endpoints {
        let config = |(name, config): (&&str, &Config)| ((*name).to_owned(), config.clone());
        let configs: Vec<(String, Config)> = self.configs.iter().map(config).collect();
        let url = |(name, config): &(String, Config)| {
            (name.clone(), format!("http://{}", config.http.listen))
        };
        let database =
            |(name, config): &(String, Config)| (name.clone(), config.database.url().to_owned());
        Endpoints {
            services: configs.iter().map(url).collect(),
            databases: configs.iter().filter(|it| has_database(&it.0)).map(database).collect(),
            kafka: self.world.ground().bootstrap_servers().to_owned(),
            topic_prefix: self.world.prefix().to_owned(),
            registry: self.world.ground().registry_url(),
            traces: None,
            pid: Some(std::process::id()),
        }
    }

    /// Mounts one service and waits until it is ready.
    pub(crate) async fn mount(&self, name: &str) -> Result<Running> {
        let service = service(name).with_context(|| format!("there is no service {name}"))?;
        let running = millrace::mount(service(), self.config(name)?.clone()).await;
        let running = running.with_context(|| format!("mounting {name}"))?;
        harness::ready(&running).await?;
        Ok(running)
    }

    /// Mounts all of them and waits until they are ready.
    pub(crate) async fn mount_all(&self) -> Result<Mounted> {
        let mounting = all_names().map(async |name| anyhow::Ok((name, self.mount(name).await?)));
        Ok(try_join_all(mounting).await?.into_iter().collect())
    }
}

fn has_database(name: &str) -> bool {
    names().any(|known| known == name)
}

/// Drains all of them at the same time.
pub(crate) async fn stop_all(mounted: Mounted) -> Result<()> {
    let stopped = try_join_all(mounted.into_values().map(async |running| {
        let name = running.name();
        running.stop().await.with_context(|| format!("stopping {name}"))
    }));
    stopped.await.map(drop)
}

/// Events may change in both directions of time, a state only towards newer readers.
async fn set_levels(world: &World) -> Result<()> {
    let registry = world.registry();
    for event in EVENTS {
        let level = match event.topic.cleanup {
            Cleanup::Compact => "BACKWARD_TRANSITIVE",
            Cleanup::Delete { .. } => "FULL_TRANSITIVE",
        };
        registry.set_compatibility(Some(&event.subject()), level).await?;
    }
    Ok(())
}
