//! A relay as it is often recommended: rows are locked with SKIP LOCKED, sent, and deleted, in one
//! transaction; it is woken in process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Place, Sold};

const BATCH: i64 = 500;
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Works until it is told to stop.
pub(crate) async fn run(place: Place, wake: Arc<Notify>, stop: CancellationToken) -> Result<()> {
    let producer = place.producer()?;
    let mut db = PgConnection::connect(&place.database).await?;
    while !stop.is_cancelled() {
        let mut tx = db.begin().await?;
        let rows = sqlx::query(
            "SELECT event_id, key, payload FROM outbox WHERE sent_at IS NULL
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        let sold: Vec<Sold> = rows
            .iter()
            .map(|row| Sold {
                id: row.get(0),
                key: row.get(1),
                payload: row.get(2),
                cause: row.get(0),
            })
            .collect();
        let sent =
            sold.iter().map(|sold| place.send(&producer, sold)).collect::<Result<Vec<_>>>()?;
        for delivery in sent {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        sqlx::query("DELETE FROM outbox WHERE event_id = ANY($1)")
            .bind(sold.iter().map(|sold| sold.id).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if sold.is_empty() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = wake.notified() => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
            }
        }
    }
    Ok(())
}
