//! What a fact is: events and their topics, the envelope around them, money and time, and the
//! strict Avro codec that generated types use. No I/O and no async: everything here is a value.
#![warn(missing_docs)]

mod avro;
mod event;
mod frame;
mod headers;
mod id;
mod money;
mod timestamp;
mod topic;

pub use avro::{
    ARRAY_ITEMS_MAX, DecodeError, JsonView, Misfit, RECORD_BYTES_MAX, Reader, Resolution,
    ResolveError, STRING_BYTES_MAX, Writer, check_writer_schema, prepare, record_name,
};
pub use event::{Cause, Envelope, Event, EventId, Position, TraceContext};
pub use frame::{FrameError, frame, unframe};
pub use headers::{Headers, headers_from_json, headers_to_json};
pub use id::IdError;
#[doc(hidden)]
pub use id::parse_uuid;
pub use money::{Currency, Money, MoneyError};
pub use timestamp::Timestamp;
pub use topic::{Cleanup, Topic};
#[doc(hidden)]
pub use uuid;
