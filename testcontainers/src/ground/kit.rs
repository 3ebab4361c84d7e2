//! What the fault kit needs of a ground beyond what a test needs.

use anyhow::Result;
use sqlx::postgres::PgConnection;

use super::{Events, Ground, Part};

impl Ground {
    /// Ends a part in good order.
    ///
    /// # Errors
    /// When this ground cannot do that to that part.
    pub async fn end(&self, part: Part) -> Result<()> {
        self.server(part)?.stop().await;
        Ok(())
    }

    /// Whether PostgreSQL is a server of its own, and not one that was given.
    pub(crate) fn owns_postgres(&self) -> bool {
        self.0.postgres.server.is_some()
    }

    /// A connection of the server's administrator to a database.
    pub(crate) async fn postgres(&self, database: &str) -> Result<PgConnection> {
        self.0.postgres.connect_to(database).await
    }

    /// For a client that comes to the broker through a proxy: what the proxy stands for, and its
    /// port.
    pub(crate) fn client_door(&self, slot: usize) -> Option<(String, u16)> {
        let Events::Native(kafka, _) = &self.0.events else { return None };
        let door = kafka.door(slot)?;
        Some((format!("127.0.0.1:{}", door.listens), door.advertised))
    }
}
