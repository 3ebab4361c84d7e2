//! Generated from the `.avsc` files and `topics.toml`; a test compares. Do not edit: change those
//! and run `cargo run -p millrace-codegen -- schemas`.

use millrace_contract::{DecodeError, Event, Money, Reader, Topic, Writer};
use serde::{Deserialize, Serialize};

use crate::EventInfo;
use crate::ids::{CustomerId, OrderId, SaleId, Sku, StoreId};

/// Every event, in the order of `topics.toml`.
pub const EVENTS: &[EventInfo] = &[
    EventInfo::of::<OrderPlaced>(),
    EventInfo::of::<OrderConfirmed>(),
    EventInfo::of::<OrderRejected>(),
    EventInfo::of::<OrderRefused>(),
    EventInfo::of::<OrderCancelled>(),
    EventInfo::of::<StockReserved>(),
    EventInfo::of::<StockUnavailable>(),
    EventInfo::of::<StockReleased>(),
    EventInfo::of::<PaymentAccepted>(),
    EventInfo::of::<PaymentRefused>(),
    EventInfo::of::<PaymentRefunded>(),
    EventInfo::of::<SaleConfirmed>(),
    EventInfo::of::<SaleCancelled>(),
    EventInfo::of::<OutsideNoted>(),
    EventInfo::of::<ProductListed>(),
    EventInfo::of::<ProductRepriced>(),
    EventInfo::of::<ProductWithdrawn>(),
    EventInfo::of::<ProductState>(),
    EventInfo::of::<OrderState>(),
];

/// Who ended an order before its time. DEADLINE is a step that took too long; OTHER stands for everyone this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancelledBy {
    /// `OTHER`.
    #[default]
    Other,
    /// `CUSTOMER`.
    Customer,
    /// `DEADLINE`.
    Deadline,
}

impl CancelledBy {
    /// Every symbol, in schema order.
    pub const ALL: &'static [Self] = &[Self::Other, Self::Customer, Self::Deadline];

    /// The symbol as the schema spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "OTHER",
            Self::Customer => "CUSTOMER",
            Self::Deadline => "DEADLINE",
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

/// One article of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The article.
    pub sku: Sku,
    /// How many pieces were ordered, at least one.
    pub quantity: i64,
    /// The price of one piece when the order was placed.
    pub unit_price: Money,
}

impl OrderLine {
    /// Appends the fields in schema order.
    pub fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.long(self.quantity);
        out.money(self.unit_price);
    }

    /// Reads the fields in schema order; fails on any fault in the bytes.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            quantity: input.long()?,
            unit_price: input.money()?,
        })
    }
}

/// Where an order stands. CONFIRMED and what comes after it are ends; OTHER stands for every status this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// `OTHER`.
    #[default]
    Other,
    /// `PLACED`.
    Placed,
    /// `RESERVED`.
    Reserved,
    /// `PAID`.
    Paid,
    /// `CONFIRMED`.
    Confirmed,
    /// `REJECTED`.
    Rejected,
    /// `REFUSED`.
    Refused,
    /// `CANCELLED`.
    Cancelled,
    /// `EXPIRED`.
    Expired,
}

impl OrderStatus {
    /// Every symbol, in schema order.
    pub const ALL: &'static [Self] = &[Self::Other, Self::Placed, Self::Reserved, Self::Paid, Self::Confirmed, Self::Rejected, Self::Refused, Self::Cancelled, Self::Expired];

    /// The symbol as the schema spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "OTHER",
            Self::Placed => "PLACED",
            Self::Reserved => "RESERVED",
            Self::Paid => "PAID",
            Self::Confirmed => "CONFIRMED",
            Self::Rejected => "REJECTED",
            Self::Refused => "REFUSED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
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

/// Why a payment was refused. OTHER stands for every reason that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefusalReason {
    /// `OTHER`.
    #[default]
    Other,
    /// `INSUFFICIENT_FUNDS`.
    InsufficientFunds,
    /// `UNKNOWN_ACCOUNT`.
    UnknownAccount,
    /// `CURRENCY_MISMATCH`.
    CurrencyMismatch,
}

impl RefusalReason {
    /// Every symbol, in schema order.
    pub const ALL: &'static [Self] = &[Self::Other, Self::InsufficientFunds, Self::UnknownAccount, Self::CurrencyMismatch];

    /// The symbol as the schema spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "OTHER",
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::UnknownAccount => "UNKNOWN_ACCOUNT",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
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

/// An article whose reservation was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedLine {
    /// The article.
    pub sku: Sku,
    /// How many pieces are free again.
    pub quantity: i64,
}

impl ReleasedLine {
    /// Appends the fields in schema order.
    pub fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.long(self.quantity);
    }

    /// Reads the fields in schema order; fails on any fault in the bytes.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            quantity: input.long()?,
        })
    }
}

/// An article of which the store has too few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortLine {
    /// The article.
    pub sku: Sku,
    /// How many pieces the order asks for.
    pub wanted: i64,
    /// How many pieces were free when the order was looked at.
    pub available: i64,
}

impl ShortLine {
    /// Appends the fields in schema order.
    pub fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.long(self.wanted);
        out.long(self.available);
    }

    /// Reads the fields in schema order; fails on any fault in the bytes.
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            wanted: input.long()?,
            available: input.long()?,
        })
    }
}

/// The order ended before it was confirmed. Whatever was done for it is undone by those who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// Who cancelled the order.
    pub by: CancelledBy,
    /// What the customer gave as the reason, in free words; null if nothing was said.
    pub reason: Option<String>,
}

impl Event for OrderCancelled {
    const NAME: &'static str = "retail.order.OrderCancelled";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderCancelled","namespace":"retail.order","doc":"The order ended before it was confirmed. Whatever was done for it is undone by those who did it.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who placed the order."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"by","type":{"type":"enum","name":"CancelledBy","namespace":"retail","doc":"Who ended an order before its time. DEADLINE is a step that took too long; OTHER stands for everyone this version does not know.","symbols":["OTHER","CUSTOMER","DEADLINE"],"default":"OTHER"},"doc":"Who cancelled the order."},{"name":"reason","type":["null","string"],"doc":"What the customer gave as the reason, in free words; null if nothing was said.","default":null}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        self.by.encode(out);
        out.optional(self.reason.as_ref(), |out, some| out.string(some));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            by: CancelledBy::decode(input)?,
            reason: input.optional(|input| input.string().map(str::to_owned))?,
        })
    }
}

/// The order ended well: stock is reserved, payment is taken, the sale is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The sale that records the order.
    pub sale_id: SaleId,
    /// The amount that was paid.
    pub total: Money,
}

impl Event for OrderConfirmed {
    const NAME: &'static str = "retail.order.OrderConfirmed";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderConfirmed","namespace":"retail.order","doc":"The order ended well: stock is reserved, payment is taken, the sale is recorded.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who placed the order."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"sale_id","type":{"type":"string","logicalType":"uuid"},"doc":"The sale that records the order."},{"name":"total","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The amount that was paid."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.uuid(self.sale_id.uuid());
        out.money(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            sale_id: input.uuid().map(SaleId::new)?,
            total: input.money()?,
        })
    }
}

/// A customer checked out a cart: the prices are fixed and the order begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles of the order, each at most once.
    pub lines: Vec<OrderLine>,
    /// The sum of all lines.
    pub total: Money,
}

impl Event for OrderPlaced {
    const NAME: &'static str = "retail.order.OrderPlaced";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderPlaced","namespace":"retail.order","doc":"A customer checked out a cart: the prices are fixed and the order begins.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who placed the order."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"OrderLine","namespace":"retail","doc":"One article of an order.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"quantity","type":"long","doc":"How many pieces were ordered, at least one."},{"name":"unit_price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece when the order was placed."}]}},"doc":"The articles of the order, each at most once."},{"name":"total","type":"retail.Money","doc":"The sum of all lines."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.array(&self.lines, |out, item| item.encode(out));
        out.money(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            lines: input.array(OrderLine::decode)?,
            total: input.money()?,
        })
    }
}

/// The order ended because the payment was refused. Nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefused {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// Why the payment was refused.
    pub reason: RefusalReason,
}

impl Event for OrderRefused {
    const NAME: &'static str = "retail.order.OrderRefused";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderRefused","namespace":"retail.order","doc":"The order ended because the payment was refused. Nothing was charged.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who placed the order."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"reason","type":{"type":"enum","name":"RefusalReason","namespace":"retail","doc":"Why a payment was refused. OTHER stands for every reason that this version does not know.","symbols":["OTHER","INSUFFICIENT_FUNDS","UNKNOWN_ACCOUNT","CURRENCY_MISMATCH"],"default":"OTHER"},"doc":"Why the payment was refused."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        self.reason.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            reason: RefusalReason::decode(input)?,
        })
    }
}

/// The order ended because the store has too little of at least one article. Nothing was reserved or charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles that are short.
    pub missing: Vec<ShortLine>,
}

impl Event for OrderRejected {
    const NAME: &'static str = "retail.order.OrderRejected";
    const TOPIC: &'static Topic = topics::ORDER_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderRejected","namespace":"retail.order","doc":"The order ended because the store has too little of at least one article. Nothing was reserved or charged.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who placed the order."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"missing","type":{"type":"array","items":{"type":"record","name":"ShortLine","namespace":"retail","doc":"An article of which the store has too few.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"wanted","type":"long","doc":"How many pieces the order asks for."},{"name":"available","type":"long","doc":"How many pieces were free when the order was looked at."}]}},"doc":"The articles that are short."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.array(&self.missing, |out, item| item.encode(out));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            missing: input.array(ShortLine::decode)?,
        })
    }
}

/// What everything that was said about an order amounts to: the latest record of a key is the whole truth, and one without a value says that the order is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// How many facts are folded into it, from 1. It never goes back.
    pub version: i64,
    /// Where the order stands.
    pub status: OrderStatus,
    /// Whether it has ended, and nothing that was done for it is still to be undone.
    pub settled: bool,
    /// The customer who placed the order; null as long as nobody has told.
    pub customer_id: Option<CustomerId>,
    /// The store the order was placed in; null as long as nobody has told.
    pub store_id: Option<StoreId>,
    /// The articles of the order, each at most once; none as long as nobody has told.
    pub lines: Vec<OrderLine>,
    /// The sum of all lines; null as long as nobody has told.
    pub total: Option<Money>,
    /// When it was placed; null as long as nobody has told.
    pub placed_at: Option<millrace_contract::Timestamp>,
    /// When it ended; null as long as it has not.
    pub closed_at: Option<millrace_contract::Timestamp>,
    /// When the latest of its facts happened.
    pub updated_at: millrace_contract::Timestamp,
    /// The articles of which the store had too little.
    pub missing: Vec<ShortLine>,
    /// Why it ended, when somebody said so.
    pub reason: Option<String>,
}

impl Event for OrderState {
    const NAME: &'static str = "retail.order.OrderState";
    const TOPIC: &'static Topic = topics::ORDER_STATE;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OrderState","namespace":"retail.order","doc":"What everything that was said about an order amounts to: the latest record of a key is the whole truth, and one without a value says that the order is erased.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"version","type":"long","doc":"How many facts are folded into it, from 1. It never goes back."},{"name":"status","type":{"type":"enum","name":"OrderStatus","namespace":"retail","doc":"Where an order stands. CONFIRMED and what comes after it are ends; OTHER stands for every status this version does not know.","symbols":["OTHER","PLACED","RESERVED","PAID","CONFIRMED","REJECTED","REFUSED","CANCELLED","EXPIRED"],"default":"OTHER"},"doc":"Where the order stands."},{"name":"settled","type":"boolean","doc":"Whether it has ended, and nothing that was done for it is still to be undone."},{"name":"customer_id","type":["null","string"],"doc":"The customer who placed the order; null as long as nobody has told.","default":null},{"name":"store_id","type":["null","string"],"doc":"The store the order was placed in; null as long as nobody has told.","default":null},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"OrderLine","namespace":"retail","doc":"One article of an order.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"quantity","type":"long","doc":"How many pieces were ordered, at least one."},{"name":"unit_price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece when the order was placed."}]}},"doc":"The articles of the order, each at most once; none as long as nobody has told."},{"name":"total","type":["null","retail.Money"],"doc":"The sum of all lines; null as long as nobody has told.","default":null},{"name":"placed_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"doc":"When it was placed; null as long as nobody has told.","default":null},{"name":"closed_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"doc":"When it ended; null as long as it has not.","default":null},{"name":"updated_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the latest of its facts happened."},{"name":"missing","type":{"type":"array","items":{"type":"record","name":"ShortLine","namespace":"retail","doc":"An article of which the store has too few.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"wanted","type":"long","doc":"How many pieces the order asks for."},{"name":"available","type":"long","doc":"How many pieces were free when the order was looked at."}]}},"doc":"The articles of which the store had too little."},{"name":"reason","type":["null","string"],"doc":"Why it ended, when somebody said so.","default":null}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.long(self.version);
        self.status.encode(out);
        out.boolean(self.settled);
        out.optional(self.customer_id.as_ref(), |out, some| out.string(some.as_str()));
        out.optional(self.store_id.as_ref(), |out, some| out.string(some.as_str()));
        out.array(&self.lines, |out, item| item.encode(out));
        out.optional(self.total.as_ref(), |out, some| out.money(*some));
        out.optional(self.placed_at.as_ref(), |out, some| out.timestamp(*some));
        out.optional(self.closed_at.as_ref(), |out, some| out.timestamp(*some));
        out.timestamp(self.updated_at);
        out.array(&self.missing, |out, item| item.encode(out));
        out.optional(self.reason.as_ref(), |out, some| out.string(some));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            version: input.long()?,
            status: OrderStatus::decode(input)?,
            settled: input.boolean()?,
            customer_id: input.optional(|input| input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId"))))?,
            store_id: input.optional(|input| input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId"))))?,
            lines: input.array(OrderLine::decode)?,
            total: input.optional(|input| input.money())?,
            placed_at: input.optional(|input| input.timestamp())?,
            closed_at: input.optional(|input| input.timestamp())?,
            updated_at: input.timestamp()?,
            missing: input.array(ShortLine::decode)?,
            reason: input.optional(|input| input.string().map(str::to_owned))?,
        })
    }
}

/// Somebody outside the retailer's services told something about an order: a carrier, a call centre, an auditor. It is kept with the order and changes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideNoted {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// Who tells it, 1 to 64 characters.
    pub source: String,
    /// What sort of thing it is, 1 to 64 characters; FROZEN stands for the freeze of the order's journal.
    pub kind: String,
    /// What is told, 1 to 2000 characters.
    pub text: String,
}

impl Event for OutsideNoted {
    const NAME: &'static str = "retail.outside.OutsideNoted";
    const TOPIC: &'static Topic = topics::OUTSIDE_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"OutsideNoted","namespace":"retail.outside","doc":"Somebody outside the retailer's services told something about an order: a carrier, a call centre, an auditor. It is kept with the order and changes nothing of it.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"source","type":"string","doc":"Who tells it, 1 to 64 characters."},{"name":"kind","type":"string","doc":"What sort of thing it is, 1 to 64 characters; FROZEN stands for the freeze of the order's journal."},{"name":"text","type":"string","doc":"What is told, 1 to 2000 characters."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(&self.source);
        out.string(&self.kind);
        out.string(&self.text);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            source: input.string().map(str::to_owned)?,
            kind: input.string().map(str::to_owned)?,
            text: input.string().map(str::to_owned)?,
        })
    }
}

/// The customer's account was charged for the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAccepted {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who paid.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles of the order, each at most once.
    pub lines: Vec<OrderLine>,
    /// The amount that was charged.
    pub amount: Money,
}

impl Event for PaymentAccepted {
    const NAME: &'static str = "retail.payment.PaymentAccepted";
    const TOPIC: &'static Topic = topics::PAYMENT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"PaymentAccepted","namespace":"retail.payment","doc":"The customer's account was charged for the order.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who paid."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"OrderLine","namespace":"retail","doc":"One article of an order.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"quantity","type":"long","doc":"How many pieces were ordered, at least one."},{"name":"unit_price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece when the order was placed."}]}},"doc":"The articles of the order, each at most once."},{"name":"amount","type":"retail.Money","doc":"The amount that was charged."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.array(&self.lines, |out, item| item.encode(out));
        out.money(self.amount);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            lines: input.array(OrderLine::decode)?,
            amount: input.money()?,
        })
    }
}

/// The charge of the order was given back to the customer's account. Only ever follows PaymentAccepted of the same order, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who got the money back.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The amount that was given back: all that was charged.
    pub amount: Money,
}

impl Event for PaymentRefunded {
    const NAME: &'static str = "retail.payment.PaymentRefunded";
    const TOPIC: &'static Topic = topics::PAYMENT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"PaymentRefunded","namespace":"retail.payment","doc":"The charge of the order was given back to the customer's account. Only ever follows PaymentAccepted of the same order, once.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who got the money back."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"amount","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The amount that was given back: all that was charged."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.money(self.amount);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            amount: input.money()?,
        })
    }
}

/// The customer's account was not charged, and will not be for this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefused {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who was to pay.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The amount that was asked for.
    pub amount: Money,
    /// Why it was refused.
    pub reason: RefusalReason,
}

impl Event for PaymentRefused {
    const NAME: &'static str = "retail.payment.PaymentRefused";
    const TOPIC: &'static Topic = topics::PAYMENT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"PaymentRefused","namespace":"retail.payment","doc":"The customer's account was not charged, and will not be for this order.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who was to pay."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"amount","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The amount that was asked for."},{"name":"reason","type":{"type":"enum","name":"RefusalReason","namespace":"retail","doc":"Why a payment was refused. OTHER stands for every reason that this version does not know.","symbols":["OTHER","INSUFFICIENT_FUNDS","UNKNOWN_ACCOUNT","CURRENCY_MISMATCH"],"default":"OTHER"},"doc":"Why it was refused."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.money(self.amount);
        self.reason.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            amount: input.money()?,
            reason: RefusalReason::decode(input)?,
        })
    }
}

/// An article is offered from now on, for the first time or again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductListed {
    /// The article, and the key of the record.
    pub sku: Sku,
    /// The name that customers see.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// The group of articles it belongs to.
    pub category: String,
}

impl Event for ProductListed {
    const NAME: &'static str = "retail.product.ProductListed";
    const TOPIC: &'static Topic = topics::PRODUCT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"ProductListed","namespace":"retail.product","doc":"An article is offered from now on, for the first time or again.","fields":[{"name":"sku","type":"string","doc":"The article, and the key of the record."},{"name":"name","type":"string","doc":"The name that customers see."},{"name":"price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece."},{"name":"category","type":"string","doc":"The group of articles it belongs to."}]}"#;
    type Key = Sku;

    fn key(&self) -> &Self::Key {
        &self.sku
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.string(&self.name);
        out.money(self.price);
        out.string(&self.category);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            name: input.string().map(str::to_owned)?,
            price: input.money()?,
            category: input.string().map(str::to_owned)?,
        })
    }
}

/// An article has a new price. Orders already placed keep theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRepriced {
    /// The article, and the key of the record.
    pub sku: Sku,
    /// The price before.
    pub old_price: Money,
    /// The price from now on.
    pub new_price: Money,
}

impl Event for ProductRepriced {
    const NAME: &'static str = "retail.product.ProductRepriced";
    const TOPIC: &'static Topic = topics::PRODUCT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"ProductRepriced","namespace":"retail.product","doc":"An article has a new price. Orders already placed keep theirs.","fields":[{"name":"sku","type":"string","doc":"The article, and the key of the record."},{"name":"old_price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price before."},{"name":"new_price","type":"retail.Money","doc":"The price from now on."}]}"#;
    type Key = Sku;

    fn key(&self) -> &Self::Key {
        &self.sku
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.money(self.old_price);
        out.money(self.new_price);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            old_price: input.money()?,
            new_price: input.money()?,
        })
    }
}

/// All there is to know about an article now: the latest record of a key is the whole truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductState {
    /// The article, and the key of the record.
    pub sku: Sku,
    /// The name that customers see.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// The group of articles it belongs to.
    pub category: String,
    /// Whether it is offered no longer.
    pub withdrawn: bool,
}

impl Event for ProductState {
    const NAME: &'static str = "retail.product.ProductState";
    const TOPIC: &'static Topic = topics::PRODUCT_STATE;
    const SCHEMA: &'static str = r#"{"type":"record","name":"ProductState","namespace":"retail.product","doc":"All there is to know about an article now: the latest record of a key is the whole truth.","fields":[{"name":"sku","type":"string","doc":"The article, and the key of the record."},{"name":"name","type":"string","doc":"The name that customers see."},{"name":"price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece."},{"name":"category","type":"string","doc":"The group of articles it belongs to."},{"name":"withdrawn","type":"boolean","doc":"Whether it is offered no longer."}]}"#;
    type Key = Sku;

    fn key(&self) -> &Self::Key {
        &self.sku
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
        out.string(&self.name);
        out.money(self.price);
        out.string(&self.category);
        out.boolean(self.withdrawn);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
            name: input.string().map(str::to_owned)?,
            price: input.money()?,
            category: input.string().map(str::to_owned)?,
            withdrawn: input.boolean()?,
        })
    }
}

/// An article is offered no longer. Orders already placed are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductWithdrawn {
    /// The article, and the key of the record.
    pub sku: Sku,
}

impl Event for ProductWithdrawn {
    const NAME: &'static str = "retail.product.ProductWithdrawn";
    const TOPIC: &'static Topic = topics::PRODUCT_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"ProductWithdrawn","namespace":"retail.product","doc":"An article is offered no longer. Orders already placed are served.","fields":[{"name":"sku","type":"string","doc":"The article, and the key of the record."}]}"#;
    type Key = Sku;

    fn key(&self) -> &Self::Key {
        &self.sku
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.string(self.sku.as_str());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sku: input.string().and_then(|text| Sku::new(text).map_err(|_| input.invalid("malformed Sku")))?,
        })
    }
}

/// The recorded sale of the order no longer counts. Only ever follows SaleConfirmed of the same order, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleCancelled {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The sale that no longer counts.
    pub sale_id: SaleId,
    /// The store that had sold.
    pub store_id: StoreId,
    /// The amount that no longer counts.
    pub total: Money,
}

impl Event for SaleCancelled {
    const NAME: &'static str = "retail.sale.SaleCancelled";
    const TOPIC: &'static Topic = topics::SALE_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"SaleCancelled","namespace":"retail.sale","doc":"The recorded sale of the order no longer counts. Only ever follows SaleConfirmed of the same order, once.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"sale_id","type":{"type":"string","logicalType":"uuid"},"doc":"The sale that no longer counts."},{"name":"store_id","type":"string","doc":"The store that had sold."},{"name":"total","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The amount that no longer counts."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.uuid(self.sale_id.uuid());
        out.string(self.store_id.as_str());
        out.money(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            sale_id: input.uuid().map(SaleId::new)?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            total: input.money()?,
        })
    }
}

/// The sale of the paid order is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleConfirmed {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The sale; it follows from the order, so that one order has one sale.
    pub sale_id: SaleId,
    /// The customer who bought.
    pub customer_id: CustomerId,
    /// The store that sold.
    pub store_id: StoreId,
    /// The amount of the sale.
    pub total: Money,
}

impl Event for SaleConfirmed {
    const NAME: &'static str = "retail.sale.SaleConfirmed";
    const TOPIC: &'static Topic = topics::SALE_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"SaleConfirmed","namespace":"retail.sale","doc":"The sale of the paid order is recorded.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"sale_id","type":{"type":"string","logicalType":"uuid"},"doc":"The sale; it follows from the order, so that one order has one sale."},{"name":"customer_id","type":"string","doc":"The customer who bought."},{"name":"store_id","type":"string","doc":"The store that sold."},{"name":"total","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The amount of the sale."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.uuid(self.sale_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.money(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            sale_id: input.uuid().map(SaleId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            total: input.money()?,
        })
    }
}

/// The reservation of the order was given back, line for line what was reserved. Only ever follows StockReserved of the same order, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles that are free again.
    pub lines: Vec<ReleasedLine>,
}

impl Event for StockReleased {
    const NAME: &'static str = "retail.stock.StockReleased";
    const TOPIC: &'static Topic = topics::STOCK_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"StockReleased","namespace":"retail.stock","doc":"The reservation of the order was given back, line for line what was reserved. Only ever follows StockReserved of the same order, once.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"ReleasedLine","namespace":"retail","doc":"An article whose reservation was given back.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"quantity","type":"long","doc":"How many pieces are free again."}]}},"doc":"The articles that are free again."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.store_id.as_str());
        out.array(&self.lines, |out, item| item.encode(out));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            lines: input.array(ReleasedLine::decode)?,
        })
    }
}

/// Every line of the order is reserved in its store. Carries on what the payment needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The customer who pays.
    pub customer_id: CustomerId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles of the order, each at most once.
    pub lines: Vec<OrderLine>,
    /// The amount to charge.
    pub total: Money,
}

impl Event for StockReserved {
    const NAME: &'static str = "retail.stock.StockReserved";
    const TOPIC: &'static Topic = topics::STOCK_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"StockReserved","namespace":"retail.stock","doc":"Every line of the order is reserved in its store. Carries on what the payment needs.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"customer_id","type":"string","doc":"The customer who pays."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"OrderLine","namespace":"retail","doc":"One article of an order.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"quantity","type":"long","doc":"How many pieces were ordered, at least one."},{"name":"unit_price","type":{"type":"record","name":"Money","namespace":"retail","doc":"An amount of one currency. Never floating point.","fields":[{"name":"amount","type":"long","doc":"The amount in the minor units of the currency: 1990 is 19.90 CAD."},{"name":"currency","type":"string","doc":"The currency by its three letters of ISO 4217."}]},"doc":"The price of one piece when the order was placed."}]}},"doc":"The articles of the order, each at most once."},{"name":"total","type":"retail.Money","doc":"The amount to charge."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.customer_id.as_str());
        out.string(self.store_id.as_str());
        out.array(&self.lines, |out, item| item.encode(out));
        out.money(self.total);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            customer_id: input.string().and_then(|text| CustomerId::new(text).map_err(|_| input.invalid("malformed CustomerId")))?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            lines: input.array(OrderLine::decode)?,
            total: input.money()?,
        })
    }
}

/// At least one line is short, and nothing was reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockUnavailable {
    /// The order, and the key of the record.
    pub order_id: OrderId,
    /// The store the order was placed in.
    pub store_id: StoreId,
    /// The articles that are short.
    pub missing: Vec<ShortLine>,
}

impl Event for StockUnavailable {
    const NAME: &'static str = "retail.stock.StockUnavailable";
    const TOPIC: &'static Topic = topics::STOCK_EVENTS;
    const SCHEMA: &'static str = r#"{"type":"record","name":"StockUnavailable","namespace":"retail.stock","doc":"At least one line is short, and nothing was reserved.","fields":[{"name":"order_id","type":{"type":"string","logicalType":"uuid"},"doc":"The order, and the key of the record."},{"name":"store_id","type":"string","doc":"The store the order was placed in."},{"name":"missing","type":{"type":"array","items":{"type":"record","name":"ShortLine","namespace":"retail","doc":"An article of which the store has too few.","fields":[{"name":"sku","type":"string","doc":"The article."},{"name":"wanted","type":"long","doc":"How many pieces the order asks for."},{"name":"available","type":"long","doc":"How many pieces were free when the order was looked at."}]}},"doc":"The articles that are short."}]}"#;
    type Key = OrderId;

    fn key(&self) -> &Self::Key {
        &self.order_id
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.uuid(self.order_id.uuid());
        out.string(self.store_id.as_str());
        out.array(&self.missing, |out, item| item.encode(out));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_id: input.uuid().map(OrderId::new)?,
            store_id: input.string().and_then(|text| StoreId::new(text).map_err(|_| input.invalid("malformed StoreId")))?,
            missing: input.array(ShortLine::decode)?,
        })
    }
}

/// Every topic of `topics.toml`.
pub mod topics {
    use millrace_contract::{Cleanup, Topic};

    /// `retail.order.events.v1`, written by orders.
    pub const ORDER_EVENTS: &Topic = &Topic {
        name: "retail.order.events.v1",
        owner: "orders",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "orderId",
        readers: &["stock", "payments", "sales", "order-view", "journal"],
    };

    /// `retail.stock.events.v1`, written by stock.
    pub const STOCK_EVENTS: &Topic = &Topic {
        name: "retail.stock.events.v1",
        owner: "stock",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "orderId",
        readers: &["orders", "payments", "order-view", "journal"],
    };

    /// `retail.payment.events.v1`, written by payments.
    pub const PAYMENT_EVENTS: &Topic = &Topic {
        name: "retail.payment.events.v1",
        owner: "payments",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "orderId",
        readers: &["orders", "stock", "sales", "order-view", "journal"],
    };

    /// `retail.sale.events.v1`, written by sales.
    pub const SALE_EVENTS: &Topic = &Topic {
        name: "retail.sale.events.v1",
        owner: "sales",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "orderId",
        readers: &["orders", "order-view", "journal"],
    };

    /// `retail.outside.events.v1`, written by journal.
    pub const OUTSIDE_EVENTS: &Topic = &Topic {
        name: "retail.outside.events.v1",
        owner: "journal",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "orderId",
        readers: &["journal"],
    };

    /// `retail.product.events.v1`, written by catalogue.
    pub const PRODUCT_EVENTS: &Topic = &Topic {
        name: "retail.product.events.v1",
        owner: "catalogue",
        partitions: 6,
        cleanup: Cleanup::Delete { retention_ms: 604800000 },
        key: "sku",
        readers: &[],
    };

    /// `retail.product.state.v1`, written by catalogue.
    pub const PRODUCT_STATE: &Topic = &Topic {
        name: "retail.product.state.v1",
        owner: "catalogue",
        partitions: 6,
        cleanup: Cleanup::Compact,
        key: "sku",
        readers: &["orders"],
    };

    /// `retail.order.state.v1`, written by order-view.
    pub const ORDER_STATE: &Topic = &Topic {
        name: "retail.order.state.v1",
        owner: "order-view",
        partitions: 6,
        cleanup: Cleanup::Compact,
        key: "orderId",
        readers: &["order-query"],
    };

    /// All of them.
    pub const ALL: &[&Topic] = &[ORDER_EVENTS, STOCK_EVENTS, PAYMENT_EVENTS, SALE_EVENTS, OUTSIDE_EVENTS, PRODUCT_EVENTS, PRODUCT_STATE, ORDER_STATE];
}
