//! `millrace dev`: the ground and every service in one process, until Ctrl-C. What was ordered
//! stays from one start to the next, unless it is told to forget.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use harness::{Ground, GroundKind, Home, World};
use ops::Endpoints;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::house::{self, House};
use crate::output::{Output, Row};
use crate::place;

/// What `dev` can be told.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Serve on this port and the six after it, instead of free ones.
    #[arg(long, value_name = "PORT")]
    port_base: Option<u16>,
    /// Begin with nothing, and leave nothing behind.
    #[arg(long)]
    ephemeral: bool,
}

/// Where one part of the running system is.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    url: String,
}

/// Runs until Ctrl-C or SIGTERM, and drains.
///
/// # Errors
/// When the ground does not start, or a service refuses to.
pub async fn run(args: DevArgs, output: Output) -> Result<ExitCode> {
    millrace::log::init(millrace::log::json_wanted());
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let ground = tokio::select! {
        ground = ground(args.ephemeral) => ground?,
        () = &mut stopped => return Ok(ExitCode::SUCCESS),
    };
    let served = serve(&ground, args.port_base, output, stopped).await;
    ground.stop().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn ground(ephemeral: bool) -> Result<Ground> {
    let (kind, reason) = GroundKind::choose()?;
    eprintln!("ground: {kind}, {reason}");
    let builder = Ground::builder().kind(kind).progress(|line| eprintln!("{line}"));
    // The embedded broker forgets every fact, so nothing else may remember them.
    let keeps = kind == GroundKind::Native && !ephemeral;
    let builder = match keeps {
        true => builder.data(Home::locate()?.parts().with_file_name("data")),
        false => builder,
    };
    builder.start().await
}

async fn serve(
    ground: &Ground,
    port_base: Option<u16>,
    output: Output,
    stopped: impl Future<Output = ()>,
) -> Result<()> {
    let mut house = House::build(World::only(ground)?, port_base).await?;
    if let Ok(given) = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        for name in house::all_names() {
            house.config_mut(name)?.trace.endpoint = Some(given.clone());
        }
    }
    tokio::pin!(stopped);
    let mounted = tokio::select! {
        mounted = house.mount_all() => mounted?,
        () = &mut stopped => return Ok(()),
    };
    let endpoints = house.endpoints();
    let file = place::dev_file()?;
    endpoints.save(&file)?;
    output.list(&parts(&endpoints))?;
    eprintln!("ready; Ctrl-C ends it");
    stopped.await;
    eprintln!("draining");
    forget(&file, &endpoints);
    house::stop_all(mounted).await
}

fn parts(endpoints: &Endpoints) -> Vec<Part> {
    let part = |name: &str, url: &str| Part { name: name.to_owned(), url: url.to_owned() };
    let services = ops::SERVICES.iter().chain(&ops::REPLICAS);
    let mut parts: Vec<Part> = services
        .filter_map(|name| endpoints.services.get(*name).map(|url| part(name, url)))
        .collect();
    parts.push(part("kafka", &endpoints.kafka));
    parts.push(part("schema registry", &endpoints.registry));
    let databases = endpoints.databases.iter();
    parts.extend(databases.map(|(name, url)| part(&format!("database of {name}"), url)));
    parts
}

/// Removes the record of this run, unless another one has written its own meanwhile.
fn forget(file: &Path, ours: &Endpoints) {
    let still_ours = Endpoints::load(file).is_ok_and(|there| there == *ours);
    if still_ours && let Err(error) = std::fs::remove_file(file) {
        tracing::warn!(%error, file = %file.display(), "not removed");
    }
}

impl Row for Part {
    const COLUMNS: &'static [&'static str] = &["NAME", "URL"];

    fn id(&self) -> String {
        self.url.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.url.clone()]
    }
}
