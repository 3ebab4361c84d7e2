//! The transport seen from outside, when everything has come to rest: what each service wrote to
//! its outbox, what lies in the topics, and what each reader took in. Every answer is a list of
//! offenders, which should be empty. It reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::eventually;
use millrace::Service;
use schemas::{OrderId, topics};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::facts::{Fact, Log, OF_ORDERS};
use super::report::Tale;
use crate::house::{self, House};

/// So many offenders are shown; the first tells as much as all of them.
const SHOWN_MAX: usize = 3;

/// Everything that was published in a world.
#[derive(Debug)]
pub(super) struct Published {
    /// Each fact once, by topic, partition and offset.
    pub(super) facts: Vec<Fact>,
    /// Records that repeat one before.
    pub(super) repeated: usize,
}

/// A service and the database in which it keeps what it did.
pub(super) struct Books {
    pub(super) service: Service,
    pub(super) database: PgPool,
}

impl Published {
    /// Reads all topics.
    pub(super) async fn read(log: &Log) -> Result<Self> {
        let mut facts = log.read(topics::ALL).await?;
        let records = facts.len();
        let mut seen = BTreeSet::new();
        facts.retain(|fact| seen.insert(fact.id));
        Ok(Self { repeated: records - facts.len(), facts })
    }

    /// The facts of an order, by topic.
    pub(super) fn of_order(&self, order: OrderId) -> Vec<Fact> {
        let key = order.to_string();
        let of_order = self.facts.iter().filter(|fact| {
            fact.key == key && OF_ORDERS.iter().any(|topic| topic.name == fact.topic)
        });
        of_order.cloned().collect()
    }

    /// The facts of these names.
    fn named(&self, names: &BTreeSet<&str>) -> BTreeMap<Uuid, &Fact> {
        let named = self.facts.iter().filter(|fact| names.contains(fact.name.as_str()));
        named.map(|fact| (fact.id, fact)).collect()
    }
}

/// What the books of the services say against the topics: four lists of offenders.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Announced, but in no topic.
    lost: Vec<String>,
    /// In a topic, but never announced.
    made_up: Vec<String>,
    /// In a topic, but not taken in by one who reads it.
    unheard: Vec<String>,
    /// Taken in, but in no topic.
    unasked: Vec<String>,
}

impl Books {
    /// The books of every service of a house.
    pub(super) fn of(house: &House) -> Result<Vec<Self>> {
        let open = |name: &'static str| {
            let service = house::service(name).context("a service of the house")?();
            let pool = PgPoolOptions::new().max_connections(2);
            let database = pool.connect_lazy(house.config(name)?.database.url())?;
            Ok(Self { service, database })
        };
        house::names().map(open).collect()
    }

    /// The books of one service.
    pub(super) fn named<'a>(all: &'a [Self], service: &str) -> Result<&'a Self> {
        let found = all.iter().find(|books| books.service.name() == service);
        found.with_context(|| format!("there is no service {service}"))
    }

    /// A view keeps positions where others keep an inbox.
    fn is_view(&self) -> bool {
        self.service.is_view()
    }
}

impl Review {
    /// Reads the books after the topics. Inboxes come before outboxes: what is announced because
    /// of a fact in an inbox is then seen as well.
    pub(super) async fn of(published: &Published, all: &[Books]) -> Result<Self> {
        let mut review = Self::default();
        for books in all {
            review.heard(published, books).await?;
        }
        for books in all {
            review.said(published, books).await?;
        }
        Ok(review)
    }

    /// Whether nothing is on its way: all that was announced is published and was taken in.
    fn is_quiet(&self) -> bool {
        self.lost.is_empty() && self.unheard.is_empty()
    }

    async fn heard(&mut self, published: &Published, books: &Books) -> Result<()> {
        let name = books.service.name();
        let read: BTreeSet<&str> = books.service.reads().iter().map(|(fact, _)| *fact).collect();
        let there = published.named(&read);
        if books.is_view() {
            let folded = positions(&books.database).await?;
            let behind = there.values().filter(|fact| {
                let place = (fact.topic.to_owned(), fact.partition);
                folded.get(&place).is_none_or(|next| *next <= fact.offset)
            });
            self.unheard.extend(behind.map(|fact| offender(name)(&fact.id)));
            return Ok(());
        }
        let inbox = ids("SELECT event_id FROM millrace.inbox", &books.database).await?;
        let unheard = there.keys().filter(|id| !inbox.contains(id));
        self.unheard.extend(unheard.map(offender(name)));
        let unasked = inbox.iter().filter(|id| !there.contains_key(id));
        self.unasked.extend(unasked.map(offender(name)));
        Ok(())
    }

    async fn said(&mut self, published: &Published, books: &Books) -> Result<()> {
        let name = books.service.name();
        let emits: BTreeSet<&str> = books.service.emits().iter().map(|(fact, _)| *fact).collect();
        let there = published.named(&emits);
        // Dead letters and records for operators leave by the same way; they are not facts.
        let facts = "SELECT event_id FROM millrace.outbox WHERE raw_headers IS NULL";
        let outbox = ids(facts, &books.database).await?;
        let lost = outbox.iter().filter(|id| !there.contains_key(id));
        self.lost.extend(lost.map(offender(name)));
        let made_up = there.keys().filter(|id| !outbox.contains(id));
        self.made_up.extend(made_up.map(offender(name)));
        Ok(())
    }
}

/// Waits until nothing is on its way any more.
pub(super) async fn until_quiet(
    log: &Log,
    books: &[Books],
    deadline: Duration,
) -> Result<Published> {
    eventually(deadline, "everything comes to rest", async || {
        let published = Published::read(log).await.map_err(|error| error.to_string())?;
        let review = Review::of(&published, books).await.map_err(|error| error.to_string())?;
        if review.is_quiet() { Ok(published) } else { Err(format!("{review:?}")) }
    })
    .await
}

/// No fact is lost, made up or taken in twice, and every key is in order.
pub(super) async fn check(tale: &mut Tale, published: &Published, books: &[Books]) -> Result<()> {
    let Review { lost, made_up, unheard, unasked } = Review::of(published, books).await?;
    let mut expect_none = |what: &str, offenders: &[String]| {
        tale.expect(what, [""; 0], few(offenders));
    };
    expect_none("facts of an outbox that are in no topic", &lost);
    expect_none("facts of a topic that are in no outbox", &made_up);
    expect_none("facts that a reader never took in", &unheard);
    expect_none("facts in an inbox that are in no topic", &unasked);
    expect_none("keys whose versions are not 1, 2, 3", &disordered(published));
    Ok(())
}

/// A short list, with the number of those that are left out.
pub(super) fn few(offenders: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = offenders.iter().take(SHOWN_MAX).cloned().collect();
    if offenders.len() > SHOWN_MAX {
        shown.push(format!("and {} more", offenders.len() - SHOWN_MAX));
    }
    shown
}

fn offender(service: &str) -> impl Fn(&Uuid) -> String + '_ {
    move |id| format!("{service}: {id}")
}

async fn ids(query: &'static str, database: &PgPool) -> Result<BTreeSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(query).fetch_all(database).await?;
    Ok(ids.into_iter().collect())
}

/// How far a view has folded each partition.
pub(super) async fn positions(database: &PgPool) -> Result<BTreeMap<(String, i32), i64>> {
    let rows: Vec<(String, i32, i64)> =
        sqlx::query_as(r#"SELECT topic, "partition", next_offset FROM millrace.view_position"#)
            .fetch_all(database)
            .await
            .context("reading the positions of a view")?;
    Ok(rows.into_iter().map(|(topic, partition, next)| ((topic, partition), next)).collect())
}

/// Keys of a topic whose facts, in the order of the log, do not count 1, 2, 3.
fn disordered(published: &Published) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut offenders = BTreeSet::new();
    for fact in &published.facts {
        let last = last.entry((fact.topic, &fact.key)).or_default();
        if fact.version != *last + 1 {
            offenders.insert(format!("{} {}", fact.topic, fact.key));
        }
        *last = fact.version;
    }
    offenders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(facts: &[(&str, u64)]) -> Published {
        let fact = |(key, version): &(&str, u64)| {
            let mut fact = Fact::for_test("retail.order.OrderPlaced", "orders");
            (fact.key, fact.version) = ((*key).to_owned(), *version);
            fact
        };
        Published { facts: facts.iter().map(fact).collect(), repeated: 0 }
    }

    #[test]
    fn versions_count_up_for_each_key_alone() {
        assert_eq!(disordered(&published(&[("a", 1), ("b", 1), ("a", 2), ("b", 2)])), [""; 0]);
        for wrong in [&[("a", 2)][..], &[("a", 1), ("a", 3)], &[("a", 1), ("a", 2), ("a", 1)]] {
            assert_eq!(disordered(&published(wrong)).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_long_list_of_offenders_is_cut() {
        let offenders: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        assert_eq!(few(&offenders), ["0", "1", "2", "and 6 more"]);
        assert_eq!(few(&offenders[..2]), ["0", "1"]);
    }
}
