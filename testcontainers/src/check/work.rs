//! What the traces say was worked on: which group handled which fact, where and when. Derived, never
//! judged.

use super::index::{Fact, Index};

/// One attempt at a fact that did not fail; its transaction may have been taken back all the same.
pub(super) struct Work<'a> {
    pub(super) group: &'a str,
    pub(super) fact: &'a Fact<'a>,
    /// It was read where it stands first, and is not a copy.
    pub(super) is_first: bool,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
}

/// All work that was exported. A view folds copies too and nothing comes of it: they are left out.
pub(super) fn work<'a>(index: &'a Index<'a>) -> impl Iterator<Item = Work<'a>> {
    index.evidence.spans.iter().filter_map(|span| {
        let attribute = |name: &str| span.attributes.get(name).map(String::as_str);
        if span.kind != "consumer" || attribute("error.type").is_some() {
            return None;
        }
        let fact = index.fact(attribute("messaging.message.id")?.parse().ok()?)?;
        let group = attribute("messaging.consumer.group.name")?;
        let number = |name: &str| attribute(name)?.parse::<i64>().ok();
        let partition = number("messaging.destination.partition.id")?;
        let offset = number("messaging.kafka.offset")?;
        let (_, at, first) = fact.place();
        let is_first = (partition, offset) == (at.into(), first);
        let books = index.evidence.services.iter().find(|books| books.group == group);
        let counts = is_first || books.is_some_and(|books| !books.is_view);
        counts.then_some(Work { group, fact, is_first, start: span.start })
    })
}
