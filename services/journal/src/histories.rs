//! The journal read order by order, in batches: for exports and for what would have been. It writes
//! nothing.

use std::collections::VecDeque;

use schemas::history::{Fact, Facts};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::decode::{Decoder, Said, fact};
use crate::domain::chain::Entry;
use crate::store::{ENTRY, EntryRow};

/// Entries read at a time.
const ENTRIES: i64 = 1000;
/// An order with more is read in parts.
const ORDER_ENTRIES_MAX: usize = 10_000;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database does not answer, or refuses.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The registry does not answer.
    #[error(transparent)]
    Registry(#[from] millrace::RegistryError),
    /// A row holds what the journal never writes.
    #[error("entry {seq} of order {order}: {what}; look at it with `millrace journal verify`")]
    Row {
        /// The order.
        order: Uuid,
        /// The entry's place.
        seq: i64,
        /// What is wrong.
        what: &'static str,
    },
}

/// Orders one after the other, with all that was said about each.
pub struct Histories<'a> {
    db: &'a mut PgConnection,
    decoder: Decoder,
    ready: VecDeque<Entry>,
    after: Option<(Uuid, i64)>,
    ended: bool,
}

impl<'a> Histories<'a> {
    /// Begins with the first order.
    pub fn new(db: &'a mut PgConnection, decoder: Decoder) -> Self {
        Self { db, decoder, ready: VecDeque::new(), after: None, ended: false }
    }

    /// The entries of the next order in their places; empty when there is no more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&mut self) -> Result<Vec<(Entry, Said)>, ReadError> {
        let mut entries: Vec<(Entry, Said)> = vec![];
        while entries.len() < ORDER_ENTRIES_MAX {
            if self.ready.is_empty() && !self.ended {
                self.fill().await?;
            }
            let same = |next: &Entry| {
                entries.first().is_none_or(|(first, _)| first.page.order == next.page.order)
            };
            if !self.ready.front().is_some_and(same) {
                break;
            }
            if let Some(entry) = self.ready.pop_front() {
                let said = self.decoder.read(&entry.page).await?;
                entries.push((entry, said));
            }
        }
        Ok(entries)
    }

    async fn fill(&mut self) -> Result<(), ReadError> {
        let (order, seq) = self.after.unzip();
        // The columns are a constant of ours.
        let select = format!(
            "SELECT {ENTRY} FROM entry WHERE $1::uuid IS NULL OR (order_id, seq) > ($1, $2)
             ORDER BY order_id, seq LIMIT $3"
        );
        let rows: Vec<EntryRow> = sqlx::query_as(AssertSqlSafe(select))
            .bind(order)
            .bind(seq)
            .bind(ENTRIES)
            .fetch_all(&mut *self.db)
            .await?;
        self.ended = (rows.len() as i64) < ENTRIES;
        for row in rows {
            let (order, seq) = (row.order_id, row.seq);
            self.after = Some((order, seq));
            let entry = row.entry().map_err(|what| ReadError::Row { order, seq, what })?;
            self.ready.push_back(entry);
        }
        Ok(())
    }
}

/// The facts of an order among what was said about it.
pub fn facts(entries: &[(Entry, Said)]) -> Option<Facts> {
    let told = |(entry, said): &(Entry, Said)| match said {
        Said::Fact(what) => Some(fact(&entry.page, (**what).clone())),
        Said::Other(_) | Said::Unreadable(_) => None,
    };
    let facts: Vec<Fact> = entries.iter().filter_map(told).collect();
    Facts::new(facts)
}
