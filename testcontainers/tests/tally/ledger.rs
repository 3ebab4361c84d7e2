//! The view of the sums.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Envelope, Fault, Fold, Tx, View, WorkingSet};
use sqlx::Row;

use super::facts::Tallied;

/// The table of `ledger`.
pub(crate) static LEDGER_MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("tests/tally/migrations/ledger");

/// Shown sums by book, so many times what they are. None at all cannot be shown of one book.
pub(crate) struct Ledger<const TIMES: i64 = 1>(BTreeMap<String, Shown>);

/// The book that a ledger of nothing cannot show.
pub(crate) const UNSPEAKABLE: &str = "book-3";

struct Shown {
    partition: i32,
    total: i64,
    version: i64,
    folded: i64,
}

impl<const TIMES: i64> WorkingSet for Ledger<TIMES> {
    type Keys = BTreeSet<String>;

    async fn load(tx: &mut Tx, keys: &Self::Keys) -> Result<Self, Fault> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let rows = sqlx::query(
            r#"SELECT book, "partition", total, version, folded FROM shown
               WHERE book = ANY($1) ORDER BY book FOR UPDATE"#,
        )
        .bind(keys)
        .fetch_all(tx.db())
        .await?;
        let shown = |row: &sqlx::postgres::PgRow| {
            let (partition, total) = (row.get(1), row.get(2));
            (row.get(0), Shown { partition, total, version: row.get(3), folded: row.get(4) })
        };
        Ok(Self(rows.iter().map(shown).collect()))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        let rows: Vec<(String, Shown)> = self.0.into_iter().collect();
        let column = |pick: fn(&Shown) -> i64| -> Vec<i64> {
            rows.iter().map(|(_, shown)| pick(shown)).collect()
        };
        sqlx::query(
            r#"INSERT INTO shown (book, "partition", total, version, folded)
               SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[])
               ON CONFLICT (book) DO UPDATE
               SET total = EXCLUDED.total, version = EXCLUDED.version, folded = EXCLUDED.folded"#,
        )
        .bind(rows.iter().map(|(book, _)| book.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, shown)| shown.partition).collect::<Vec<_>>())
        .bind(column(|shown| shown.total))
        .bind(column(|shown| shown.version))
        .bind(column(|shown| shown.folded))
        .execute(tx.db())
        .await?;
        Ok(())
    }
}

impl<const TIMES: i64> View for Ledger<TIMES> {
    const TABLES: &'static [&'static str] = &["shown"];

    async fn wipe(tx: &mut Tx, _topic: &str, partition: i32) -> Result<(), Fault> {
        sqlx::query(r#"DELETE FROM shown WHERE "partition" = $1"#)
            .bind(partition)
            .execute(tx.db())
            .await?;
        Ok(())
    }
}

impl<const TIMES: i64> Fold<Tallied> for Ledger<TIMES> {
    fn keys(fact: &Envelope<Tallied>, keys: &mut Self::Keys) {
        keys.insert(fact.key.0.clone());
    }

    fn fold(&mut self, fact: &Envelope<Tallied>) {
        assert!(TIMES != 0 || fact.key.0 != UNSPEAKABLE, "nothing can be said of {UNSPEAKABLE}");
        let partition = fact.position.partition;
        let empty = Shown { partition, total: 0, version: 0, folded: 0 };
        let shown = self.0.entry(fact.key.0.clone()).or_insert(empty);
        shown.folded += 1;
        if fact.version as i64 > shown.version {
            shown.version = fact.version as i64;
            shown.total = fact.event.total * TIMES;
        }
    }
}
