//! Verification: every chain is computed again from what is in the database, read in batches and in
//! one snapshot. It writes nothing.

use std::collections::BTreeMap;

use schemas::OrderId;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::domain::chain::{Broken, Hash, Link};
use crate::store::{ENTRY, EntryRow};

/// Heads and entries read at a time.
const HEADS: i64 = 500;
const ENTRIES: i64 = 1000;
/// Broken links that are told; more are only counted.
const BROKEN_MAX: usize = 100;

/// The end of a chain at an earlier time, as somebody wrote it down outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The order.
    pub order: OrderId,
    /// The end of its chain then.
    pub link: Link,
}

/// A place where a chain is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLink {
    /// The order.
    pub order: OrderId,
    /// The entry's place; one behind the last when entries are missing at the end.
    pub seq: u64,
    /// What differs.
    pub what: String,
}

/// What a verification has found so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Orders looked at.
    pub orders: u64,
    /// Entries looked at.
    pub entries: u64,
    /// The first broken link of each order, at most a hundred of them.
    pub broken: Vec<BrokenLink>,
    /// Orders that have one.
    pub broken_orders: u64,
}

/// Anchors in the order of their orders, and where the ends of chains are written down.
pub trait Anchors {
    /// The next anchor of an order up to this one, or of any when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn next(&mut self, up_to: Option<OrderId>) -> Result<Option<Anchor>, String>;

    /// Writes down the end of a chain that is whole.
    ///
    /// # Errors
    /// When it cannot be written.
    fn note(&mut self, anchor: Anchor) -> Result<(), String>;
}

/// No anchors.
#[derive(Debug, Default)]
pub struct Unanchored;

impl Anchors for Unanchored {
    fn next(&mut self, _up_to: Option<OrderId>) -> Result<Option<Anchor>, String> {
        Ok(None)
    }

    fn note(&mut self, _anchor: Anchor) -> Result<(), String> {
        Ok(())
    }
}

/// Why a verification could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database does not answer, or refuses.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Anchors cannot be read or written.
    #[error("anchors: {0}")]
    Anchors(String),
}

/// Computes the chains of all orders, or of one, and tells how far it is after each batch.
///
/// # Errors
/// When the database or the anchors cannot be used; a broken chain is no error but a finding.
pub async fn verify(
    db: &mut PgConnection,
    only: Option<OrderId>,
    anchors: &mut dyn Anchors,
    tell: &mut (dyn FnMut(&Report) + Send),
) -> Result<Report, VerifyError> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *db).await?;
    let mut walk = Walk { report: Report::default(), anchors };
    let (mut after, last) = match only {
        Some(order) => (order.uuid().as_u128().checked_sub(1).map(Uuid::from_u128), order.uuid()),
        None => (None, Uuid::max()),
    };
    loop {
        let heads = heads(db, after, last).await?;
        let end = heads.keys().next_back().copied().filter(|_| heads.len() as i64 == HEADS);
        let mut chains: BTreeMap<Uuid, Chain> =
            heads.into_iter().map(|(order, head)| (order, Chain::of(head))).collect();
        walk_entries(db, after, end.unwrap_or(last), &mut chains, &mut walk.report).await?;
        for (order, chain) in chains {
            walk.conclude(OrderId::new(order), chain)?;
        }
        tell(&walk.report);
        match end {
            Some(end) => after = Some(end),
            None => break,
        }
    }
    if only.is_none() {
        walk.unknown(None)?;
    }
    sqlx::raw_sql("COMMIT").execute(&mut *db).await?;
    Ok(walk.report)
}

/// A chain on its way.
struct Chain {
    /// What the head says; `None` when there is no head.
    head: Option<Result<Link, String>>,
    link: Link,
    /// Hashes after each entry, as far as it is whole.
    hashes: Vec<Hash>,
    broken: Option<(u64, String)>,
}

struct Walk<'a> {
    report: Report,
    anchors: &'a mut dyn Anchors,
}

impl Chain {
    fn of(head: Option<Result<Link, String>>) -> Self {
        Self { head, link: Link::default(), hashes: vec![], broken: None }
    }

    fn follow(&mut self, row: EntryRow) {
        if self.broken.is_some() {
            return;
        }
        let seq = row.seq.unsigned_abs();
        let followed = match row.entry() {
            Err(what) => Err((seq, what.to_owned())),
            Ok(entry) => self.link.follow(&entry).map_err(|broken| match broken {
                Broken::Missing { wanted, .. } => (wanted, broken.to_string()),
                other => (seq, other.to_string()),
            }),
        };
        match followed {
            Ok(()) => self.hashes.push(self.link.hash),
            Err(broken) => self.broken = Some(broken),
        }
    }

    /// The first broken link, after all entries were followed.
    fn end(&self) -> Option<(u64, String)> {
        if self.broken.is_some() {
            return self.broken.clone();
        }
        let Link { length, hash } = self.link;
        match &self.head {
            None => Some((1, "its head is missing".to_owned())),
            Some(Err(what)) => Some((length, what.clone())),
            Some(Ok(head)) if head.length > length => Some((
                length + 1,
                format!("its head counts {} entries, {length} are there", head.length),
            )),
            Some(Ok(head)) if *head != self.link => Some((
                length,
                format!("its head ends with entry {} and {}, not {hash}", head.length, head.hash),
            )),
            Some(Ok(_)) => None,
        }
    }

    fn anchored(&self, anchor: Link) -> Option<(u64, String)> {
        let place = usize::try_from(anchor.length).ok()?;
        let there = place.checked_sub(1).map(|place| self.hashes.get(place));
        match there {
            None => None,
            Some(Some(hash)) if *hash == anchor.hash => None,
            Some(Some(hash)) => {
                Some((anchor.length, format!("it was anchored with {}, it is {hash}", anchor.hash)))
            }
            Some(None) => {
                let (seq, there) = (self.link.length + 1, self.link.length);
                Some((seq, format!("{} entries were anchored, {there} are there", anchor.length)))
            }
        }
    }
}

impl Walk<'_> {
    fn conclude(&mut self, order: OrderId, chain: Chain) -> Result<(), VerifyError> {
        self.report.orders += 1;
        let mut broken = chain.end();
        if let Some(anchor) = self.unknown(Some(order))? {
            broken = broken.or_else(|| chain.anchored(anchor.link));
        }
        match broken {
            None => {
                let anchor = Anchor { order, link: chain.link };
                self.anchors.note(anchor).map_err(VerifyError::Anchors)
            }
            Some((seq, what)) => {
                self.broken(order, seq, what);
                Ok(())
            }
        }
    }

    /// Reads anchors up to an order and gives that of the order itself; those in between are of
    /// orders that are gone.
    fn unknown(&mut self, up_to: Option<OrderId>) -> Result<Option<Anchor>, VerifyError> {
        while let Some(anchor) = self.anchors.next(up_to).map_err(VerifyError::Anchors)? {
            if Some(anchor.order) == up_to {
                return Ok(Some(anchor));
            }
            let length = anchor.link.length;
            self.broken(anchor.order, 1, format!("{length} entries were anchored, none is there"));
        }
        Ok(None)
    }

    fn broken(&mut self, order: OrderId, seq: u64, what: String) {
        self.report.broken_orders += 1;
        if self.report.broken.len() < BROKEN_MAX {
            self.report.broken.push(BrokenLink { order, seq, what });
        }
    }
}

type Heads = BTreeMap<Uuid, Option<Result<Link, String>>>;

async fn heads(
    db: &mut PgConnection,
    after: Option<Uuid>,
    last: Uuid,
) -> Result<Heads, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT order_id, length, hash FROM head
         WHERE ($1::uuid IS NULL OR order_id > $1) AND order_id <= $2
         ORDER BY order_id LIMIT $3",
    )
    .bind(after)
    .bind(last)
    .bind(HEADS)
    .fetch_all(db)
    .await?;
    let head = |row: &sqlx::postgres::PgRow| {
        let (length, hash): (i64, &[u8]) = (row.get(1), row.get(2));
        let hash = Hash::from_bytes(hash).ok_or("the hash of its head has not 32 bytes");
        let link = hash.map(|hash| Link { length: length.unsigned_abs(), hash });
        (row.get(0), Some(link.map_err(str::to_owned)))
    };
    Ok(rows.iter().map(head).collect())
}

/// Follows the entries of a range of orders in their order.
async fn walk_entries(
    db: &mut PgConnection,
    after: Option<Uuid>,
    last: Uuid,
    chains: &mut BTreeMap<Uuid, Chain>,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let select = format!(
        "SELECT {ENTRY} FROM entry
         WHERE ($1::uuid IS NULL OR (order_id, seq) > ($1, $2)) AND order_id <= $3
         ORDER BY order_id, seq LIMIT $4"
    );
    let mut at = (after, i64::MAX);
    loop {
        // The columns are a constant of ours.
        let rows: Vec<EntryRow> = sqlx::query_as(AssertSqlSafe(select.as_str()))
            .bind(at.0)
            .bind(at.1)
            .bind(last)
            .bind(ENTRIES)
            .fetch_all(&mut *db)
            .await?;
        let full = rows.len() as i64 == ENTRIES;
        report.entries += rows.len() as u64;
        for row in rows {
            at = (Some(row.order_id), row.seq);
            chains.entry(row.order_id).or_insert_with(|| Chain::of(None)).follow(row);
        }
        if !full {
            return Ok(());
        }
    }
}
