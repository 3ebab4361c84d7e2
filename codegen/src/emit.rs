//! From checked types to Rust text. The text depends on nothing but the types, so that a test can
//! compare it with the committed file.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::model::{Kind, MONEY, Named, Type, Types};
use crate::standalone;
use crate::topics::Topic;

const HEAD: &str = "\
//! Generated from the `.avsc` files and `topics.toml`; a test compares. Do not edit: change those
//! and run `cargo run -p millrace-codegen -- schemas`.
";

/// The whole text of `generated.rs`.
pub(crate) fn rust(types: &Types, topics: &[Topic]) -> String {
    let mut out = Text(HEAD.to_owned());
    imports(&mut out, types);
    events(&mut out, topics, types);
    for (full_name, named) in types.iter().filter(|(full_name, _)| *full_name != MONEY) {
        out.line(0, "");
        out.line(0, &format!("/// {}", named.doc));
        match &named.kind {
            Kind::Enum { symbols, default } => enumeration(&mut out, named, symbols, default),
            Kind::Record(_) => {
                record(&mut out, named);
                let topic = topics.iter().find(|topic| topic.events.contains(full_name));
                codec(&mut out, types, named, topic);
            }
        }
    }
    topic_module(&mut out, topics);
    out.0
}

struct Text(String);

impl Text {
    fn line(&mut self, depth: usize, text: &str) {
        let indent = if text.is_empty() { 0 } else { depth * 4 };
        writeln!(self.0, "{:indent$}{text}", "").expect("a String takes every text");
    }
}

fn imports(out: &mut Text, types: &Types) {
    let fields = || types.values().flat_map(Named::fields);
    let money = if fields().any(|field| field.ty.named() == Some(MONEY)) { "Money, " } else { "" };
    let ids: BTreeSet<&str> = fields().filter_map(|field| field.ty.id()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    out.line(0, "");
    out.line(
        0,
        &format!("use millrace_contract::{{DecodeError, Event, {money}Reader, Topic, Writer}};"),
    );
    out.line(0, "use serde::{Deserialize, Serialize};");
    out.line(0, "");
    out.line(0, "use crate::EventInfo;");
    out.line(0, &format!("use crate::ids::{{{}}};", ids.join(", ")));
}

fn events(out: &mut Text, topics: &[Topic], types: &Types) {
    out.line(0, "");
    out.line(0, "/// Every event, in the order of `topics.toml`.");
    out.line(0, "pub const EVENTS: &[EventInfo] = &[");
    for event in topics.iter().flat_map(|topic| &topic.events) {
        out.line(1, &format!("EventInfo::of::<{}>(),", types[event].name));
    }
    out.line(0, "];");
}

fn record(out: &mut Text, named: &Named) {
    out.line(0, "#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]");
    out.line(0, &format!("pub struct {} {{", named.name));
    for field in named.fields() {
        out.line(1, &format!("/// {}", field.doc));
        out.line(1, &format!("pub {}: {},", field.name, rust_type(&field.ty)));
    }
    out.line(0, "}");
}

/// The encoder and decoder: methods of the `Event` trait if a topic carries the record.
fn codec(out: &mut Text, types: &Types, named: &Named, topic: Option<&Topic>) {
    out.line(0, "");
    match topic {
        None => out.line(0, &format!("impl {} {{", named.name)),
        Some(topic) => {
            event_head(out, types, named, topic);
            out.line(0, "");
        }
    }
    let public = if topic.is_none() { "pub " } else { "" };
    if topic.is_none() {
        out.line(1, "/// Appends the fields in schema order.");
    }
    out.line(1, &format!("{public}fn encode(&self, out: &mut Writer<'_>) {{"));
    for field in named.fields() {
        let place = Place { name: format!("self.{}", field.name), is_reference: false };
        out.line(2, &format!("{};", encode(&field.ty, &place)));
    }
    out.line(1, "}");
    out.line(0, "");
    if topic.is_none() {
        out.line(1, "/// Reads the fields in schema order; fails on any fault in the bytes.");
    }
    out.line(
        1,
        &format!("{public}fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {{"),
    );
    out.line(2, "Ok(Self {");
    for field in named.fields() {
        out.line(3, &format!("{}: {}?,", field.name, decode(&field.ty)));
    }
    out.line(2, "})");
    out.line(1, "}");
    out.line(0, "}");
}

fn event_head(out: &mut Text, types: &Types, named: &Named, topic: &Topic) {
    let key_field = topic.key_field();
    let key = named.fields().iter().find(|field| field.name == key_field);
    let key_type = key.map(|field| rust_type(&field.ty)).expect("the topic was checked");
    let schema = standalone::compact(types, &named.full_name());
    out.line(0, &format!("impl Event for {} {{", named.name));
    out.line(1, &format!("const NAME: &'static str = \"{}\";", named.full_name()));
    out.line(1, &format!("const TOPIC: &'static Topic = topics::{};", topic.constant()));
    out.line(1, &format!("const SCHEMA: &'static str = r#\"{schema}\"#;"));
    out.line(1, &format!("type Key = {key_type};"));
    out.line(0, "");
    out.line(1, "fn key(&self) -> &Self::Key {");
    out.line(2, &format!("&self.{key_field}"));
    out.line(1, "}");
}

fn enumeration(out: &mut Text, named: &Named, symbols: &[String], default: &str) {
    let name = &named.name;
    out.line(0, "#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]");
    out.line(0, "#[derive(Serialize, Deserialize)]");
    out.line(0, "#[serde(rename_all = \"SCREAMING_SNAKE_CASE\")]");
    out.line(0, &format!("pub enum {name} {{"));
    for symbol in symbols {
        out.line(1, &format!("/// `{symbol}`."));
        if symbol == default {
            out.line(1, "#[default]");
        }
        out.line(1, &format!("{},", camel(symbol)));
    }
    out.line(0, "}");
    out.line(0, "");
    out.line(0, &format!("impl {name} {{"));
    out.line(1, "/// Every symbol, in schema order.");
    let all: Vec<String> =
        symbols.iter().map(|symbol| format!("Self::{}", camel(symbol))).collect();
    out.line(1, &format!("pub const ALL: &'static [Self] = &[{}];", all.join(", ")));
    out.line(0, "");
    out.line(1, "/// The symbol as the schema spells it.");
    out.line(1, "pub fn as_str(self) -> &'static str {");
    out.line(2, "match self {");
    for symbol in symbols {
        out.line(3, &format!("Self::{} => \"{symbol}\",", camel(symbol)));
    }
    out.line(2, "}");
    out.line(1, "}");
    out.line(0, "");
    out.line(1, "/// Appends the index of the symbol.");
    out.line(1, "pub fn encode(self, out: &mut Writer<'_>) {");
    out.line(2, "out.long(self as i64);");
    out.line(1, "}");
    out.line(0, "");
    out.line(1, "/// Reads the index of a symbol; fails if there is no such symbol.");
    out.line(1, "pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {");
    out.line(2, "input.symbol(Self::ALL.len()).map(|index| Self::ALL[index])");
    out.line(1, "}");
    out.line(0, "}");
}

fn topic_module(out: &mut Text, topics: &[Topic]) {
    out.line(0, "");
    out.line(0, "/// Every topic of `topics.toml`.");
    out.line(0, "pub mod topics {");
    out.line(1, "use millrace_contract::{Cleanup, Topic};");
    for topic in topics {
        let cleanup = match topic.retention_days {
            None => "Cleanup::Compact".to_owned(),
            Some(days) => {
                let retention_ms = u64::from(days) * 86_400_000;
                format!("Cleanup::Delete {{ retention_ms: {retention_ms} }}")
            }
        };
        let readers: Vec<String> = topic.readers.iter().map(|name| format!("\"{name}\"")).collect();
        out.line(0, "");
        out.line(1, &format!("/// `{}`, written by {}.", topic.name, topic.owner));
        out.line(1, &format!("pub const {}: &Topic = &Topic {{", topic.constant()));
        out.line(2, &format!("name: \"{}\",", topic.name));
        out.line(2, &format!("owner: \"{}\",", topic.owner));
        out.line(2, &format!("partitions: {},", topic.partitions));
        out.line(2, &format!("cleanup: {cleanup},"));
        out.line(2, &format!("key: \"{}\",", topic.key));
        out.line(2, &format!("readers: &[{}],", readers.join(", ")));
        out.line(1, "};");
    }
    let all: Vec<String> = topics.iter().map(Topic::constant).collect();
    out.line(0, "");
    out.line(1, "/// All of them.");
    out.line(1, &format!("pub const ALL: &[&Topic] = &[{}];", all.join(", ")));
    out.line(0, "}");
}

fn rust_type(ty: &Type) -> String {
    match ty {
        Type::String(None) => "String".into(),
        Type::Uuid(None) => "millrace_contract::uuid::Uuid".into(),
        Type::String(Some(id)) | Type::Uuid(Some(id)) => id.clone(),
        Type::Long => "i64".into(),
        Type::Int => "i32".into(),
        Type::Boolean => "bool".into(),
        Type::Bytes => "Vec<u8>".into(),
        Type::Timestamp => "millrace_contract::Timestamp".into(),
        Type::Array(item) => format!("Vec<{}>", rust_type(item)),
        Type::Optional(some) => format!("Option<{}>", rust_type(some)),
        Type::Named(name) => short(name).into(),
    }
}

/// Where a value to encode is found.
struct Place {
    name: String,
    is_reference: bool,
}

impl Place {
    fn value(&self) -> String {
        if self.is_reference { format!("*{}", self.name) } else { self.name.clone() }
    }

    fn borrowed(&self) -> String {
        if self.is_reference { self.name.clone() } else { format!("&{}", self.name) }
    }
}

/// A statement that appends a value.
fn encode(ty: &Type, place: &Place) -> String {
    let (name, value, borrowed) = (&place.name, place.value(), place.borrowed());
    match ty {
        Type::String(None) => format!("out.string({borrowed})"),
        Type::String(Some(_)) => format!("out.string({name}.as_str())"),
        Type::Uuid(None) => format!("out.uuid({value})"),
        Type::Uuid(Some(_)) => format!("out.uuid({name}.uuid())"),
        Type::Long => format!("out.long({value})"),
        Type::Int => format!("out.long(i64::from({value}))"),
        Type::Boolean => format!("out.boolean({value})"),
        Type::Bytes => format!("out.bytes({borrowed})"),
        Type::Timestamp => format!("out.timestamp({value})"),
        Type::Named(full_name) if full_name == MONEY => format!("out.money({value})"),
        Type::Named(_) => format!("{name}.encode(out)"),
        Type::Array(item) => {
            let each = encode(item, &Place { name: "item".into(), is_reference: true });
            format!("out.array({borrowed}, |out, item| {each})")
        }
        Type::Optional(some) => {
            let each = encode(some, &Place { name: "some".into(), is_reference: true });
            format!("out.optional({name}.as_ref(), |out, some| {each})")
        }
    }
}

/// An expression that reads a value or fails.
fn decode(ty: &Type) -> String {
    match ty {
        Type::String(None) => "input.string().map(str::to_owned)".into(),
        Type::String(Some(id)) => format!(
            "input.string().and_then(|text| {id}::new(text).map_err(|_| input.invalid(\"malformed {id}\")))"
        ),
        Type::Uuid(None) => "input.uuid()".into(),
        Type::Uuid(Some(id)) => format!("input.uuid().map({id}::new)"),
        Type::Long => "input.long()".into(),
        Type::Int => "input.int()".into(),
        Type::Boolean => "input.boolean()".into(),
        Type::Bytes => "input.bytes().map(<[u8]>::to_vec)".into(),
        Type::Timestamp => "input.timestamp()".into(),
        Type::Array(item) => format!("input.array({})", closure(item)),
        Type::Optional(some) => format!("input.optional({})", closure(some)),
        Type::Named(full_name) if full_name == MONEY => "input.money()".into(),
        Type::Named(full_name) => format!("{}::decode(input)", short(full_name)),
    }
}

fn closure(ty: &Type) -> String {
    match ty {
        Type::Named(full_name) if full_name != MONEY => format!("{}::decode", short(full_name)),
        ty => format!("|input| {}", decode(ty)),
    }
}

fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

/// `InsufficientFunds` for `INSUFFICIENT_FUNDS`.
fn camel(symbol: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    symbol.split('_').filter(|part| !part.is_empty()).map(word).collect()
}
