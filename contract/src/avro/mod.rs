//! Strict reading and writing of Avro: no short read, no left-over, no unbounded allocation.

mod read;
mod resolve;
mod shape;
mod skim;
mod view;
mod write;

pub use read::{ARRAY_ITEMS_MAX, DecodeError, RECORD_BYTES_MAX, Reader, STRING_BYTES_MAX};
pub use resolve::{Resolution, ResolveError, check_writer_schema, prepare, record_name};
pub use view::{JsonView, Misfit};
pub use write::Writer;
