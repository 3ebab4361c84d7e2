//! Generated from the `.avsc` files and `topics.toml`; a test compares. Do not edit: change those
//! and run `cargo run -p millrace-codegen -- schemas`.

use millrace_contract::{DecodeError, Event, Reader, Topic, Writer};
use serde::{Deserialize, Serialize};

use crate::EventInfo;
use crate::ids::{OrderId, Tag};

/// Every event, in the order of `topics.toml`.
pub const EVENTS: &[EventInfo] = &[
    EventInfo::of::<Placed>(),
];

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Colour {
    /// `OTHER`.
    #[default]
    Other,
    /// `DARK_RED`.
    DarkRed,
}

impl Colour {
    /// Every symbol, in schema order.
    pub const ALL: &'static [Self] = &[Self::Other, Self::DarkRed];

    /// The symbol as the schema spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "OTHER",
            Self::DarkRed => "DARK_RED",
        }
    }

    /// Appends the index of the symbol.
    pub fn encode(self, out: &mut Writer<'_>) {
        out.long(self as i64);
    }

    /// Reads the index of a symbol; fails if there is no such symbol.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.symbol(Self::ALL.len()).map(|index| Self::ALL[index])
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Tags.
    pub tags: Vec<Tag>,
    /// Seal.
    pub seal: Option<Vec<u8>>,
    /// Time.
    pub at: millrace_contract::Timestamp,
    /// Floor.
    pub floor: i32,
    /// Whether it breaks.
    pub fragile: bool,
}

impl Line {
    /// Appends the fields in schema order.
    pub fn encode(&self, out: &mut Writer<'_>) {
        out.array(&self.tags, |out, item| out.string(item.as_str()));
        out.optional(self.seal.as_ref(), |out, some| out.bytes(some));
        out.timestamp(self.at);
        out.long(i64::from(self.floor));
        out.boolean(self.fragile);
    }

    /// Reads the fields in schema order; fails on any fault in the bytes.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tags: input.array(|input| input.string().and_then(|text| Tag::new(text).map_err(|_| input.invalid("malformed Tag"))))?,
            seal: input.optional(|input| input.bytes().map(<[u8]>::to_vec))?,
            at: input.timestamp()?,
            floor: input.int()?,
            fragile: input.boolean()?,
        })
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The order.
    pub order_id: OrderId,
    /// Lines.
    pub lines: Vec<Line>,
    /// Gift.
    pub gift: Option<Line>,
    /// Colours.
    pub colours: Vec<Colour>,
    /// Note on the box.
    pub note: Option<String>,
}

impl Event for Placed {
    const NAME: &'static str = "shop.order.Placed";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"Placed","namespace":"shop.order","doc":"An order.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order."},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","namespace":"shop","doc":"A line.","fields":[{"name":"tags","type":{"type":"array","items":"string"},"doc":"Tags."},{"name":"seal","type":["null","bytes"],"doc":"Seal.","default":null},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"Time."},{"name":"floor","type":"int","doc":"Floor."},{"name":"fragile","type":"boolean","doc":"Whether it breaks."}]}},"doc":"Lines."},{"name":"gift","type":["null","shop.Line"],"doc":"Gift.","default":null},{"name":"colours","type":{"type":"array","items":{"type":"enum","name":"Colour","namespace":"shop","doc":"A colour.","symbols":["OTHER","DARK_RED"],"default":"OTHER"}},"doc":"Colours."},{"name":"note","type":["null","string"],"doc":"Note on the box.","default":null}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.array(&self.lines, |out, item| item.encode(out));
        out.optional(self.gift.as_ref(), |out, some| some.encode(out));
        out.array(&self.colours, |out, item| item.encode(out));
        out.optional(self.note.as_ref(), |out, some| out.string(some));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            lines: input.array(Line::decode)?,
            gift: input.optional(Line::decode)?,
            colours: input.array(Colour::decode)?,
            note: input.optional(|input| input.string().map(str::to_owned))?,
        })
    }
}

/// Every topic of `topics.toml`.
pub mod topics {
    use millrace_contract::{Cleanup, Topic};

    /// `shop.order.events.v1`, written by till.
    pub const ORDER_EVENTS: &Topic = &Topic {
        name: "shop.order.events.v1",
        owner: "till",
        partitions: 3,
        cleanup: Cleanup::Delete { retention_ms: 172800000 },
        key: "orderId",
        readers: &["packer"],
    };

    /// All of them.
    pub const ALL: &[&Topic] = &[ORDER_EVENTS];
}
