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
/// Orders of long ago that are there at once.
const GROWN: i64 = 20_000;
const STORES: [&str; 4] = ["orders", "stock", "payments", "sales"];

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_walks_through_a_table_that_was_small_when_it_was_planned() -> Result<()> {
    let shop = Shop::open(10_000, "1000000.00").await?;
    for service in STORES {
        sqlx::raw_sql("ANALYZE").execute(&mut shop.world.database(service).await?).await?;
    }
    counted(&shop, READ_MAX).await?;
    shop.close().await
}

/// A table that was analysed with one row is planned to be walked through.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_analysed_with_one_row_is_not_walked_through_for_long() -> Result<()> {
    let shop = Shop::open(10_000, "1000000.00").await?;
    placed(&shop, 1).await?;
    let mut orders = shop.world.database("orders").await?;
    sqlx::raw_sql("ALTER TABLE orders SET (autovacuum_enabled = off); ANALYZE orders")
        .execute(&mut orders)
        .await?;
    // What uses the plan once is planned with one row.
    placed(&shop, 1).await?;
    sqlx::query(
        "INSERT INTO orders SELECT (jsonb_populate_record(known, jsonb_build_object(
             'order_id', gen_random_uuid()))).*
         FROM (SELECT known FROM orders AS known LIMIT 1) AS one, generate_series(1, $1)",
    )
    .bind(GROWN)
    .execute(&mut orders)
    .await?;
    // The server counts a walk up to a second late.
    counted(&shop, GROWN / 20).await?;
    shop.close().await
}

/// Places orders until everything is planned, and counts what is read for those after them.
async fn counted(shop: &Shop, read_max: i64) -> Result<()> {
    placed(shop, PLANNED).await?;
    let before = read(shop, PLANNED).await?;
    placed(shop, COUNTED).await?;
    let after = read(shop, PLANNED + COUNTED).await?;
    for ((table, after), (_, before)) in after.iter().zip(&before) {
        let each = (after - before) / COUNTED as i64;
        ensure!(each <= read_max, "{table}: {each} rows are read for each order");
    }
    Ok(())
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
            match tables.iter().find(|(name, ..)| name == "last_version").map(|table| table.1) {
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

/// Tables and their indexes by name, with the rows that were written to a table and the rows or entries that
/// were read of each.
async fn tables(shop: &Shop, service: &str) -> Result<Vec<(String, i64, i64)>> {
    let tables = sqlx::query_as(
        "SELECT relname::text, n_tup_ins, COALESCE(seq_tup_read, 0) FROM pg_stat_user_tables
         WHERE schemaname = 'public' OR relname LIKE '%version'
         UNION ALL
         SELECT index.indexrelname::text, n_tup_ins, index.idx_tup_read
         FROM pg_stat_user_tables AS table_of JOIN pg_stat_user_indexes AS index USING (relid)
         WHERE table_of.schemaname = 'public' OR table_of.relname LIKE '%version' ORDER BY 1",
    );
    Ok(tables.fetch_all(&mut shop.world.database(service).await?).await?)
}
