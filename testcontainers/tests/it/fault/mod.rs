//! The fault kit: what the proxy does to connections, plans as text, and every fault on a real
//! ground: injected, healed, and nothing lost by it.

pub(crate) mod notes;

mod example;
mod native;
mod plan;
mod proxy;
mod registry;
