//! Where the running system is: the file that was named, else what the environment or a
//! configuration file says, else what `millrace dev` wrote, else where everything listens when
//! nobody says otherwise.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace::admin::Admin;
use millrace::{Config, Registry};
use ops::{Endpoints, Retailer};

use crate::failure::Failure;

/// How long one question to the broker may take.
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(5);

/// A running system, as far as it is known.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where everything is.
    pub endpoints: Endpoints,
    /// Who says so.
    pub said_by: String,
    /// What else a client must know.
    pub config: Config,
}

/// The file in which `millrace dev` says where it serves, as [`Endpoints`].
///
/// # Errors
/// When no variable says where the user's files are.
pub fn dev_file() -> anyhow::Result<PathBuf> {
    Ok(harness::Home::locate()?.parts().with_file_name("dev.json"))
}

/// Finds the system. `file` was named by a flag or by the environment, and then decides alone.
///
/// # Errors
/// `Usage` when the file or the configuration cannot be read.
pub fn find(file: Option<&Path>) -> Result<Place, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
    let loaded = Config::load(&[]).map_err(|error| wrong(&error))?;
    let config = loaded.config;
    if let Some(file) = file {
        let endpoints = Endpoints::load(file).map_err(|error| wrong(&error))?;
        return Ok(Place { endpoints, said_by: file.display().to_string(), config });
    }
    let dev = dev_file().ok().filter(|file| file.exists());
    let dev = dev.map(|file| Endpoints::load(&file).map(|there| (there, file))).transpose();
    // What a killed `dev` left behind tells nothing.
    let dev = dev.map_err(|error| wrong(&error))?.filter(|(there, _)| !there.is_stale());
    let (mut endpoints, mut said_by) = match dev {
        Some((endpoints, file)) => (endpoints, vec![file.display().to_string()]),
        None => (Endpoints::default(), vec!["defaults".to_owned()]),
    };
    let given = |key: &str| {
        let origin = loaded.origins.iter().find(|origin| origin.key == key);
        origin.map(|origin| origin.source.clone()).filter(|source| source != "default")
    };
    for (key, value, place) in [
        ("kafka.bootstrap_servers", &config.kafka.bootstrap_servers, &mut endpoints.kafka),
        ("kafka.topic_prefix", &config.kafka.topic_prefix, &mut endpoints.topic_prefix),
        ("registry.url", &config.registry.url, &mut endpoints.registry),
    ] {
        if let Some(source) = given(key) {
            place.clone_from(value);
            said_by.push(source);
        }
    }
    if let Some(source) = given("database.url") {
        let url = config.database.url().to_owned();
        endpoints.databases = [("of the configuration".to_owned(), url)].into();
        said_by.push(source);
    }
    Ok(Place { endpoints, said_by: said_by.join(", "), config })
}

impl Place {
    /// A client of the services.
    pub fn retailer(&self) -> Retailer {
        Retailer::new(self.endpoints.clone())
    }

    /// A connection to the broker.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn broker(&self) -> Result<Admin, Failure> {
        let properties = &self.config.kafka.properties;
        Ok(Admin::connect_within(&self.endpoints.kafka, properties, BROKER_ANSWER_MAX).await?)
    }

    /// A client of the registry.
    pub fn registry(&self) -> Registry {
        let mut settings = self.config.registry.clone();
        settings.url.clone_from(&self.endpoints.registry);
        Registry::new(&settings)
    }
}
