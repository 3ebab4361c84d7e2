//! Who says what, and who reads it: from the services' own declarations and the topics of the
//! contract, which must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use millrace::Service;
use millrace::contract::Cleanup;
use schemas::{EVENTS, EventInfo, flow, topics};

use crate::markdown::{code, codes, table};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Names of services by the name of a fact or a topic.
type Names = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Everything in which the services and the contract disagree, as sentences.
pub fn faults(services: &[Service], events: &[EventInfo]) -> Vec<String> {
    let (emitters, readers) = (emitters(services), readers(services));
    let mut faults = vec![];
    for event in events {
        let (name, owner) = (event.name, event.topic.owner);
        match emitters.get(name).into_iter().flatten().collect::<Vec<_>>()[..] {
            [] => faults.push(format!("nobody emits {name}")),
            [emitter] if *emitter != owner => {
                faults.push(format!("{emitter} emits {name}, but {owner} owns its topic"));
            }
            [_] => {}
            ref several => faults.push(format!("{name} has more than one emitter: {several:?}")),
        }
    }
    let known: BTreeSet<&str> = events.iter().map(|event| event.name).collect();
    for (name, who) in emitters.iter().chain(&readers) {
        if !known.contains(name) {
            faults.push(format!("{who:?} names {name}, which is no fact of the contract"));
        }
    }
    for (name, who) in readers.iter().filter(|(name, _)| !emitters.contains_key(*name)) {
        faults.push(format!("{who:?} reads {name}, which nobody emits"));
    }
    let read = topic_readers(services);
    for topic in events
        .iter()
        .map(|event| (event.topic.name, event.topic))
        .collect::<BTreeMap<_, _>>()
        .values()
    {
        let declared: BTreeSet<&str> = topic.readers.iter().copied().collect();
        let found = read.get(topic.name).cloned().unwrap_or_default();
        if declared != found {
            let name = topic.name;
            faults
                .push(format!("topics.toml says that {declared:?} read {name}, but {found:?} do"));
        }
    }
    faults
}

/// `docs/topology.md`.
pub fn document(services: &[Service]) -> String {
    let (emitters, readers) = (emitters(services), readers(services));
    let named = |names: &Names, name: &str| codes(names.get(name).into_iter().flatten().copied());
    let facts = EVENTS.iter().map(|event| {
        [
            code(event.name),
            named(&emitters, event.name),
            named(&readers, event.name),
            doc(event.schema),
        ]
    });
    let of_topics = topics::ALL.iter().map(|topic| {
        [
            code(topic.name),
            code(topic.owner),
            code(topic.key),
            topic.partitions.to_string(),
            kept(topic.cleanup),
            codes(topic.readers.iter().copied()),
        ]
    });
    let of_topics = table(
        ["Topic", "Owner", "Key", "Partitions", "Kept", "Readers"],
        of_topics,
        "There is no topic.",
    );
    let facts =
        table(["Fact", "Emitted by", "Read by", "What it says"], facts, "There is no fact.");
    format!(
        "# Who says what, and who reads it\n\n\
         Generated from the services' declarations and `schemas/topics.toml` by\n\
         `cargo run -p xtask -- docs`; a test compares. Services meet in these topics and nowhere \
         else.\n\n{}\n## Topics\n\n{of_topics}\n## Facts\n\n{facts}\n## The flow of an order\n\n{}",
        graph(services),
        flow_table(),
    )
}

/// What the schema says of the fact, on one line.
pub(crate) fn doc(schema: &str) -> String {
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    let doc = schema["doc"].as_str().unwrap_or_default();
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kept(cleanup: Cleanup) -> String {
    match cleanup {
        Cleanup::Delete { retention_ms } => format!("{} days", retention_ms / DAY_MS),
        Cleanup::Compact => "latest of each key".to_owned(),
    }
}

/// Services as boxes, topics as edges' middles, so that the picture shows that no service calls
/// another.
fn graph(services: &[Service]) -> String {
    let mut text = "```mermaid\nflowchart LR\n".to_owned();
    let id = |name: &str| name.replace(['.', '-'], "_");
    for service in services {
        line(&mut text, format!("    {}[{}]", id(service.name()), service.name()));
    }
    for topic in topics::ALL {
        line(&mut text, format!("    {}([{}])", id(topic.name), topic.name));
    }
    for service in services {
        let out: BTreeSet<&str> = service.emits().iter().map(|(_, topic)| topic.name).collect();
        for topic in out {
            line(&mut text, format!("    {} --> {}", id(service.name()), id(topic)));
        }
        let read: BTreeSet<&str> = service.reads().iter().map(|(_, topic)| topic.name).collect();
        for topic in read {
            line(&mut text, format!("    {} --> {}", id(topic), id(service.name())));
        }
    }
    text + "```\n"
}

fn line(text: &mut String, line: String) {
    writeln!(text, "{line}").expect("a text takes every line");
}

fn flow_table() -> String {
    let rows = flow::STEPS.iter().map(|step| {
        let reacts: Vec<String> =
            step.reacts.iter().map(|(service, what)| format!("{} {what}", code(service))).collect();
        let undoes = step.undoes.map(|fact| format!("takes back {}", code(short(fact))));
        let ends = step.ends.then(|| "ends the order".to_owned());
        let notes: Vec<String> = reacts.into_iter().chain(undoes).chain(ends).collect();
        let awaited = step.awaited.iter().map(|fact| short(fact));
        [code(short(step.fact)), code(step.emitted_by), notes.join("; "), codes(awaited)]
    });
    table(["Fact", "Said by", "What follows", "Then exactly one of"], rows, "There is no flow.")
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn emitters(services: &[Service]) -> Names {
    let mut names = Names::new();
    for service in services {
        for (fact, _) in service.emits() {
            names.entry(fact).or_default().insert(service.name());
        }
    }
    names
}

fn readers(services: &[Service]) -> Names {
    let mut names = Names::new();
    for service in services {
        for (fact, _) in service.reads() {
            names.entry(fact).or_default().insert(service.name());
        }
    }
    names
}

fn topic_readers(services: &[Service]) -> Names {
    let mut names = Names::new();
    for service in services {
        for (_, topic) in service.reads() {
            names.entry(topic.name).or_default().insert(service.name());
        }
    }
    names
}
