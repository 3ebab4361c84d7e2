//! The builds of a view: which there are, how far one in the making is, and how its rows differ from
//! the live ones, key by key. It only looks; what is to be done is asked of the service.

use std::collections::BTreeMap;

use millrace::admin::{Admin, AdminError};
use millrace::control::{Build as Action, Place};
use schemas::Timestamp;
use serde::Serialize;
use sqlx::types::time::OffsetDateTime;
use sqlx::{FromRow, PgConnection};

use crate::databases::{DatabaseError, failed, open};
use crate::{Endpoints, SERVICES};

/// Keys that are named for each sort of difference.
const NAMED_MAX: usize = 5;
/// Different keys that are looked at one by one.
const DIFFERENT_MAX: i64 = 100_000;
/// A column that counts writes and says nothing of what is shown.
const COUNTS_WRITES: &str = "revision";

/// A build of a view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// The service whose view it is.
    pub service: String,
    /// Its number.
    pub build: i32,
    /// live, building, retired or dropped.
    pub state: String,
    /// Fingerprint of the code that folds it.
    pub fold: String,
    /// Records it has folded since it was begun beside a live one.
    pub folded: i64,
    /// Keys that it cannot fold.
    pub broken: i64,
    /// Records before it, when it is live or being made.
    pub behind: Option<i64>,
    /// How much of what there was when it was begun is folded, from 0 to 1.
    pub progress: Option<f64>,
    /// When that will be all, by the pace until now, in seconds.
    pub eta_seconds: Option<f64>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it became live, or ceased to be.
    pub swapped_at: Option<Timestamp>,
}

/// How a build in the making differs from the live one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `only live`, `only build`, or the columns that differ.
    pub cause: String,
    /// The table.
    pub table: String,
    /// How many keys.
    pub keys: i64,
    /// Some of them.
    pub examples: Vec<String>,
    /// One of them in both, as far as it differs: column, live, build.
    pub sample: Vec<(String, String, String)>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It may not be.
    #[error("{0}")]
    Refused(String),
    /// The broker.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

#[derive(FromRow)]
struct Row {
    build: i32,
    state: String,
    fold: String,
    folded: i64,
    broken: i64,
    total: i64,
    seconds: f64,
    created_at: OffsetDateTime,
    swapped_at: Option<OffsetDateTime>,
}

/// Every build of a view, the newest first.
///
/// # Errors
/// `NotFound` for a service without a view; when broker or database does not answer.
pub async fn builds(
    admin: &Admin,
    endpoints: &Endpoints,
    service: &str,
) -> Result<Vec<Build>, ProjectionError> {
    let mut db = open(endpoints, service).await?;
    let rows: Result<Vec<Row>, _> = sqlx::query_as(
        r#"SELECT build, state, fold, folded,
             (SELECT count(*) FROM millrace.projection_broken AS broken
              WHERE broken.build = projection.build) AS broken,
             COALESCE((SELECT total FROM millrace.operation WHERE id = operation), 0)::bigint
                 AS total,
             EXTRACT(epoch FROM clock_timestamp() - created_at)::float8 AS seconds,
             created_at, swapped_at
         FROM millrace.projection ORDER BY build DESC"#,
    )
    .fetch_all(&mut db)
    .await;
    let rows = rows.map_err(|error| failed(service, &error))?;
    if rows.is_empty() {
        return Err(no_view(service));
    }
    let mut builds = vec![];
    for row in rows {
        let positions = match row.state.as_str() {
            "live" => Some(positions(&mut db, service, "millrace").await?),
            "building" => Some(positions(&mut db, service, &format!("build_{}", row.build)).await?),
            _ => None,
        };
        let behind = match positions {
            Some(positions) => Some(behind(admin, endpoints, service, &positions).await?),
            None => None,
        };
        builds.push(row.of(service, behind));
    }
    Ok(builds)
}

/// What to ask for so that another build is made, by the code that the service runs now. `codes` are
/// those of its running instances, `live` that of the live build; one that is not live is preferred.
///
/// # Errors
/// `Refused` when no instance of the service gives a sign; when the broker does not answer.
pub async fn rebuild(
    admin: &Admin,
    endpoints: &Endpoints,
    service: &str,
    codes: &[String],
    live: &str,
) -> Result<Action, ProjectionError> {
    let newer = codes.iter().find(|code| *code != live).or(codes.first());
    let Some(fold) = newer.cloned() else {
        let text = format!("no instance of {service} gives a sign: start it first");
        return Err(ProjectionError::Refused(text));
    };
    let (mut to, mut records) = (vec![], 0);
    for topic in schemas::topics::ALL.iter().filter(|topic| topic.readers.contains(&service)) {
        let marks = admin.watermarks(&format!("{}{}", endpoints.topic_prefix, topic.name)).await?;
        for mark in marks.into_iter().filter(|mark| mark.high > mark.low) {
            records += mark.high - mark.low;
            let (topic, partition) = (topic.name.to_owned(), mark.partition);
            to.push(Place { topic, partition, offset: mark.high });
        }
    }
    Ok(Action::Rebuild { fold, to, records })
}

/// How the build in the making differs from the live one, by cause.
///
/// # Errors
/// `NotFound` when no build is being made; when the database does not answer.
pub async fn diff(
    endpoints: &Endpoints,
    service: &str,
) -> Result<Vec<Difference>, ProjectionError> {
    let mut db = open(endpoints, service).await?;
    let number = "SELECT build FROM millrace.projection WHERE state = 'building'";
    let number: Result<Option<i32>, _> = sqlx::query_scalar(number).fetch_optional(&mut db).await;
    let Some(number) = number.map_err(|error| failed(service, &error))? else {
        let text = format!("no build of {service} is being made: `millrace projection rebuild`");
        return Err(ProjectionError::NotFound(text));
    };
    let schema = format!("build_{number}");
    let tables: Result<Vec<String>, _> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables
         WHERE table_schema = $1
           AND table_name NOT IN ('view_position', 'parked', 'parked_key') ORDER BY 1",
    )
    .bind(&schema)
    .fetch_all(&mut db)
    .await;
    let mut all = vec![];
    for table in tables.map_err(|error| failed(service, &error))? {
        let found = of_table(&mut db, &schema, &table).await;
        all.extend(found.map_err(|error| failed(service, &error))?);
    }
    Ok(all)
}

/// A service that has a view.
pub fn no_view(service: &str) -> ProjectionError {
    let known = SERVICES.join(", ");
    ProjectionError::NotFound(format!("{service} has no view; the services are {known}"))
}

/// A key, and its row here and there as JSON.
type Pair = (String, Option<serde_json::Value>, Option<serde_json::Value>);

async fn of_table(
    db: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<Difference>, sqlx::Error> {
    let keys: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_index
         JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
         WHERE indrelid = ('public.' || quote_ident($1))::regclass AND indisprimary ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(&mut *db)
    .await?;
    let using = keys.join(", ");
    let key = keys.iter().map(|key| format!("{key}::text")).collect::<Vec<_>>().join(" || ' ' || ");
    let pairs = format!(
        "SELECT {key}, live.doc, made.doc
         FROM (SELECT {using}, to_jsonb(t) - '{COUNTS_WRITES}' AS doc FROM public.{table} AS t) AS live
         FULL JOIN (SELECT {using}, to_jsonb(t) - '{COUNTS_WRITES}' AS doc FROM {schema}.{table} AS t)
             AS made USING ({using})
         WHERE live.doc IS DISTINCT FROM made.doc ORDER BY 1 LIMIT {DIFFERENT_MAX}"
    );
    let pairs: Vec<Pair> = sqlx::query_as(sqlx::AssertSqlSafe(pairs)).fetch_all(db).await?;
    Ok(by_cause(table, &pairs))
}

fn by_cause(table: &str, pairs: &[Pair]) -> Vec<Difference> {
    let mut causes: BTreeMap<String, Difference> = BTreeMap::new();
    for (key, live, made) in pairs {
        let changes = match (live, made) {
            (Some(live), Some(made)) => changes(live, made),
            _ => vec![],
        };
        let cause = match (live, made) {
            (Some(_), None) => "only live".to_owned(),
            (None, _) => "only build".to_owned(),
            _ => changes.iter().map(|(column, ..)| column.as_str()).collect::<Vec<_>>().join(", "),
        };
        let found = causes.entry(cause.clone()).or_insert_with(|| Difference {
            cause,
            table: table.to_owned(),
            keys: 0,
            examples: vec![],
            sample: changes,
        });
        found.keys += 1;
        if found.examples.len() < NAMED_MAX {
            found.examples.push(key.clone());
        }
    }
    causes.into_values().collect()
}

/// Columns that differ, with what they hold here and there.
fn changes(live: &serde_json::Value, made: &serde_json::Value) -> Vec<(String, String, String)> {
    let (Some(live), Some(made)) = (live.as_object(), made.as_object()) else { return vec![] };
    let differs = |(column, value): (&String, &serde_json::Value)| {
        let other = made.get(column).unwrap_or(&serde_json::Value::Null);
        (value != other).then(|| (column.clone(), value.to_string(), other.to_string()))
    };
    live.iter().filter_map(differs).collect()
}

async fn positions(
    db: &mut PgConnection,
    service: &str,
    schema: &str,
) -> Result<BTreeMap<(String, i32), i64>, ProjectionError> {
    let find = format!(r#"SELECT topic, "partition", next_offset FROM {schema}.view_position"#);
    let rows: Result<Vec<(String, i32, i64)>, _> =
        sqlx::query_as(sqlx::AssertSqlSafe(find)).fetch_all(db).await;
    let rows = rows.map_err(|error| failed(service, &error))?;
    Ok(rows.into_iter().map(|(topic, partition, next)| ((topic, partition), next)).collect())
}

async fn behind(
    admin: &Admin,
    endpoints: &Endpoints,
    service: &str,
    positions: &BTreeMap<(String, i32), i64>,
) -> Result<i64, ProjectionError> {
    let mut behind = 0;
    for topic in schemas::topics::ALL.iter().filter(|topic| topic.readers.contains(&service)) {
        for mark in admin.watermarks(&format!("{}{}", endpoints.topic_prefix, topic.name)).await? {
            let at = positions.get(&(topic.name.to_owned(), mark.partition)).copied();
            behind += (mark.high - at.unwrap_or(0).max(mark.low)).max(0);
        }
    }
    Ok(behind)
}

impl Row {
    fn of(self, service: &str, behind: Option<i64>) -> Build {
        let making = self.state == "building";
        let progress = (self.folded as f64 / self.total.max(1) as f64).min(1.0);
        let left = behind.unwrap_or(0) as f64;
        let pace = self.folded as f64 / self.seconds.max(0.001);
        Build {
            service: service.to_owned(),
            build: self.build,
            state: self.state,
            fold: self.fold,
            folded: self.folded,
            broken: self.broken,
            behind,
            progress: making.then_some(progress),
            eta_seconds: (making && pace > 0.0).then(|| left / pace),
            created_at: self.created_at.into(),
            swapped_at: self.swapped_at.map(Timestamp::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_by_their_cause() {
        let row = |status: &str, total: i64| Some(json!({ "status": status, "total": total }));
        let pairs = [
            ("a".to_owned(), row("paid", 1), row("settled", 1)),
            ("b".to_owned(), row("paid", 2), row("settled", 2)),
            ("c".to_owned(), row("paid", 2), row("paid", 3)),
            ("d".to_owned(), row("paid", 2), None),
            ("e".to_owned(), None, row("paid", 2)),
        ];
        let found = by_cause("orders", &pairs);
        let told: Vec<(&str, i64)> = found.iter().map(|it| (it.cause.as_str(), it.keys)).collect();
        assert_eq!(told, [("only build", 1), ("only live", 1), ("status", 2), ("total", 1)]);
        assert_eq!(found[2].examples, ["a", "b"]);
        let change = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(found[2].sample, [change("status", "\"paid\"", "\"settled\"")]);
    }
}
