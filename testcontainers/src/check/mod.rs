//! The correctness checker: what lies in topics, databases, traces and the client's history when
//! everything has come to rest, and whether it keeps the invariants. Judging is pure: the same
//! evidence gives the same verdict, with no clock, no chance and no I/O. It repairs nothing, and
//! it knows nothing of what facts mean; a user of the library adds invariants of his own.

mod avro;
mod collect;
mod evidence;
mod history;
mod index;
mod letters;
mod murmur;
mod offsets;
mod once;
mod order;
mod timeline;
mod trace;
mod transport;
mod verdict;
mod work;

pub use collect::{Collector, Ledgers, NoLedgers};
pub use evidence::{
    Books, Committed, Datum, Effect, Evidence, InboxRow, Kind, LastVersion, Log, Logged, OutboxRow,
    ParkedKey, ParkedRow, PartnerCall, Poison, Reads, ViewPosition, digest_of_headers, sha256,
};
pub use history::{Act, Entry, History, Op, Seen, Step, ops};
pub use index::{Fact, Index};
pub use murmur::partition_of;
pub use verdict::{Invariant, Report, Ruling, Verdict, Violation};

/// What holds for every service on the platform, whatever its facts mean.
pub const TRANSPORT: &[Invariant] = &[
    Invariant { id: "I2", name: "no loss", check: transport::no_loss },
    Invariant { id: "I3", name: "no phantom", check: transport::no_phantom },
    Invariant { id: "I4", name: "order", check: order::order },
    Invariant { id: "I5", name: "placement", check: order::placement },
    Invariant { id: "I6", name: "once", check: once::once },
    Invariant { id: "I11", name: "dead letters", check: letters::dead_letters },
    Invariant { id: "I12", name: "offsets", check: offsets::offsets },
    Invariant { id: "I16", name: "trace", check: trace::trace },
];

/// Judges evidence by all of these invariants, each in its turn.
pub fn judge(evidence: &Evidence, invariants: &[&[Invariant]]) -> Verdict {
    let index = Index::of(evidence);
    let all = invariants.iter().flat_map(|some| some.iter());
    Verdict { rulings: all.map(|invariant| Ruling::of(invariant, &index)).collect() }
}
