//! What is said by keys is planned once for each connection, while its tables are all but empty. It must
//! do when they are not.

use anyhow::{Result, ensure};
use futures::StreamExt;
use harness::eventually;

use super::Shop;
use super::shop::SOON;

/// Orders for which every connection has planned what it says.
const PLANNED: usize = 40;
/// Orders of which it is counted what they read.
const COUNTED: usize = 200;
const AT_ONCE: usize = 8;
/// Rows or entries of an index, read for an order in any one table. Whoever walks a table reads all of its
/// rows in each of some dozen transactions.
const READ_MAX: i64 = 40;
const STORES: [&str; 4] = ["orders", "stock", "payments", "sales"];

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_walks_through_a_table_that_was_small_when_it_was_planned() -> Result<()> {
    let shop = Shop::open(10_000, "1000000.00").await?;
    for service in STORES {
        sqlx::raw_sql("ANALYZE").execute(&mut shop.world.database(service).await?).await?;
    }
    placed(&shop, PLANNED).await?;
    let before = read(&shop, PLANNED).await?;
    placed(&shop, COUNTED).await?;
    let after = read(&shop, PLANNED + COUNTED).await?;
    for ((table, after), (_, before)) in after.iter().zip(&before) {
        let each = (after - before) / COUNTED as i64;
        ensure!(each <= READ_MAX, "{table}: {each} rows are read for each order");
    }
    shop.close().await
}

/// Places orders and follows them to their end.
async fn placed(shop: &Shop, orders: usize) -> Result<()> {
    let placing = (0..orders).map(|_| async {
        let order = shop.order(1).await?;
        shop.ended(order).await
    });
    let mut placing = futures::stream::iter(placing).buffer_unordered(AT_ONCE);
    while let Some(order) = placing.next().await {
        let status = order?.status;
        ensure!(status.as_str() == "confirmed", "an order is {}", status.as_str());
    }
    Ok(())
}

/// What was read of each table since the databases were made, as soon as so many orders are counted.
async fn read(shop: &Shop, orders: usize) -> Result<Vec<(String, i64)>> {
    let mut all = vec![];
    for service in STORES {
        let tables = eventually(SOON, "the server has counted", async || {
            let tables = tables(shop, service).await.map_err(|error| error.to_string())?;
            match tables.iter().map(|(_, written, _)| *written).max() {
                Some(written) if written >= orders as i64 => Ok(tables),
                written => Err(format!("{service}: {written:?} of {orders}")),
            }
        })
        .await?;
        let named = tables.into_iter().map(|(name, _, read)| (format!("{service} {name}"), read));
        all.extend(named);
    }
    Ok(all)
}

/// Tables by name, with the rows that were written to them, and read of them or of their indexes.
async fn tables(shop: &Shop, service: &str) -> Result<Vec<(String, i64, i64)>> {
    let tables = sqlx::query_as(
        "SELECT relname::text, n_tup_ins, COALESCE(seq_tup_read, 0) + COALESCE((
             SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
             WHERE relid = tables.relid), 0)
         FROM pg_stat_user_tables AS tables
         WHERE schemaname = 'public' OR relname LIKE '%version' ORDER BY relname",
    );
    Ok(tables.fetch_all(&mut shop.world.database(service).await?).await?)
}
