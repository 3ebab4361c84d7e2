//! The retailer's services as a fleet of processes in a world of its own, and what of it can break.

use anyhow::{Context, Result, ensure};
use harness::fault::{Crew, Field, Fleet, Menu};
use harness::{Ground, World};
use millrace::Service;
use schemas::{EVENTS, topics};

use crate::args::Args;

/// What makes a service.
pub(crate) type Make = fn() -> Service;

/// Every service by its name.
const SERVICES: [(&str, Make); 7] = [
    ("catalogue", catalogue::service),
    ("orders", orders::service),
    ("stock", stock::service),
    ("payments", payments::service),
    ("sales", sales::service),
    ("order-view", order_view::service),
    ("journal", journal::service),
];
/// One more of each of these may join.
const SPARED: [&str; 2] = ["orders", "stock"];
/// Where operators' commands go, in platforms that take them.
const COMMANDS: &str = "retail.ops.commands.v1";

/// Instances that a ground needs a listener for.
pub(crate) fn clients(args: &Args) -> usize {
    SERVICES.len() * usize::from(args.instances) + SPARED.len()
}

/// All services, for the checker.
pub(crate) fn services() -> Vec<Service> {
    SERVICES.iter().map(|(_, make)| make()).collect()
}

/// The names of the services.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|(name, _)| *name)
}

/// Topics that a service reads, by their declared names.
pub(crate) fn topics_of(service: &str) -> Vec<&'static str> {
    let read = topics::ALL.iter().filter(|topic| topic.readers.contains(&service));
    read.map(|topic| topic.name).collect()
}

/// The service of this name.
pub(crate) fn service(name: &str) -> Option<Make> {
    SERVICES.iter().find(|(known, _)| *known == name).map(|(_, make)| *make)
}

/// Starts every service in a new world.
pub(crate) async fn open(ground: &Ground, args: &Args) -> Result<Field> {
    let program = std::env::current_exe().context("finding this program")?;
    let world = World::on(ground)?;
    world.create_topics(topics::ALL).await?;
    world.register(EVENTS.iter().map(|event| (event.subject(), event.schema))).await?;
    let crew = |name: &&str| {
        Crew::new(*name, &program)
            .args(["service", name])
            .instances(usize::from(args.instances))
            .spares(usize::from(SPARED.contains(name)))
            .env("RUST_LOG", "warn")
    };
    let crews: Vec<Crew> = names().map(|name| crew(&name)).collect();
    let fleet = Fleet::start(&world, &crews).await?;
    let mut field = Field::new(world, fleet).door("orders", "/v1/orders").commands(COMMANDS);
    for name in names() {
        let read = topics_of(name);
        if !read.is_empty() {
            field = field.reads(name, &read);
        }
    }
    Ok(field)
}

/// What may break, as far as the run is told to break it.
pub(crate) fn menu(field: &Field, only: &[String]) -> Result<Menu> {
    let menu = Menu::of(field);
    if only.is_empty() {
        return Ok(menu);
    }
    let chosen: Vec<_> = only
        .iter()
        .flat_map(|text| menu.clone().only(text).faults().cloned().collect::<Vec<_>>())
        .collect();
    ensure!(!chosen.is_empty(), "no fault begins with {}", only.join(" or "));
    Ok(Menu::from_faults(chosen))
}
