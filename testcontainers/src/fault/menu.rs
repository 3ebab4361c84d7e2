//! What there is to break on a field, and how often each class of it is chosen. What nothing heals
//! is not on it: that happens by name only.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::{
    BadEvent, BadRequest, BrokerFault, Class, DatabaseFault, EventFault, Fault, Field, HttpFault,
    NetworkFault, OperatorFault, ProcessFault, RegistryFault, Server, Sick, Toxic,
};

/// How often a class is chosen, unless told otherwise.
const WEIGHTS: [(Class, u32); 8] = [
    (Class::Process, 6),
    (Class::Network, 6),
    (Class::Broker, 2),
    (Class::Database, 4),
    (Class::Registry, 2),
    (Class::Event, 3),
    (Class::Http, 2),
    (Class::Operator, 1),
];
const TOXICS: [Toxic; 6] = [
    Toxic::Refuse,
    Toxic::Cut { after_bytes: 40 },
    Toxic::Cut { after_bytes: 2_000 },
    Toxic::Slow { delay: Duration::from_millis(200), bytes_per_second: 64 * 1024 },
    Toxic::HalfOpen,
    Toxic::OneWay,
];
/// Every service has it.
const LOCKED: &str = "millrace.outbox";

/// Faults to choose from.
#[derive(Debug, Clone, Default)]
pub struct Menu {
    faults: BTreeMap<Class, Vec<Fault>>,
    weights: BTreeMap<Class, u32>,
}

impl Menu {
    /// Everything that a field offers and that can be healed.
    pub fn of(field: &Field) -> Self {
        let mut menu = Self { faults: BTreeMap::new(), weights: WEIGHTS.into() };
        menu.add(processes(field));
        menu.add(links(field));
        menu.add(brokers(field));
        menu.add(databases(field));
        menu.add(registries());
        menu.add(inputs(field));
        menu.add(mistakes(field));
        menu
    }

    /// Exactly these.
    pub fn from_faults(faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut menu = Self { faults: BTreeMap::new(), weights: WEIGHTS.into() };
        menu.add(faults);
        menu
    }

    /// Chooses a class so often, compared with the others; with 0 never.
    #[must_use]
    pub fn weight(mut self, class: Class, weight: u32) -> Self {
        self.weights.insert(class, weight);
        self
    }

    /// Keeps those whose text begins with this, at a border of words.
    #[must_use]
    pub fn only(mut self, text: &str) -> Self {
        let fits = |fault: &Fault| {
            let shown = fault.to_string();
            shown.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        self.faults.values_mut().for_each(|faults| faults.retain(fits));
        self
    }

    /// Every fault on it.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.values().flatten()
    }

    pub(crate) fn pick(&self, dice: &mut StdRng) -> Option<&Fault> {
        let weight = |class: &Class| self.weights.get(class).copied().unwrap_or_default();
        let offered = || self.faults.iter().filter(|(_, faults)| !faults.is_empty());
        let all: u32 = offered().map(|(class, _)| weight(class)).sum();
        if all == 0 {
            return None;
        }
        let mut left = dice.random_range(0..all);
        for (class, faults) in offered() {
            match left.checked_sub(weight(class)) {
                Some(rest) => left = rest,
                None => return faults.get(dice.random_range(0..faults.len())),
            }
        }
        None
    }

    fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.faults.entry(fault.class()).or_default().push(fault);
        }
    }
}

fn processes(field: &Field) -> Vec<Fault> {
    let of = |instance: &super::Instance| {
        let name = || instance.name().to_owned();
        match instance.is_spare() {
            true => vec![ProcessFault::Join(name())],
            false => {
                let often = [ProcessFault::Kill(name()), ProcessFault::Freeze(name())];
                often.into_iter().chain([ProcessFault::Restart(name())]).collect()
            }
        }
    };
    field.fleet().instances().flat_map(of).map(Fault::Process).collect()
}

fn links(field: &Field) -> Vec<Fault> {
    let mut faults = vec![];
    for instance in field.fleet().instances().filter(|instance| !instance.is_spare()) {
        for server in Server::ALL.into_iter().filter(|server| instance.link(*server).is_some()) {
            let instance = || instance.name().to_owned();
            let fault = |toxic| NetworkFault { instance: instance(), server, toxic };
            faults.extend(TOXICS.map(fault).map(Fault::Network));
        }
    }
    faults
}

fn brokers(field: &Field) -> Vec<Fault> {
    let server = [BrokerFault::Crash, BrokerFault::Freeze, BrokerFault::Restart];
    let rewind = |service: &str| BrokerFault::Rewind { service: service.to_owned() };
    server.into_iter().chain(field.services().map(rewind)).map(Fault::Broker).collect()
}

fn databases(field: &Field) -> Vec<Fault> {
    let mut faults = vec![];
    if field.world().ground().owns_postgres() {
        faults.extend([DatabaseFault::Crash, DatabaseFault::Restart]);
    }
    for service in field.services() {
        let name = || service.to_owned();
        faults.extend([
            DatabaseFault::Freeze(name()),
            DatabaseFault::Close(name()),
            DatabaseFault::Exhaust(name()),
            DatabaseFault::Terminate(name()),
            DatabaseFault::Slow(name()),
            DatabaseFault::Lock(name(), LOCKED.to_owned()),
        ]);
    }
    faults.into_iter().map(Fault::Database).collect()
}

/// A registry that gives away wrong schemas is not among them: what was condemned because of it
/// has to be redriven by somebody.
fn registries() -> Vec<Fault> {
    let sick = [
        Sick::Status(401),
        Sick::Status(429),
        Sick::Status(500),
        Sick::Garbage,
        Sick::Slow(Duration::from_secs(4)),
    ];
    let process = [RegistryFault::Crash, RegistryFault::Freeze];
    sick.map(RegistryFault::Sick).into_iter().chain(process).map(Fault::Registry).collect()
}

fn inputs(field: &Field) -> Vec<Fault> {
    let mut faults = vec![];
    for topic in field.topics() {
        let event = |bad| Fault::Event(EventFault { bad, topic: topic.to_owned() });
        let known = |bad: &BadEvent| *bad != BadEvent::Absurd || field.knows_absurd();
        faults.extend(BadEvent::ALL.into_iter().filter(known).map(event));
    }
    for instance in field.fleet().instances().filter(|instance| !instance.is_spare()) {
        if field.path(instance.service()).is_some() {
            let instance = || instance.name().to_owned();
            let request = |bad| Fault::Http(HttpFault { bad, instance: instance() });
            faults.extend(BadRequest::ALL.map(request));
        }
    }
    faults
}

fn mistakes(field: &Field) -> Vec<Fault> {
    let mut faults = vec![];
    for service in field.services() {
        faults.push(OperatorFault::RewindLive { service: service.to_owned() });
        if field.commands_topic().is_some() {
            faults.push(OperatorFault::Redrive { service: service.to_owned() });
        }
    }
    for spare in field.fleet().instances().filter(|instance| instance.is_spare()) {
        faults.push(OperatorFault::SecondRelay { instance: spare.name().to_owned() });
    }
    faults.into_iter().map(Fault::Operator).collect()
}
