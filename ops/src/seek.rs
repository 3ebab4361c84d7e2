//! Putting a consumer group elsewhere: what it would mean, said before it is done. Nothing here
//! changes anything; the members move themselves when they are asked, a group without members is
//! moved by committing for it.

use std::collections::BTreeSet;

use millrace::admin::{Admin, AdminError, GroupOffset, Watermarks};
use millrace::control;
use schemas::Timestamp;
use serde::Serialize;

use crate::databases::{DatabaseError, failed, open};
use crate::{Endpoints, SERVICES, command};

/// More records are not looked into for their keys.
const LOOKED_INTO_MAX: i64 = 100_000;

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The oldest record that is kept.
    Earliest,
    /// Behind the newest.
    Latest,
    /// The first record that is not older.
    Time(Timestamp),
    /// This offset.
    Offset(i64),
    /// So many records on, or back when negative; not before the oldest.
    Shift(i64),
}

/// What is to be moved.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The consumer group.
    pub group: String,
    /// Only this topic, without the deployment's prefix.
    pub topic: Option<String>,
    /// Only this partition of it.
    pub partition: Option<i32>,
    /// Where to.
    pub to: To,
}

/// A partition that would be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The topic, without the deployment's prefix.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the group reads next.
    pub from: i64,
    /// The offset that it would read next.
    pub to: i64,
    /// How many offsets it would read again; negative when it would pass them over.
    pub again: i64,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The consumer group.
    pub group: String,
    /// Its service, when it is one of ours.
    pub service: Option<String>,
    /// How many members it has.
    pub members: usize,
    /// Every partition.
    pub moves: Vec<Move>,
    /// Records that would be read again.
    pub again: i64,
    /// Records that would never be read.
    pub passed_over: i64,
    /// Different keys among those read again; absent when they are too many to look into.
    pub keys: Option<usize>,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
    /// How many of them the inbox knows and absorbs; absent for a view, which has no inbox.
    pub absorbed: Option<i64>,
    /// The group folds a view: what begins at its oldest record is folded again, the rest is passed
    /// over as known.
    pub folds: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
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

impl Plan {
    /// The moves as a service is asked for them.
    pub fn places(&self) -> Vec<control::Place> {
        let place = |it: &Move| control::Place {
            topic: it.topic.clone(),
            partition: it.partition,
            offset: it.to,
        };
        self.moves.iter().map(place).collect()
    }
}

/// Says what a wish would mean.
///
/// # Errors
/// `NotFound` for a group or topic that is not there; `Refused` for an unknown partition, a place
/// behind the end, and a group with members that are not ours.
pub async fn plan(admin: &Admin, endpoints: &Endpoints, wish: &Wish) -> Result<Plan, SeekError> {
    let service = command::service_of(&endpoints.topic_prefix, &wish.group);
    let service = SERVICES.iter().find(|known| **known == service).copied();
    let group = admin.group(&wish.group).await?;
    if service.is_none() && group.members > 0 {
        return Err(SeekError::Refused(format!(
            "{} has {} members, and they are no services of ours: only a group at rest can be put \
             elsewhere from outside; stop its members first",
            wish.group, group.members
        )));
    }
    let topics = topics(wish, service)?;
    let (mut moves, mut young) = (vec![], false);
    for topic in &topics {
        let (found, of_time) = of_topic(admin, &endpoints.topic_prefix, wish, topic).await?;
        moves.extend(found);
        young |= of_time;
    }
    if let To::Time(at) = wish.to
        && !young
    {
        let text = format!("no record is as young as {at}; the end is `--to latest`");
        return Err(SeekError::Refused(text));
    }
    let mut plan = Plan {
        group: wish.group.clone(),
        service: service.map(str::to_owned),
        members: group.members,
        again: moves.iter().map(|it| it.again.max(0)).sum(),
        passed_over: moves.iter().map(|it| (-it.again).max(0)).sum(),
        moves,
        keys: Some(0),
        oldest: None,
        absorbed: None,
        folds: false,
    };
    look_into(admin, &endpoints.topic_prefix, &mut plan).await?;
    if let Some(service) = service {
        look_at_books(endpoints, service, &mut plan).await?;
    }
    Ok(plan)
}

/// The topics that are meant: those the service reads, or the one that was named.
fn topics(wish: &Wish, service: Option<&str>) -> Result<Vec<String>, SeekError> {
    let Some(service) = service else {
        let named = wish.topic.clone().map(|topic| vec![topic]);
        let text = format!("{} is no service of ours: name a topic with --topic", wish.group);
        return named.ok_or(SeekError::Refused(text));
    };
    let read = schemas::topics::ALL.iter().filter(|topic| topic.readers.contains(&service));
    let read: Vec<String> = read.map(|topic| topic.name.to_owned()).collect();
    match &wish.topic {
        None => Ok(read),
        Some(topic) if read.contains(topic) => Ok(vec![topic.clone()]),
        Some(topic) => {
            let read = read.join(", ");
            Err(SeekError::NotFound(format!("{service} does not read {topic}; it reads {read}")))
        }
    }
}

/// The moves in one topic, and whether it has a record of the wanted time.
async fn of_topic(
    admin: &Admin,
    prefix: &str,
    wish: &Wish,
    topic: &str,
) -> Result<(Vec<Move>, bool), SeekError> {
    let full = format!("{prefix}{topic}");
    let marks = admin.watermarks(&full).await?;
    if let Some(partition) = wish.partition
        && marks.iter().all(|mark| mark.partition != partition)
    {
        let count = marks.len();
        let text = format!("{topic} has no partition {partition}; it has {count}, from 0");
        return Err(SeekError::Refused(text));
    }
    let committed = admin.group_offsets(&wish.group, &[&full]).await?;
    if committed.iter().all(|it| it.committed.is_none())
        && admin.group(&wish.group).await?.members == 0
    {
        let text = format!("{} has never read {topic}: there is no such group", wish.group);
        return Err(SeekError::NotFound(text));
    }
    let times = match wish.to {
        To::Time(at) => admin.offsets_at(&full, at.millis()).await?,
        _ => vec![],
    };
    let wanted = |mark: &&Watermarks| wish.partition.is_none_or(|it| it == mark.partition);
    let one = |mark: &Watermarks| {
        let here = |it: &&GroupOffset| it.partition == mark.partition;
        let from = committed.iter().find(here).and_then(|it| it.committed).unwrap_or(mark.low);
        let at = times.iter().find(|(partition, _)| *partition == mark.partition);
        let to = target(wish.to, from, mark, at.and_then(|(_, offset)| *offset));
        let to =
            to.map_err(|why| SeekError::Refused(format!("{topic}/{}: {why}", mark.partition)))?;
        let (topic, partition) = (topic.to_owned(), mark.partition);
        Ok(Move { topic, partition, from, to, again: from - to })
    };
    let moves: Result<Vec<Move>, SeekError> = marks.iter().filter(wanted).map(one).collect();
    Ok((moves?, times.iter().any(|(_, offset)| offset.is_some())))
}

/// The offset that is meant, or why it cannot be.
fn target(to: To, from: i64, mark: &Watermarks, at: Option<i64>) -> Result<i64, String> {
    let wanted = match to {
        To::Earliest => mark.low,
        To::Latest => mark.high,
        To::Time(_) => at.unwrap_or(mark.high),
        To::Offset(offset) => offset,
        To::Shift(by) => from.saturating_add(by).max(mark.low),
    };
    match wanted {
        _ if wanted > mark.high => Err(format!("offset {wanted} is past the end, {}", mark.high)),
        _ if wanted < mark.low => {
            Err(format!("offset {wanted} is not kept any more; the oldest is {}", mark.low))
        }
        _ => Ok(wanted),
    }
}

/// Keys and age of what would be read again.
async fn look_into(admin: &Admin, prefix: &str, plan: &mut Plan) -> Result<(), SeekError> {
    if plan.again > LOOKED_INTO_MAX {
        plan.keys = None;
        return Ok(());
    }
    let (mut keys, mut oldest) = (BTreeSet::new(), None::<i64>);
    let topics: BTreeSet<&str> = plan.moves.iter().map(|it| it.topic.as_str()).collect();
    for topic in topics {
        let marks = plan.moves.iter().filter(|it| it.topic == topic && it.again > 0);
        let marks =
            marks.map(|it| Watermarks { partition: it.partition, low: it.to, high: it.from });
        let marks: Vec<Watermarks> = marks.collect();
        for record in admin.read_between(&format!("{prefix}{topic}"), marks).await? {
            let older = |at: i64| oldest.is_none_or(|oldest| at < oldest);
            oldest = record.timestamp.filter(|at| older(*at)).or(oldest);
            keys.insert(record.key);
        }
    }
    plan.keys = Some(keys.len());
    plan.oldest = oldest.and_then(|millis| Timestamp::from_micros(millis.saturating_mul(1000)));
    Ok(())
}

/// What the service's database says: whether it folds, or how many its inbox knows.
async fn look_at_books(
    endpoints: &Endpoints,
    service: &str,
    plan: &mut Plan,
) -> Result<(), SeekError> {
    let mut db = open(endpoints, service).await?;
    let folds = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM millrace.view_position)");
    let folds: Result<bool, _> = folds.fetch_one(&mut db).await;
    plan.folds = folds.map_err(|error| failed(service, &error))?;
    if plan.folds {
        return Ok(());
    }
    let again = || plan.moves.iter().filter(|it| it.again > 0);
    let known = sqlx::query_scalar(
        r#"SELECT count(*) FROM millrace.inbox
           JOIN unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
               AS part (topic, "partition", first, next) USING (topic, "partition")
           WHERE "offset" >= first AND "offset" < next"#,
    )
    .bind(again().map(|it| it.topic.as_str()).collect::<Vec<_>>())
    .bind(again().map(|it| it.partition).collect::<Vec<_>>())
    .bind(again().map(|it| it.to).collect::<Vec<_>>())
    .bind(again().map(|it| it.from).collect::<Vec<_>>());
    let known: Result<i64, _> = known.fetch_one(&mut db).await;
    plan.absorbed = Some(known.map_err(|error| failed(service, &error))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_that_is_kept() {
        let mark = Watermarks { partition: 0, low: 10, high: 50 };
        let to = |to, at| target(to, 30, &mark, at).map_err(drop);
        assert_eq!(to(To::Earliest, None), Ok(10));
        assert_eq!(to(To::Latest, None), Ok(50));
        assert_eq!(to(To::Shift(-5), None), Ok(25));
        assert_eq!(to(To::Shift(-500), None), Ok(10), "not before the oldest");
        assert_eq!(to(To::Shift(21), None), Err(()), "past the end");
        assert_eq!(to(To::Offset(50), None), Ok(50));
        assert_eq!((to(To::Offset(51), None), to(To::Offset(9), None)), (Err(()), Err(())));
        let time = To::Time(Timestamp::default());
        assert_eq!((to(time, Some(44)), to(time, None)), (Ok(44), Ok(50)));
    }
}
