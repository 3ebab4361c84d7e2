//! What must hold for the retailer: orders, goods, money and what customers see, judged over the
//! evidence by the flow as data. It reads what the services wrote and never calls their code.

mod client;
mod goods;
mod money;
mod order;
mod views;

use harness::check::{Effect, Index, Invariant, Ledgers};
use schemas::{OrderConfirmed, OrderPlaced};
use serde::de::DeserializeOwned;
use serde_json::Value;

use millrace::Event;

/// The invariants of the retailer.
pub(crate) const LAW: &[Invariant] = &[
    Invariant { id: "I1", name: "one end", check: order::one_end },
    Invariant { id: "I7", name: "stock", check: goods::stock },
    Invariant { id: "I8", name: "money", check: money::money },
    Invariant { id: "I9", name: "language", check: order::language },
    Invariant { id: "I10", name: "projection", check: views::projection },
    Invariant { id: "I13", name: "monotone", check: client::monotone },
    Invariant { id: "I14", name: "idempotent", check: client::idempotent },
    Invariant { id: "I15", name: "partner once", check: money::partner_once },
];

/// The retailer's own tables.
pub(crate) struct Books;

impl Ledgers for Books {
    fn queries(&self, service: &str) -> &'static [(&'static str, &'static str)] {
        match service {
            "catalogue" => &[("product", "SELECT to_jsonb(t) FROM product AS t")],
            "orders" => &[
                ("orders", "SELECT to_jsonb(t) FROM orders AS t"),
                ("product", "SELECT to_jsonb(t) FROM product AS t"),
                (
                    "idempotency",
                    "SELECT jsonb_build_object('key', key, 'status', status, 'body', body)
                     FROM millrace.idempotency",
                ),
            ],
            "stock" => &[
                ("level", "SELECT to_jsonb(t) FROM level AS t"),
                ("reservation", "SELECT to_jsonb(t) FROM reservation AS t"),
                ("stock_ledger", "SELECT to_jsonb(t) FROM stock_ledger AS t"),
            ],
            "payments" => &[
                ("account", "SELECT to_jsonb(t) FROM account AS t"),
                ("charge", "SELECT to_jsonb(t) FROM charge AS t"),
                ("money_ledger", "SELECT to_jsonb(t) FROM money_ledger AS t"),
            ],
            "sales" => &[("sale", "SELECT to_jsonb(t) FROM sale AS t")],
            "order-view" => {
                &[("order_view", "SELECT to_jsonb(t) - 'facts' - 'revision' FROM order_view AS t")]
            }
            _ => &[],
        }
    }

    fn effect(&self, _service: &str, table: &str, row: &Value) -> Option<Effect> {
        let place = match table {
            "stock_ledger" => format!("{}/{}", text(row, "store_id")?, text(row, "sku")?),
            "money_ledger" => text(row, "account")?.to_owned(),
            _ => return None,
        };
        // What no order asked for was asked for at the front door.
        text(row, "order_id")?;
        let cause = text(row, "cause")?.parse().ok()?;
        Some(Effect { cause, target: format!("{} {place}", text(row, "kind")?) })
    }
}

fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field)?.as_str()
}

/// Rows of a table of a service. A row that cannot be read is a defect of this module.
fn rows<T: DeserializeOwned>(index: &Index<'_>, service: &str, table: &str) -> Vec<T> {
    let rows = index.evidence.books(service).map_or(&[][..], |books| books.rows(table));
    let read = |row: &Value| {
        serde_json::from_value(row.clone())
            .unwrap_or_else(|error| panic!("{table}: {error}: {row}"))
    };
    rows.iter().map(read).collect()
}

/// An order and its facts, each once.
struct Life<'a> {
    order: &'a str,
    facts: Vec<&'a harness::check::Fact<'a>>,
}

impl<'a> Life<'a> {
    /// The lives of all orders of which a fact is known.
    fn all(index: &'a Index<'a>) -> Vec<Self> {
        let mut lives: std::collections::BTreeMap<&str, Vec<_>> = Default::default();
        for fact in index.once().filter(|fact| schemas::flow::step(fact.name).is_some()) {
            lives.entry(fact.key).or_default().push(fact);
        }
        lives.into_iter().map(|(order, facts)| Life { order, facts }).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.facts.iter().filter(|fact| fact.name == name).count()
    }

    fn has(&self, name: &str) -> bool {
        self.count(name) > 0
    }

    fn confirmed(&self) -> bool {
        self.has(OrderConfirmed::NAME)
    }

    /// A field of the fact of this name, at a path of names.
    fn field(&self, name: &str, path: &[&str]) -> Option<&'a Value> {
        let fact = self.facts.iter().find(|fact| fact.name == name)?;
        let first = fact.record.field(path.first()?)?;
        path[1..].iter().try_fold(first, |value, name| value.get(name))
    }

    /// What the order costs in minor units, as it was placed.
    fn total(&self) -> Option<i64> {
        self.field(OrderPlaced::NAME, &["total", "amount"])?.as_i64()
    }

    /// Pieces of each article in the lines of a fact.
    fn lines(&self, name: &str) -> std::collections::BTreeMap<&'a str, i64> {
        let lines = self.field(name, &["lines"]).and_then(Value::as_array);
        let line = |line: &'a Value| Some((text(line, "sku")?, line.get("quantity")?.as_i64()?));
        lines.into_iter().flatten().filter_map(line).collect()
    }
}
