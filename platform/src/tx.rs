//! The open database transaction: the only thing that can write, and the only thing that can
//! announce. Dropped before its commit, it takes its connection with it, so that nothing half
//! done survives a cancelled request or a frozen server.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_contract::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Row};

use crate::outbox::{Fresh, Outgoing, Place};
use crate::{Fault, parking};

/// An open transaction, or for a query a plain connection.
pub struct Tx {
    conn: Option<Conn>,
    open: bool,
    now: Timestamp,
    settings: Arc<dyn Any + Send + Sync>,
    /// Where what it announces goes when it is committed; a connection for queries announces nothing.
    fresh: Option<Arc<Fresh>>,
    announced: Vec<Place>,
}

enum Conn {
    Pooled(PoolConnection<Postgres>),
    /// It goes back where it came from with the commit.
    OfLine(Box<Lined>, Line),
}

struct Lined {
    conn: PgConnection,
    begun: u64,
}

/// A connection for whoever begins one transaction after the other. A pool asks the server up to three times
/// whether a connection still lives, for each transaction; here the BEGIN shows it.
#[derive(Clone)]
pub(crate) struct Line {
    options: Arc<PgConnectOptions>,
    /// While no transaction has it.
    kept: Arc<Mutex<Option<Box<Lined>>>>,
}

/// How the server plans what is said by keys, batch after batch and command after command: each statement
/// once for a connection, which costs less than half of planning it anew for every record. A plan that is
/// made while the tables are empty must do when they are large: every row is looked up by its index, one
/// after the other, and never found by walking a whole table or the whole index of one. To read a page of an
/// index must cost next to nothing for that: of a table of one or two pages all is read as cheaply as ten
/// rows of it, and which of the two it is would be left to chance.
const BY_KEYS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("random_page_cost", "0.1"),
];
/// The same for one transaction, and when it began.
const BEGIN: &str = "BEGIN;
    SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_material = off; SET LOCAL random_page_cost = 0.1;
    SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint";
const BEGIN_ON_LINE: &str =
    "BEGIN; SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint";
const BEGIN_AND_PLAN_ANEW: &str = "BEGIN; DISCARD PLANS;
    SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint";
/// Plans of a line are not used longer than for so many transactions.
const PLANS_MAX: u64 = 1024;

impl Lined {
    /// How the next transaction begins. A table that was analysed with less than a handful of rows is walked
    /// through by its index whatever the costs are, and would be when it has a million: plans are made anew
    /// whenever there were twice as many transactions, by the size that the table has then.
    fn begin(&mut self) -> &'static str {
        self.begun += 1;
        if self.begun.is_power_of_two() || self.begun.is_multiple_of(PLANS_MAX) {
            BEGIN_AND_PLAN_ANEW
        } else {
            BEGIN_ON_LINE
        }
    }
}

impl Line {
    pub(crate) fn new(options: &PgConnectOptions) -> Self {
        let options = options.clone().options(BY_KEYS);
        Self { options: Arc::new(options), kept: Arc::default() }
    }

    fn take(&self) -> Option<Box<Lined>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, lined: Box<Lined>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(lined);
    }

    /// Says goodbye to the server. It may be used again.
    pub(crate) async fn close(&self) {
        if let Some(lined) = self.take()
            && let Err(error) = lined.conn.close().await
        {
            tracing::debug!(%error, "a connection did not close");
        }
    }
}

impl Tx {
    /// Opens a transaction and learns its time.
    pub(crate) async fn begin(
        pool: &PgPool,
        settings: Arc<dyn Any + Send + Sync>,
        fresh: Arc<Fresh>,
    ) -> Result<Self, Fault> {
        // Nothing was done yet: one that died a moment ago is exchanged.
        let conn = Conn::Pooled(pool.acquire().await?);
        match Self::begun(conn, settings.clone(), fresh.clone()).await {
            Ok(tx) => Ok(tx),
            Err(_) => Self::begun(Conn::Pooled(pool.acquire().await?), settings, fresh).await,
        }
    }

    /// Opens a transaction on a line of one's own.
    pub(crate) async fn begin_on(
        line: &Line,
        settings: Arc<dyn Any + Send + Sync>,
        fresh: Arc<Fresh>,
    ) -> Result<Self, Fault> {
        if let Some(kept) = line.take() {
            let conn = Conn::OfLine(kept, line.clone());
            if let Ok(tx) = Self::begun(conn, settings.clone(), fresh.clone()).await {
                return Ok(tx);
            }
        }
        let conn = PgConnection::connect_with(&line.options).await?;
        let new = Box::new(Lined { conn, begun: 0 });
        Self::begun(Conn::OfLine(new, line.clone()), settings, fresh).await
    }

    async fn begun(
        conn: Conn,
        settings: Arc<dyn Any + Send + Sync>,
        fresh: Arc<Fresh>,
    ) -> Result<Self, Fault> {
        // From here on it counts as open: a BEGIN that is cut off may still have begun.
        let (now, fresh) = (Timestamp::default(), Some(fresh));
        let mut tx = Self { conn: Some(conn), open: true, now, settings, fresh, announced: vec![] };
        // In one message: every batch and every command begins with it.
        let begin = match &mut tx.conn {
            Some(Conn::OfLine(lined, _)) => lined.begin(),
            _ => BEGIN,
        };
        let begun = sqlx::raw_sql(begin).fetch_all(tx.db()).await?;
        let micros = begun.last().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        tx.now = Timestamp::from_micros(micros).unwrap_or_default();
        Ok(tx)
    }

    /// Takes a connection for queries; what is written through it is not announced.
    pub(crate) async fn read(
        pool: &PgPool,
        settings: Arc<dyn Any + Send + Sync>,
    ) -> Result<Self, Fault> {
        let (conn, now) = (pool.acquire().await?, time::OffsetDateTime::now_utc().into());
        let conn = Some(Conn::Pooled(conn));
        Ok(Self { conn, open: false, now, settings, fresh: None, announced: vec![] })
    }

    /// The connection, for statements of the service's own store.
    pub fn db(&mut self) -> &mut PgConnection {
        match self.conn.as_mut() {
            Some(Conn::Pooled(conn)) => conn,
            Some(Conn::OfLine(lined, _)) => &mut lined.conn,
            None => unreachable!("the connection leaves only with commit, rollback or drop"),
        }
    }

    /// When the transaction began, by the database's clock. Of a connection for queries, which are not
    /// worth a question of its own: when it was taken, by the clock of this process.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The service's own settings, of the type given to `ServiceBuilder::settings`.
    pub fn settings<S: Default + Send + Sync + 'static>(&self) -> Arc<S> {
        self.settings.clone().downcast::<S>().unwrap_or_default()
    }

    /// Why the rows of these keys may be behind what was said of them: of each key of which records
    /// wait in this group, the fault of the first one. Other keys are left out.
    ///
    /// # Errors
    /// `Transient` when the database does not answer.
    pub async fn stale(&mut self, keys: &[String]) -> Result<HashMap<String, String>, Fault> {
        parking::store::reasons(self.db(), keys).await
    }

    /// Hands facts that it has written to the relay, which may send them when this is committed.
    pub(crate) fn hand_over(&mut self, rows: Vec<Outgoing>) {
        self.announced.extend(self.fresh.as_ref().map(|fresh| fresh.place(rows)));
    }

    /// The relay finds what it has written in the table.
    pub(crate) fn leave_to_the_table(&mut self) {
        self.announced.extend(self.fresh.as_ref().map(Fresh::beside));
    }

    /// When it fails it is not known whether the transaction is committed.
    pub(crate) async fn commit(mut self) -> Result<(), Fault> {
        sqlx::raw_sql("COMMIT").execute(self.db()).await?;
        self.announced.drain(..).for_each(Place::committed);
        self.end();
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Fault> {
        sqlx::raw_sql("ROLLBACK").execute(self.db()).await?;
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        self.open = false;
        if let Some(Conn::OfLine(lined, line)) = self.conn.take() {
            line.give(lined);
        }
    }
}

impl Drop for Tx {
    /// A transaction nobody finished may hang in the middle of a statement: its connection is
    /// closed rather than given back, and the server rolls back.
    fn drop(&mut self) {
        if let (true, Some(Conn::Pooled(conn))) = (self.open, self.conn.take()) {
            drop(conn.detach());
        }
    }
}
