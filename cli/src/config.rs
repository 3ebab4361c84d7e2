//! `millrace config`: what a process would be told here, and by whom. It changes nothing.

use clap::Subcommand;
use millrace::{Config, ConfigError, Loaded, Origin};
use serde::Serialize;

use crate::failure::Failure;
use crate::house;
use crate::output::{Output, Row};

/// Show the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key and its value, secrets masked.
    #[command(before_help = "\
Examples:
  millrace config show --origin
  millrace config show --set http.listen=127.0.0.1:9000 -o json")]
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
        /// Set a key as a flag of a service would.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
    },
}

#[derive(Serialize)]
struct Value {
    key: String,
    value: String,
}

pub(crate) fn run(command: &ConfigCommand, output: Output) -> anyhow::Result<()> {
    let ConfigCommand::Show { origin, set } = command;
    let loaded = load(set).map_err(|error| Failure::Usage(error.to_string()))?;
    if *origin {
        return Ok(output.list(&loaded.origins)?);
    }
    let value = |Origin { key, value, .. }: Origin| Value { key, value };
    Ok(output.list(&loaded.origins.into_iter().map(value).collect::<Vec<_>>())?)
}

/// The configuration as all services understand it.
pub(crate) fn load(flags: &[(String, String)]) -> Result<Loaded, ConfigError> {
    let services: Vec<&str> = house::all_names().collect();
    Config::load(flags).and_then(|loaded| loaded.of_services(&services))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("give KEY=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl Row for Value {
    const COLUMNS: &'static [&'static str] = &["KEY", "VALUE"];

    fn id(&self) -> String {
        self.key.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.value.clone()]
    }
}

impl Row for Origin {
    const COLUMNS: &'static [&'static str] = &["KEY", "VALUE", "ORIGIN"];

    fn id(&self) -> String {
        self.key.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.value.clone(), self.source.clone()]
    }
}
