//! Every fact has one emitter and only declared readers.

use millrace::Service;
use schemas::{EVENTS, EventInfo, OrderPlaced, StockReserved};
use xtask::topology::faults;

#[test]
fn services_and_contract_agree_on_who_says_and_who_reads_what() {
    let faults = faults(&xtask::services(), EVENTS);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_wrong_topology_is_seen() {
    let placed: Vec<EventInfo> =
        EVENTS.iter().filter(|event| event.name.ends_with(".OrderPlaced")).copied().collect();
    let emits = |name| Service::named(name).emits::<OrderPlaced>().build();
    let cases = [
        (vec![], "nobody emits retail.order.OrderPlaced"),
        (vec![emits("orders"), emits("stock")], "more than one emitter"),
        (vec![emits("stock")], "stock emits retail.order.OrderPlaced, but orders owns its topic"),
        (
            vec![emits("orders"), Service::named("a").emits::<StockReserved>().build()],
            "no fact of the contract",
        ),
        (vec![stock::service()], "which nobody emits"),
        (vec![emits("orders"), stock::service()], "topics.toml says that"),
    ];
    for (services, wanted) in cases {
        let found = faults(&services, &placed).join("\n");
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
}
