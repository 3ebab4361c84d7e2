//! Services as processes, several instances of each, every one with a proxy of its own towards
//! broker, database, registry and its clients, so that each connection can fail alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use super::{Front, ParseError, Proxy};
use crate::{Folder, Home, Launch, Process, Signal, World, eventually, free_port};

/// From the start of a process until it is ready, with its group's old member still in the way.
const READY_MAX: Duration = Duration::from_secs(60);
/// A planned end takes no longer than this; then the process is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Where the connections of an instance lead to, or come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// From the instance to the broker.
    Kafka,
    /// From the instance to its database.
    Postgres,
    /// From the instance to the schema registry.
    Registry,
    /// From the clients to the instance.
    Http,
}

/// How a service is run: which program, and how often.
#[derive(Debug, Clone)]
pub struct Crew {
    service: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    instances: usize,
    spares: usize,
}

/// One process of a service, running or not.
#[derive(Debug)]
pub struct Instance {
    name: String,
    service: String,
    launch: Launch,
    process: Mutex<Option<Process>>,
    address: String,
    links: BTreeMap<Server, Proxy>,
    spare: bool,
}

/// All instances of all services. They end with it.
#[derive(Debug)]
pub struct Fleet {
    instances: BTreeMap<String, Instance>,
    front: Front,
    // The folder goes when nothing runs in it any more.
    _folder: Folder,
}

impl Crew {
    /// A service of this name, run once by this program.
    pub fn new(service: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let (args, env) = (vec![], vec![]);
        let program = program.into();
        Self { service: service.into(), program, args, env, instances: 1, spares: 0 }
    }

    /// Adds arguments of the program.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment, over what the world says.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs so many of it, named `service/1` and so on.
    #[must_use]
    pub fn instances(mut self, instances: usize) -> Self {
        self.instances = instances;
        self
    }

    /// Keeps so many more that are only started when they are to join, numbered behind the others.
    #[must_use]
    pub fn spares(mut self, spares: usize) -> Self {
        self.spares = spares;
        self
    }
}

impl Fleet {
    /// Starts every instance but the spares, and waits until they are ready. A ground that was
    /// built with [`proxied_clients`](crate::Builder::proxied_clients) gives each a proxy towards
    /// the broker as well; one fleet at a time may use them.
    ///
    /// # Errors
    /// When one does not become ready: says which, with the end of its log.
    pub async fn start(world: &World, crews: &[Crew]) -> Result<Self> {
        let folder = Home::locate()?.run_folder()?;
        let front = Front::start(&world.ground().registry_url()).await?;
        let mut instances = BTreeMap::new();
        let mut starting = vec![];
        for crew in crews {
            for number in 1..=crew.instances + crew.spares {
                let slot = instances.len();
                let instance = Instance::new(world, crew, number, slot, &front, folder.path());
                let instance = instance.await?;
                let name = instance.name.clone();
                if number <= crew.instances {
                    instance.start().await?;
                    starting.push(name.clone());
                }
                instances.insert(name, instance);
            }
        }
        let fleet = Self { instances, front, _folder: folder };
        for name in starting {
            fleet.instance(&name)?.until_ready().await?;
        }
        Ok(fleet)
    }

    /// The instance of this name, `stock/1`.
    ///
    /// # Errors
    /// When there is none.
    pub fn instance(&self, name: &str) -> Result<&Instance> {
        self.instances.get(name).with_context(|| format!("there is no instance {name}"))
    }

    /// Every instance, spares too, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// The instances of a service, spares too.
    pub fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Instance> {
        self.instances().filter(move |instance| instance.service == service)
    }

    /// What stands before the registry.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Lets every connection pass again.
    pub fn pass(&self) {
        for link in self.instances().flat_map(|instance| instance.links.values()) {
            link.set(None);
        }
    }

    /// Ends every process, in good order where it still listens.
    pub async fn stop(self) {
        self.pass();
        for instance in self.instances() {
            instance.signal(Signal::Continue).await;
            instance.signal(Signal::Term).await;
        }
        for instance in self.instances() {
            instance.stop().await;
        }
    }
}

impl Instance {
    async fn new(
        world: &World,
        crew: &Crew,
        number: usize,
        slot: usize,
        front: &Front,
        folder: &Path,
    ) -> Result<Self> {
        let name = format!("{}/{number}", crew.service);
        let place = folder.join(name.replace('/', "-"));
        std::fs::create_dir_all(&place)?;
        let launch = Launch::new(&crew.program, place.join("log"))
            .args(crew.args.clone())
            .folder(&place)
            .orphan_folder(&place);
        let mut launch = world.launch(&crew.service, launch).await?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let database = world.database_url(&crew.service).await?;
        let (server, proxied) = split(&database, "postgres://")?;
        let postgres = Proxy::start(server).await?;
        let registry = Proxy::start(front.address()).await?;
        let http = Proxy::start(&address).await?;
        launch = launch
            .env("MILLRACE_HTTP__LISTEN", &address)
            .env("MILLRACE_DATABASE__URL", proxied(&postgres.address()))
            .env("MILLRACE_REGISTRY__URL", front.url_at(&registry.address()));
        let mut links = BTreeMap::from([
            (Server::Postgres, postgres),
            (Server::Registry, registry),
            (Server::Http, http),
        ]);
        if let Some((broker, port)) = world.ground().client_door(slot) {
            let kafka = Proxy::start_on(port, broker).await?;
            launch = launch.env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", kafka.address());
            links.insert(Server::Kafka, kafka);
        }
        for (name, value) in &crew.env {
            launch = launch.env(name, value);
        }
        let (service, process) = (crew.service.clone(), Mutex::default());
        let spare = number > crew.instances;
        Ok(Self { name, service, launch, process, address, links, spare })
    }

    /// `stock/1`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `stock`
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Whether it only runs when it is to join.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Where it listens itself, past its proxy: `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its clients reach it, through its proxy.
    pub fn url(&self) -> String {
        let through = self.link(Server::Http).map(Proxy::address);
        format!("http://{}", through.as_deref().unwrap_or(&self.address))
    }

    /// The proxy between it and a server.
    pub fn link(&self, server: Server) -> Option<&Proxy> {
        self.links.get(&server)
    }

    /// Starts it, if it does not run.
    ///
    /// # Errors
    /// When no process can be started.
    pub async fn start(&self) -> Result<()> {
        self.start_from(&self.launch).await
    }

    /// Starts it with its clock ahead by so many seconds, or behind.
    pub(crate) async fn start_skewed(&self, library: &Path, seconds: i64) -> Result<()> {
        let launch = self.launch.clone().env("LD_PRELOAD", library).env("FAKETIME_NO_CACHE", "1");
        let launch = launch.env("DONT_FAKE_MONOTONIC", "1");
        self.start_from(&launch.env("FAKETIME", format!("{seconds:+}"))).await
    }

    async fn start_from(&self, launch: &Launch) -> Result<()> {
        let mut process = self.process.lock().await;
        let runs = process.as_mut().is_some_and(|process| process.exited().is_none());
        if !runs {
            *process = Some(launch.start()?);
        }
        Ok(())
    }

    /// Kills it with -9.
    pub async fn kill(&self) {
        if let Some(mut process) = self.process.lock().await.take() {
            process.kill();
        }
    }

    /// Ends it in good order; whether it ended by itself. One that does not run has.
    pub async fn stop(&self) -> bool {
        match self.process.lock().await.take() {
            Some(mut process) => process.stop(Signal::Term, STOP_MAX).await,
            None => true,
        }
    }

    /// Sends it a signal, if it runs.
    pub async fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_mut() {
            process.signal(signal);
        }
    }

    /// Whether its process runs, frozen or not.
    pub async fn runs(&self) -> bool {
        self.process.lock().await.as_mut().is_some_and(|process| process.exited().is_none())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it does not: with what it says, and the end of its log.
    pub async fn until_ready(&self) -> Result<()> {
        let http = reqwest::Client::builder().timeout(LOOK_MAX).build()?;
        let url = format!("http://{}/readyz?verbose", self.address);
        let what = format!("{} is ready", self.name);
        let ready = eventually(READY_MAX, &what, async || {
            let answer = http.get(&url).send().await.map_err(|error| error.to_string())?;
            let (good, said) = (answer.status().is_success(), answer.text().await);
            if good { Ok(()) } else { Err(said.unwrap_or_default()) }
        });
        let outcome = ready.await;
        let process = self.process.lock().await;
        outcome.with_context(|| process.as_ref().map_or_else(String::new, |it| it.log_tail(10)))
    }

    /// What it tells of itself, as Prometheus reads it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let http = reqwest::Client::builder().timeout(LOOK_MAX).build()?;
        Ok(http.get(format!("http://{}/metrics", self.address)).send().await?.text().await?)
    }
}

/// The server that a URL names, and the same URL at another address.
fn split<'a>(url: &'a str, scheme: &str) -> Result<(&'a str, impl Fn(&str) -> String)> {
    let wrong = || format!("a URL that begins with {scheme} and names a server");
    let rest = url.strip_prefix(scheme).with_context(wrong)?;
    let (user, rest) = rest.split_once('@').with_context(wrong)?;
    let (server, path) = rest.split_once('/').with_context(wrong)?;
    let (begin, end) = (format!("{scheme}{user}@"), format!("/{path}"));
    Ok((server, move |address: &str| format!("{begin}{address}{end}")))
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Registry, Self::Http];

    /// Its name in the text of a fault.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Registry => "registry",
            Self::Http => "http",
        }
    }
}

impl FromStr for Server {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = Self::ALL.into_iter().find(|server| server.as_str() == text);
        found.ok_or_else(|| ParseError::new(text, "kafka, postgres, registry or http"))
    }
}
