//! A replica: a service that keeps a copy of one compacted topic in a file of its own and answers
//! from it. It has no database and no consumer group; any number of them stand side by side, and
//! each goes on answering while everything else is away.

mod builder;
mod decode;
mod feed;
mod file;
mod follow;
mod index;
mod lookup;
mod metrics;
mod row;
mod source;
mod store;
#[cfg(test)]
mod tests;

use millrace_contract::{Event, Timestamp};

pub use builder::ReplicaBuilder;
pub(crate) use builder::{Materialize, Mounted};
pub use feed::{Feed, Marks, MarksError, News};
pub use lookup::{Held, Lookup, Page, Scan};
pub(crate) use metrics::ReplicaMetrics;
pub use row::{Entries, Place};

/// What a replica keeps of its topic, and under what it is found. Pure.
pub trait Replica: Sized + Send + Sync + 'static {
    /// What the topic says of a key.
    type State: Event;

    /// Another number, another store: raise it when keys, entries or their order change.
    const FORM: u32;

    /// The key as the bytes it is stored under.
    fn row(key: &Key<Self>) -> Vec<u8>;

    /// Lists begin with the latest of these.
    fn sorted_by(state: &Self::State) -> Timestamp;

    /// Under which values of which indexes the state is found.
    fn entries(state: &Self::State, entries: &mut Entries);
}

/// The key of the states of a replica.
pub type Key<R> = <<R as Replica>::State as Event>::Key;
