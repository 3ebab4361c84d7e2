//! What an operator does with builds: begin one, put it in the place of the live one, take that
//! back, give one up. Each is one transaction. A transaction that folds holds the row of the live
//! build, so that none is in the middle when another takes its place.

use uuid::Uuid;

use super::schema;
use crate::control::{Outcome, Place};
use crate::core::Core;
use crate::{Fault, Tx};

/// A build may be so many records behind the live one when it takes its place; it reads them at
/// once.
const BEHIND_MAX: i64 = 500;
/// How long a build that was live can be taken back.
const KEPT_FOR: &str = "1 day";
/// The platform's tables that belong to a build.
const OURS: [&str; 3] = ["view_position", "parked_key", "parked"];

/// Begins a build of this code, with empty rows.
pub(crate) async fn begin(
    tx: &mut Tx,
    core: &Core,
    operation: Uuid,
    target: &[Place],
    records: i64,
) -> Result<Outcome, Fault> {
    let Some(view) = &core.view else { return Ok(no_view(core)) };
    if let Some(number) = in_state(tx, "building").await? {
        return Ok(refused(format!("build {number} is being made already")));
    }
    let number: i32 = sqlx::query_scalar(
        "INSERT INTO millrace.projection (build, state, fold, operation, target)
         SELECT max(build) + 1, 'building', $1, $2, $3 FROM millrace.projection RETURNING build",
    )
    .bind(&view.fold)
    .bind(operation)
    .bind(serde_json::to_value(target).unwrap_or_default())
    .fetch_one(tx.db())
    .await?;
    let schema = schema(number);
    let mut all = format!("CREATE SCHEMA {schema};");
    let rows = view.tables.iter().map(|table| ("public", *table));
    for (from, table) in rows.chain(OURS.map(|table| ("millrace", table))) {
        all += &format!("CREATE TABLE {schema}.{table} (LIKE {from}.{table} INCLUDING ALL);");
    }
    run(tx, all).await?;
    let detail = format!("build {number} is made beside the live one");
    Ok(Outcome { state: "running", total: records.max(1), detail })
}

/// Puts the build that was made in the place of the live one.
pub(crate) async fn swap(tx: &mut Tx, core: &Core) -> Result<Outcome, Fault> {
    let Some(number) = in_state(tx, "building").await? else {
        return Ok(refused("there is no build to put in the place of the live one".to_owned()));
    };
    let live = lock_live(tx).await?;
    let behind = format!(
        r#"SELECT COALESCE(sum(GREATEST(live.next_offset - COALESCE(made.next_offset, 0), 0)), 0)::bigint
           FROM millrace.view_position AS live
           LEFT JOIN {}.view_position AS made USING (topic, "partition")"#,
        schema(number)
    );
    let behind: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(behind)).fetch_one(tx.db()).await?;
    if behind > BEHIND_MAX {
        return Ok(refused(format!(
            "build {number} is {behind} records behind the live one: wait"
        )));
    }
    let broken: Vec<String> = sqlx::query_scalar(
        "SELECT key FROM millrace.projection_broken
         WHERE build = $1 AND key NOT IN (SELECT key FROM millrace.parked_key) ORDER BY key LIMIT 10",
    )
    .bind(number)
    .fetch_all(tx.db())
    .await?;
    if !broken.is_empty() {
        return Ok(refused(format!(
            "build {number} cannot fold what the live one can, of the keys {}: mend the fold, \
             `millrace projection cancel {}`, and rebuild",
            broken.join(", "),
            core.service
        )));
    }
    let copy = |table: &str| {
        format!(
            "INSERT INTO {0}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM millrace.{table}
             WHERE key IN (SELECT key FROM millrace.projection_broken WHERE build = {number});",
            schema(number)
        )
    };
    let ids = format!(
        "SELECT setval(pg_get_serial_sequence('{0}.parked', 'id'),
             (SELECT COALESCE(max(id), 1) FROM millrace.parked));",
        schema(number)
    );
    run(tx, copy("parked_key") + &copy("parked") + &ids).await?;
    exchange(tx, core, live, number).await?;
    let detail = format!(
        "build {number} is live; build {live} can be taken back for a day: millrace projection \
         rollback {}",
        core.service
    );
    Ok(Outcome { state: "done", total: 1, detail })
}

/// Puts the build that was live before back in its place.
pub(crate) async fn roll_back(tx: &mut Tx, core: &Core) -> Result<Outcome, Fault> {
    let found: Option<i32> = sqlx::query_scalar(
        "SELECT build FROM millrace.projection
         WHERE state = 'retired' ORDER BY swapped_at DESC LIMIT 1",
    )
    .fetch_optional(tx.db())
    .await?;
    let Some(number) = found else {
        return Ok(refused("there is no earlier build to take back".to_owned()));
    };
    let live = lock_live(tx).await?;
    exchange(tx, core, live, number).await?;
    let detail =
        format!("build {number} is live again and reads what it missed; build {live} is kept");
    Ok(Outcome { state: "done", total: 1, detail })
}

/// Gives up the build in the making.
pub(crate) async fn cancel(tx: &mut Tx) -> Result<Outcome, Fault> {
    let Some(number) = in_state(tx, "building").await? else {
        return Ok(refused("no build is being made".to_owned()));
    };
    drop_build(tx, number).await?;
    let ended = sqlx::query(
        "UPDATE millrace.operation SET state = 'cancelled', updated_at = clock_timestamp()
         WHERE state = 'running'
           AND id = (SELECT operation FROM millrace.projection WHERE build = $1)",
    );
    ended.bind(number).execute(tx.db()).await?;
    Ok(Outcome { state: "done", total: 1, detail: format!("build {number} is given up") })
}

/// Drops builds that nobody takes back any more.
pub(crate) async fn drop_old(core: &Core) -> Result<(), Fault> {
    if core.view.is_none() {
        return Ok(());
    }
    let mut tx = core.begin().await?;
    let old: Vec<i32> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT build FROM millrace.projection
         WHERE state = 'retired' AND swapped_at < clock_timestamp() - interval '{KEPT_FOR}'
         FOR UPDATE SKIP LOCKED"
    )))
    .fetch_all(tx.db())
    .await?;
    for number in old {
        drop_build(&mut tx, number).await?;
    }
    tx.commit().await
}

async fn drop_build(tx: &mut Tx, number: i32) -> Result<(), Fault> {
    let dropped = sqlx::query("UPDATE millrace.projection SET state = 'dropped' WHERE build = $1");
    dropped.bind(number).execute(tx.db()).await?;
    let broken = sqlx::query("DELETE FROM millrace.projection_broken WHERE build = $1");
    broken.bind(number).execute(tx.db()).await?;
    run(tx, format!("DROP SCHEMA IF EXISTS {} CASCADE;", schema(number))).await
}

/// The tables of one build take the places of those of another.
async fn exchange(tx: &mut Tx, core: &Core, live: i32, number: i32) -> Result<(), Fault> {
    let Some(view) = &core.view else { return Ok(()) };
    let (old, new) = (schema(live), schema(number));
    let mut all = format!("CREATE SCHEMA IF NOT EXISTS {old};");
    let rows = view.tables.iter().map(|table| ("public", *table));
    for (place, table) in rows.chain(OURS.map(|table| ("millrace", table))) {
        all += &format!("ALTER TABLE {place}.{table} SET SCHEMA {old};");
        all += &format!("ALTER TABLE {new}.{table} SET SCHEMA {place};");
    }
    all += &format!(
        "UPDATE millrace.projection SET state = 'retired', swapped_at = clock_timestamp()
             WHERE build = {live};
         UPDATE millrace.projection SET state = 'live', swapped_at = clock_timestamp(), told = ''
             WHERE build = {number};"
    );
    run(tx, all).await
}

async fn lock_live(tx: &mut Tx) -> Result<i32, Fault> {
    let live = "SELECT build FROM millrace.projection WHERE state = 'live' FOR UPDATE";
    Ok(sqlx::query_scalar(live).fetch_one(tx.db()).await?)
}

async fn in_state(tx: &mut Tx, state: &str) -> Result<Option<i32>, Fault> {
    let find = "SELECT build FROM millrace.projection WHERE state = $1 FOR UPDATE";
    Ok(sqlx::query_scalar(find).bind(state).fetch_optional(tx.db()).await?)
}

async fn run(tx: &mut Tx, statements: String) -> Result<(), Fault> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(tx.db()).await?;
    Ok(())
}

fn refused(detail: String) -> Outcome {
    Outcome { state: "refused", total: 0, detail }
}

fn no_view(core: &Core) -> Outcome {
    refused(format!("{} has no view", core.service))
}
