//! Reads the layers, merges them and remembers where each value comes from.

use std::collections::BTreeMap;
use std::path::Path;

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::{Config, ConfigError, Loaded, Origin, units};

const PREFIX: &str = "MILLRACE_";
const SECRET_FILE: &str = "_FILE";
const DEFAULT: &str = "default";
/// Names of the field that are understood beside the prefixed ones, which win.
const ALIASES: [(&str, &str); 4] = [
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka.bootstrap_servers"),
    ("SCHEMA_REGISTRY_URL", "registry.url"),
    ("DATABASE_URL", "database.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "trace.endpoint"),
];

/// Variables with our prefix that are no keys.
const NO_KEYS: [&str; 7] =
    ["ENV", "HOME", "GROUND", "POSTGRES", "ENDPOINTS", "OUTPUT", "FAILPOINT"];

/// Every given key with the name of its source.
#[derive(Default)]
struct Given(BTreeMap<String, String>);

/// Values with their origin, in a form the merging library takes.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Config {
    /// Reads all layers: files of the working directory, the environment, and `flags` as pairs of
    /// a dotted key and a value.
    pub fn load(flags: &[(String, String)]) -> Result<Loaded, ConfigError> {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        let env = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self::load_from(Path::new("."), &env.collect(), flags)
    }

    /// The same with a directory and an environment of one's own.
    pub fn load_from(
        directory: &Path,
        env: &BTreeMap<String, String>,
        flags: &[(String, String)],
    ) -> Result<Loaded, ConfigError> {
        let mut names = vec!["millrace.toml".to_owned()];
        names.extend(env.get("MILLRACE_ENV").map(|env| format!("millrace.{env}.toml")));
        let mut builder = config::Config::builder();
        for path in names.iter().map(|name| directory.join(name)).filter(|path| path.exists()) {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let layers = builder.add_source(environment(env)?).add_source(Layer::of_flags(flags));
        let merged = layers.build().map_err(unread)?;
        let mut given = Given::default();
        given.walk("", &Value::from(merged.collect().map_err(unread)?));
        given.refuse_unknown()?;
        let config: Config =
            serde_path_to_error::deserialize(merged).map_err(|error| given.misfit(error))?;
        config.check().map_err(|error| given.blamed(error))?;
        let origins = given.origins(&config);
        Ok(Loaded { config, origins })
    }
}

impl Loaded {
    /// Refuses settings of services that are none of these. A process of one service cannot know
    /// the others', which may stand in the same file.
    ///
    /// # Errors
    /// `Unknown`, with the service that is likely meant.
    pub fn of_services(self, known: &[&str]) -> Result<Self, ConfigError> {
        let unknown = |name: &&String| !known.contains(&name.as_str());
        let Some(name) = self.config.service.keys().find(unknown) else { return Ok(self) };
        let (key, inside) = (format!("service.{name}"), format!("service.{name}."));
        let origin = self.origins.iter().find(|origin| origin.key.starts_with(&inside));
        // Only a file can have a table without values.
        let source_name = origin.map_or("a file", |origin| &origin.source).to_owned();
        let suggestion = alike(name, known.iter().copied()).map(|name| format!("service.{name}"));
        Err(ConfigError::Unknown { key, source_name, suggestion })
    }
}

impl Given {
    /// Notes every value with its source. Arrays are values.
    fn walk(&mut self, path: &str, value: &Value) {
        match &value.kind {
            ValueKind::Table(fields) => {
                for (name, field) in fields {
                    let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.walk(&key, field);
                }
            }
            _ => {
                let source = value.origin().unwrap_or(DEFAULT).to_owned();
                self.0.insert(path.to_owned(), source);
            }
        }
    }

    fn refuse_unknown(&self) -> Result<(), ConfigError> {
        let known = known_keys();
        for (key, source) in &self.0 {
            let open = key.starts_with("kafka.properties.") || key.starts_with("service.");
            if !open && !known.contains(key) {
                return Err(unknown(key, source.clone(), &known));
            }
        }
        Ok(())
    }

    /// A value that is not of its key's type.
    fn misfit(&self, error: serde_path_to_error::Error<config::ConfigError>) -> ConfigError {
        let key = error.path().to_string();
        self.blamed(ConfigError::Invalid { key, reason: plain(error.into_inner()) })
    }

    /// Adds where the value was given.
    fn blamed(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Invalid { key, reason } => match self.0.get(&key) {
                Some(source) => {
                    ConfigError::Invalid { reason: format!("{reason} ({source})"), key }
                }
                None => ConfigError::Invalid { key, reason },
            },
            other => other,
        }
    }

    fn origins(&self, config: &Config) -> Vec<Origin> {
        let origin = |(key, value): (String, serde_json::Value)| {
            let value = units::shown(&key, &value);
            let source = self.0.get(&key).cloned().unwrap_or_else(|| DEFAULT.to_owned());
            Origin { key, value, source }
        };
        let mut origins: Vec<_> = units::leaves(config).into_iter().map(origin).collect();
        origins.sort_by(|a, b| a.key.cmp(&b.key));
        origins
    }
}

fn known_keys() -> Vec<String> {
    units::leaves(&Config::default()).into_iter().map(|(key, _)| key).collect()
}

fn unknown(key: &str, source_name: String, known: &[String]) -> ConfigError {
    let suggestion = alike(key, known.iter().map(String::as_str)).map(str::to_owned);
    ConfigError::Unknown { key: key.to_owned(), source_name, suggestion }
}

/// The known name that was likely meant.
pub(crate) fn alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.75;
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, name);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.filter(|best| likeness(best) >= ALIKE)
}

/// The layer of the environment: aliases first, so that prefixed names win.
fn environment(env: &BTreeMap<String, String>) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (name, key) in ALIASES {
        for name in [format!("{name}{SECRET_FILE}"), name.to_owned()] {
            if let Some(value) = env.get(&name).filter(|value| !value.is_empty()) {
                layer.put_variable(&name, key, value)?;
            }
        }
    }
    for (name, value) in env.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match rest.split_once("__") {
            Some(_) => layer.put_variable(name, &dotted(rest), value)?,
            None => refuse_flat(name, rest)?,
        }
    }
    Ok(layer)
}

/// `KAFKA__PROPERTIES__SOCKET_KEEPALIVE_ENABLE` to `kafka.properties.socket.keepalive.enable`.
fn dotted(rest: &str) -> String {
    let rest = rest.strip_suffix(SECRET_FILE).unwrap_or(rest).to_lowercase();
    let parts: Vec<_> = rest.split("__").collect();
    match parts.as_slice() {
        ["kafka", "properties", name] => format!("kafka.properties.{}", name.replace('_', ".")),
        ["service", name, keys @ ..] => {
            format!("service.{}.{}", name.replace('_', "-"), keys.join("."))
        }
        parts => parts.join("."),
    }
}

/// `MILLRACE_KAFKA_BOOTSTRAP_SERVERS` is meant for us but would be read by nobody.
fn refuse_flat(name: &str, rest: &str) -> Result<(), ConfigError> {
    if NO_KEYS.contains(&rest) {
        return Ok(());
    }
    let bare = rest.strip_suffix(SECRET_FILE).unwrap_or(rest);
    let keys: Vec<_> =
        known_keys().iter().map(|key| key.replace('.', "__").to_uppercase()).collect();
    let known = keys.iter().map(String::as_str).chain(NO_KEYS);
    let suggestion = alike(bare, known).map(|key| format!("{PREFIX}{key}{}", &rest[bare.len()..]));
    let source_name = "environment".to_owned();
    Err(ConfigError::Unknown { key: name.to_owned(), source_name, suggestion })
}

impl Layer {
    fn of_flags(flags: &[(String, String)]) -> Self {
        let mut layer = Self::default();
        for (key, value) in flags {
            layer.put(key, value, "flag".to_owned());
        }
        layer
    }

    /// A variable, or the content of the file that a variable with the suffix `_FILE` names.
    fn put_variable(&mut self, name: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        if !name.ends_with(SECRET_FILE) {
            self.put(key, value, format!("environment {name}"));
            return Ok(());
        }
        let content = std::fs::read_to_string(value).map_err(|error| ConfigError::File {
            path: value.to_owned(),
            reason: format!("{error} (named by {name})"),
        })?;
        self.put(key, content.trim_end(), format!("file {value} (environment {name})"));
        Ok(())
    }

    fn put(&mut self, key: &str, value: &str, origin: String) {
        let kind = if key.starts_with("service.") { scalar(value) } else { value.into() };
        let leaf = Value::new(Some(&origin), kind);
        let path = path(key);
        let (last, tables) = path.split_last().expect("a split text has a part");
        let mut table = &mut self.0;
        for name in tables {
            table = entered(table, name);
        }
        table.insert(last.clone(), leaf);
    }
}

/// The table of this name inside another; a value in its place gives way.
fn entered<'a>(table: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let entry = table.entry(name.to_owned()).or_default();
    if !matches!(entry.kind, ValueKind::Table(_)) {
        entry.kind = ValueKind::Table(Map::new());
    }
    match &mut entry.kind {
        ValueKind::Table(inner) => inner,
        _ => unreachable!("it was made a table above"),
    }
}

/// The tables on the way to a key. A property of librdkafka is one name with dots in it.
fn path(key: &str) -> Vec<String> {
    match key.strip_prefix("kafka.properties.") {
        Some(name) => vec!["kafka".to_owned(), "properties".to_owned(), name.to_owned()],
        None => key.split('.').map(str::to_owned).collect(),
    }
}

/// A service's own settings are typed by the service: numbers and truth values must look so.
fn scalar(text: &str) -> ValueKind {
    if let Ok(number) = text.parse::<i64>() {
        return ValueKind::I64(number);
    }
    match text.parse::<bool>() {
        Ok(truth) => ValueKind::Boolean(truth),
        Err(_) => text.into(),
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// A file that is not what it should be.
fn unread(error: config::ConfigError) -> ConfigError {
    match error {
        config::ConfigError::FileParse { uri, cause } => ConfigError::File {
            path: uri.unwrap_or_else(|| "configuration".to_owned()),
            reason: cause.to_string(),
        },
        other => ConfigError::File { path: "configuration".to_owned(), reason: other.to_string() },
    }
}

/// What is wrong with a value, without the library's own account of where.
fn plain(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => plain(*error),
        config::ConfigError::Type { unexpected, expected, .. } => {
            format!("is {unexpected}, not {expected}")
        }
        config::ConfigError::Message(text) => text,
        other => other.to_string(),
    }
}
