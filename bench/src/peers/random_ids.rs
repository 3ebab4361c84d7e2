//! An inbox as it is usually made: one table for all time, under identities without any order.

use anyhow::Result;
use sqlx::{Executor, PgConnection};
use uuid::{Builder, Uuid};

/// Makes the inbox, with so many rows in it.
pub(crate) async fn grow(db: &mut PgConnection, rows: u32) -> Result<()> {
    db.execute(
        r#"CREATE TABLE random_inbox (event_id uuid, topic text NOT NULL, "partition" integer NOT NULL,
               "offset" bigint NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now())"#,
    )
    .await?;
    sqlx::query(
        r#"INSERT INTO random_inbox (event_id, topic, "partition", "offset")
           SELECT gen_random_uuid(), 'retail.payment.events.v1', n % 6, n
           FROM generate_series(1, $1) AS n"#,
    )
    .bind(rows as i32)
    .execute(&mut *db)
    .await?;
    db.execute("ALTER TABLE random_inbox ADD PRIMARY KEY (event_id)").await?;
    db.execute("VACUUM ANALYZE random_inbox").await?;
    Ok(())
}

/// What a batch of so many records adds to it.
pub(crate) async fn insert(db: &mut PgConnection, records: usize) -> Result<()> {
    let random = |_| Builder::from_random_bytes(rand::random()).into_uuid();
    let ids: Vec<Uuid> = (0..records).map(random).collect();
    sqlx::query(
        r#"INSERT INTO random_inbox (event_id, topic, "partition", "offset")
           SELECT event_id, 'retail.payment.events.v1', 0, 0 FROM unnest($1::uuid[]) AS event_id
           ON CONFLICT DO NOTHING"#,
    )
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}
