//! The contracts, checked against the files they come from, against a second implementation of
//! Avro, and against everything a broken or hostile producer may send.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod agree;
mod flow;
mod fresh;
mod golden;
mod ids;
mod kinds;
mod strict;
mod versions;
