//! I13 and I14: what a client sees never goes back, and one key is one order with one answer.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Act, Index, Op, Report, Seen, Step, ops};

use super::order::Stored;
use super::rows;

/// A request, where in the history it ended, and what it showed.
type Look<'a> = (&'a Op, usize, &'a Seen);

/// For each client and order: a look that began after another had ended shows no less.
pub(super) fn monotone(index: &Index<'_>, report: &mut Report) {
    let ops = ops(&index.evidence.history);
    let mut looks: BTreeMap<(&str, &str), Vec<Look<'_>>> = BTreeMap::new();
    for op in ops.iter().filter(|op| op.act == Act::Read) {
        let Some((ended, Step::Ok { seen: Some(seen), .. })) = &op.end else { continue };
        let order = op.subject.as_deref().unwrap_or_default();
        looks.entry((&op.client, order)).or_default().push((op, *ended, seen));
        let enough = op.token.is_none_or(|token| seen.version >= token);
        report.expect(enough, order, || {
            format!("{} asked for v{:?} and saw v{}", op.client, op.token, seen.version)
        });
    }
    for ((client, order), looks) in looks {
        for (at, (op, _, later)) in looks.iter().enumerate() {
            let before = looks[..at].iter().filter(|(_, ended, _)| *ended < op.op as usize);
            for (_, _, earlier) in before {
                let good = later.version >= earlier.version && follows(earlier, later);
                report.expect(good, order, || {
                    let (was, is) = (&earlier.status, &later.status);
                    let (from, to) = (earlier.version, later.version);
                    format!("{client} saw {was} v{from} and then {is} v{to}")
                });
            }
        }
    }
}

/// An order goes forward, and an end stays as it is.
fn follows(earlier: &Seen, later: &Seen) -> bool {
    let rank = |seen: &Seen| match seen.status.as_str() {
        "placed" => 0,
        "reserved" => 1,
        "paid" => 2,
        _ => 3,
    };
    match (rank(earlier), rank(later)) {
        (3, 3) => earlier.status == later.status,
        (before, after) => before <= after,
    }
}

/// One key, one order, one answer; one order, one key.
pub(super) fn idempotent(index: &Index<'_>, report: &mut Report) {
    let mut answers: BTreeMap<String, BTreeSet<(Option<String>, String)>> = BTreeMap::new();
    for op in ops(&index.evidence.history).into_iter().filter(|op| op.act == Act::Place) {
        let (Some(key), Some((_, Step::Ok { subject, answer, .. }))) = (op.key, op.end) else {
            continue;
        };
        answers.entry(key).or_default().insert((subject, answer));
    }
    let stored: Vec<Stored> = rows(index, "orders", "idempotency");
    let mut orders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut kept: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for row in &stored {
        kept.entry(&row.key).or_default().push(row);
        if let Some(order) = row.order() {
            orders.entry(order).or_default().insert(&row.key);
        }
    }
    for (key, answers) in &answers {
        let order = answers.iter().find_map(|(order, _)| order.as_deref()).unwrap_or_default();
        report.expect(answers.len() == 1, order, || {
            format!("key {key} was answered in {} ways", answers.len())
        });
        let kept = kept.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        report.expect(kept.len() == 1, order, || {
            format!("{} answers are kept under key {key}", kept.len())
        });
        let same = kept.iter().all(|row| row.order() == Some(order));
        report.expect(same, order, || format!("another answer is kept under key {key}"));
        orders.entry(order).or_default().insert(key);
    }
    for (order, keys) in orders.into_iter().filter(|(order, _)| !order.is_empty()) {
        report.expect(keys.len() == 1, order, || format!("the order was made under {keys:?}"));
    }
}
