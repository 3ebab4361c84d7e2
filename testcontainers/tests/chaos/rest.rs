//! Whether everything has come to rest: no order open, and nothing on its way. It reads only.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::eventually;
use harness::fault::Field;

const OPEN: &str = "SELECT count(*) FROM orders WHERE deadline IS NOT NULL";

/// Waits until everything is at rest.
///
/// # Errors
/// When it is not in time: says what is not.
pub(crate) async fn wait(field: &Field, bound: Duration) -> Result<()> {
    let until = Instant::now() + bound;
    eventually(bound, "every order ends", async || match open(field).await {
        Ok(0) => Ok(()),
        Ok(open) => Err(format!("{open} orders are open")),
        Err(error) => Err(format!("{error:#}")),
    })
    .await?;
    field.until_at_rest(until.saturating_duration_since(Instant::now())).await
}

async fn open(field: &Field) -> Result<i64> {
    let mut database = field.world().database("orders").await?;
    Ok(sqlx::query_scalar(OPEN).fetch_one(&mut database).await?)
}
