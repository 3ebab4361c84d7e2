//! Another build became live: what it says of each key may not be what was said of it. A few keys at
//! a time are looked at again, and what is new is announced.

use crate::consume::reaction::Room;
use crate::core::Core;
use crate::service::Announce;
use crate::{Fault, Tx};

/// Keys looked at in one transaction.
const KEYS_MAX: i64 = 500;

/// One transaction of it. Whoever has the row does it.
pub(super) async fn step(core: &Core, room: &dyn Room) -> Result<(), Fault> {
    let mut tx = core.begin().await?;
    let told: Option<(i32, String)> = sqlx::query_as(
        "SELECT build, told FROM millrace.projection
         WHERE state = 'live' AND told IS NOT NULL FOR UPDATE SKIP LOCKED",
    )
    .fetch_optional(tx.db())
    .await?;
    let Some((build, after)) = told else { return tx.commit().await };
    let next = room.retell(core, &mut tx, after, KEYS_MAX).await?;
    let save = sqlx::query("UPDATE millrace.projection SET told = $2 WHERE build = $1");
    save.bind(build).bind(next).execute(tx.db()).await?;
    tx.commit().await?;
    core.committed();
    Ok(())
}

/// Says again what rows behind a key amount to: the key it came to.
pub(crate) async fn rows<W: Announce>(
    core: &Core,
    tx: &mut Tx,
    after: &str,
    limit: i64,
) -> Result<Option<String>, Fault> {
    let Some((keys, last)) = W::behind(tx, after, limit).await? else { return Ok(None) };
    let mut rows = W::load(tx, &keys).await?;
    let mut emit = core.pen(tx);
    rows.announce(&mut emit);
    rows.save(tx).await?;
    core.announce(tx, emit).await?;
    Ok(Some(last))
}
