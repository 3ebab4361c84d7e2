//! One real Kafka broker in KRaft mode, set up for tests: quick to start, quick to rebalance, small.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millrace::admin::Admin;

use super::java::{self, Archive, Compiler};
use super::server::Server;
use crate::Progress;
use crate::fetch::{self, Part};
use crate::home::{Home, make};
use crate::ports::free_port;
use crate::process::{Launch, Signal};

const HEAP_MB: u32 = 256;
/// Every throw-away broker may have the same name: nobody ever sees two of them.
const CLUSTER_ID: &str = "bWlsbHJhY2UtZ3JvdW5kMQ";
/// One attempt of a client to reach a broker that is starting.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Measured on two cores; each line that is not self-evident is there for speed of tests: few
/// internal partitions, no waiting for more members, short sessions, and a cleaner whose default
/// buffer alone would not fit the heap.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.assignment.interval.ms=0
group.consumer.min.heartbeat.interval.ms=250
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=3000
group.consumer.session.timeout.ms=6000
";

/// What a broker is started for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// Its data go when nobody is left.
    pub(crate) orphan: bool,
    /// So many clients come through proxies.
    pub(crate) doors: usize,
    pub(crate) compiler: Compiler,
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Kafka {
    pub(crate) server: Server,
    pub(crate) lib: PathBuf,
    bootstrap: String,
    doors: Vec<Door>,
}

/// A listener for one client that comes through a proxy: the broker tells that client, and nobody
/// else, to come to the proxy's port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    /// Where the broker listens.
    pub(crate) listens: u16,
    /// Where the proxy is to stand.
    pub(crate) advertised: u16,
}

impl Kafka {
    /// Starts a broker on the data in `folder`, which is made if there is none.
    pub(crate) async fn start(
        home: &Home,
        folder: &Path,
        purpose: Purpose,
        progress: &Progress,
    ) -> Result<Self> {
        let lib = fetch::fetch(home, Part::Kafka, progress).await?;
        let archive = lib.join("classes.jsa");
        java::train(&archive, progress, async |draft: &Path| {
            progress("preparing Kafka for quick starts, once");
            let folder = home.run_folder()?;
            let archive = (Archive::Make, draft);
            let purpose = Purpose { orphan: true, doors: 0, compiler: Compiler::Soon };
            let broker = Self::launch(&lib, folder.path(), purpose, archive).await?;
            broker.until_ready().await?;
            broker.server.stop().await;
            Ok(())
        })
        .await?;
        Self::launch(&lib, folder, purpose, (Archive::Use, &archive)).await
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The listener for a client that comes through a proxy.
    pub(crate) fn door(&self, slot: usize) -> Option<Door> {
        self.doors.get(slot).copied()
    }

    /// An open port is not a ready broker: topics must be made and a group joined.
    pub(crate) async fn until_ready(&self) -> Result<()> {
        let probe = async || {
            let admin = Admin::connect_within(&self.bootstrap, &BTreeMap::new(), ATTEMPT).await;
            admin.map_err(|e| e.to_string())?.probe().await.map_err(|e| e.to_string())
        };
        self.server.until_ready(probe).await
    }

    async fn launch(
        lib: &Path,
        folder: &Path,
        purpose: Purpose,
        archive: (Archive, &Path),
    ) -> Result<Self> {
        make(folder)?;
        let (port, controller) = (free_port()?, free_port()?);
        let door = |_| Ok(Door { listens: free_port()?, advertised: free_port()? });
        let doors = (0..purpose.doors).map(door).collect::<Result<Vec<Door>>>()?;
        let settings = folder.join("server.properties");
        let data = folder.join("data");
        fs::write(&settings, settings_text(port, controller, &doors, &data))?;
        if !data.join("meta.properties").exists() {
            format(lib, &settings, &data).await?;
        }
        let main = ["kafka.Kafka".into(), settings.into_os_string()];
        let log = folder.join("kafka.log");
        let mut launch = kafka_java(lib, &log, purpose.compiler, archive, main)?;
        if purpose.orphan {
            launch = launch.orphan_folder(folder);
        }
        let server = Server::start("Kafka", launch, Signal::Term)?;
        let (lib, bootstrap) = (lib.to_owned(), format!("127.0.0.1:{port}"));
        Ok(Self { server, lib, bootstrap, doors })
    }
}

/// Data folders are formatted by Kafka's own tool once; every later one is a copy of that.
async fn format(lib: &Path, settings: &Path, data: &Path) -> Result<()> {
    let template = lib.join("formatted");
    let _one_at_a_time = fetch::exclusively(&lib.join(".formatted.lock")).await?;
    if !template.exists() {
        let args = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"];
        let args = args.into_iter().map(OsString::from).chain([settings.into()]);
        let log = data.with_extension("log");
        let none = (Archive::Use, Path::new(""));
        let launch = kafka_java(lib, &log, Compiler::Soon, none, args)?;
        let mut tool = launch.start()?;
        let status = tool.wait(Duration::from_secs(60)).await?;
        ensure!(status.success(), "formatting: {status}\n{}", tool.log_tail(10));
        let draft = lib.join("formatted.draft");
        drop(fs::remove_dir_all(&draft));
        copy(data, &draft)?;
        fs::rename(draft, &template)?;
        return Ok(());
    }
    copy(&template, data)
}

fn kafka_java(
    lib: &Path,
    log: &Path,
    compiler: Compiler,
    archive: (Archive, &Path),
    args: impl IntoIterator<Item = OsString>,
) -> Result<Launch> {
    let logger = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(), "-cp".into()];
    let args = logger.into_iter().chain([java::classpath(lib)?]).chain(args);
    java::launch(log, HEAP_MB, compiler, archive, args)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name())).context("copying a formatted folder")?;
    }
    Ok(())
}

fn settings_text(port: u16, controller: u16, doors: &[Door], data: &Path) -> String {
    let each = |text: fn(usize, &Door) -> String| -> String {
        doors.iter().enumerate().map(|(n, door)| text(n, door)).collect()
    };
    let protocols = each(|n, _| format!(",DOOR{n}:PLAINTEXT"));
    let listeners = each(|n, door| format!(",DOOR{n}://127.0.0.1:{}", door.listens));
    let advertised = each(|n, door| format!(",DOOR{n}://127.0.0.1:{}", door.advertised));
    format!(
        "{SETTINGS}controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
         log.dirs={}\n",
        data.display()
    )
}
