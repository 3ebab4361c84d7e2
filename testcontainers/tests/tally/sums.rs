//! The rows of `tally`: a sum for each book.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Decide, Emit, Envelope, Fault, Poison, Sweep, Tx, WorkingSet};
use sqlx::Row;

use super::facts::{Book, Noted, Tallied};

/// The tables of `tally`.
pub(crate) static TALLY_MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("tests/tally/migrations/tally");

/// An amount no decision accepts.
pub(crate) const POISON: i64 = 13;
/// An amount that is accepted later: when its book is pardoned.
pub(crate) const LATE: i64 = 15;
/// An amount at which the process ends.
pub(crate) const DEADLY: i64 = 16;
/// An amount at which the decision panics.
pub(crate) const PANIC: i64 = 14;

/// Sums by book.
pub(crate) struct Sums(BTreeMap<String, Sum>);

struct Sum {
    total: i64,
    notes: i64,
    /// Somebody repaired what was wrong with the book: every amount is accepted.
    pardoned: bool,
    changed: bool,
}

impl WorkingSet for Sums {
    type Keys = BTreeSet<String>;

    async fn load(tx: &mut Tx, keys: &Self::Keys) -> Result<Self, Fault> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let rows = sqlx::query(
            "SELECT book, total, notes, pardoned FROM book WHERE book = ANY($1) ORDER BY book FOR UPDATE",
        )
        .bind(keys)
        .fetch_all(tx.db())
        .await?;
        let sum = |row: &sqlx::postgres::PgRow| {
            let (total, notes, pardoned) = (row.get(1), row.get(2), row.get(3));
            (row.get(0), Sum { total, notes, pardoned, changed: false })
        };
        Ok(Self(rows.iter().map(sum).collect()))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        let changed: Vec<(String, Sum)> =
            self.0.into_iter().filter(|(_, sum)| sum.changed).collect();
        let books: Vec<&str> = changed.iter().map(|(book, _)| book.as_str()).collect();
        let totals: Vec<i64> = changed.iter().map(|(_, sum)| sum.total).collect();
        let notes: Vec<i64> = changed.iter().map(|(_, sum)| sum.notes).collect();
        sqlx::query(
            "INSERT INTO book (book, total, notes)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
             ON CONFLICT (book) DO UPDATE SET total = EXCLUDED.total, notes = EXCLUDED.notes",
        )
        .bind(books)
        .bind(totals)
        .bind(notes)
        .execute(tx.db())
        .await?;
        Ok(())
    }
}

impl Decide<Noted> for Sums {
    fn keys(fact: &Envelope<Noted>, keys: &mut Self::Keys) {
        keys.insert(fact.key.0.clone());
    }

    fn decide(&mut self, fact: &Envelope<Noted>, emit: &mut Emit) -> Result<(), Poison> {
        let amount = fact.event.amount;
        let pardoned = self.0.get(&fact.key.0).is_some_and(|sum| sum.pardoned);
        match amount {
            POISON if !pardoned => return Err(Poison::new("13 cannot be noted")),
            LATE if !pardoned => return Err(Poison::coded("late", "15 comes too early").again()),
            DEADLY if !pardoned => std::process::abort(),
            _ => assert!(amount != PANIC || pardoned, "14 breaks the decision"),
        }
        let empty = Sum { total: 0, notes: 0, pardoned: false, changed: true };
        let sum = self.0.entry(fact.key.0.clone()).or_insert(empty);
        sum.total += amount;
        sum.notes += 1;
        sum.changed = true;
        emit.fact(Tallied { book: Book(fact.key.0.clone()), total: sum.total });
        Ok(())
    }
}

/// Nothing ever falls due; the sweep is there so that its transaction is exercised.
impl Sweep for Sums {
    async fn due(_tx: &mut Tx, _limit: i64) -> Result<(Self::Keys, usize), Fault> {
        Ok((BTreeSet::new(), 0))
    }

    fn sweep(&mut self, _emit: &mut Emit) -> Result<(), Poison> {
        Ok(())
    }
}
