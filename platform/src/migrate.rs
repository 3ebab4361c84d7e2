//! Brings a database to this build: the platform's own tables first, then the service's.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

/// Migrations that take longer are begun again.
const MIGRATIONS_MAX: Duration = Duration::from_secs(300);

static PLATFORM: Migrator = sqlx::migrate!();

/// Why the database is not at this build.
pub(crate) enum Unmigrated {
    /// A migration cannot be applied, or was changed after it ran.
    Refused(String),
    /// The database is away, or somebody holds a lock.
    Waiting(String),
}

/// Applies what is missing. Migrations this build does not know are left alone, so that an older
/// build runs after a rollback. The connection carries the migrations' lock, so it is closed with
/// it whatever happens.
pub(crate) async fn migrate(
    pool: &PgPool,
    service: Option<&'static Migrator>,
) -> Result<(), Unmigrated> {
    let waiting = |error: sqlx::Error| Unmigrated::Waiting(error.to_string());
    let mut conn = pool.acquire().await.map_err(waiting)?.detach();
    let mut platform = known(&PLATFORM);
    platform.create_schema("millrace");
    platform.dangerous_set_table_name("millrace._migrations");
    let work = async {
        platform.run_direct(None, &mut conn, false).await?;
        match service {
            Some(migrations) => known(migrations).run_direct(None, &mut conn, false).await,
            None => Ok(()),
        }
    };
    match tokio::time::timeout(MIGRATIONS_MAX, work).await {
        Ok(migrated) => migrated.map_err(reason),
        Err(_) => Err(Unmigrated::Waiting("migrations did not end in time".to_owned())),
    }
}

fn known(migrations: &'static Migrator) -> Migrator {
    let mut known = Migrator::with_migrations(migrations.iter().cloned().collect());
    known.set_ignore_missing(true);
    known
}

fn reason(error: MigrateError) -> Unmigrated {
    let text = format!("migrations: {error}");
    match error {
        MigrateError::Execute(_) => Unmigrated::Waiting(text),
        MigrateError::ExecuteMigration(cause, _) if is_passing(&cause) => Unmigrated::Waiting(text),
        _ => Unmigrated::Refused(text),
    }
}

/// Lost connections (class 08), conflicts (40), missing resources (53), locks (55) and shutdowns
/// (57) pass by themselves.
fn is_passing(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else { return true };
    let class = database.code().map(|code| code.get(..2).unwrap_or_default().to_owned());
    matches!(class.as_deref(), Some("08" | "40" | "53" | "55" | "57"))
}
