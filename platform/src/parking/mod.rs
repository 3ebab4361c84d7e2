//! Parking: a record that cannot be handled waits in the group's own database, and what comes
//! after it for the same key waits behind it, in order. Everything else goes on. A retry is a
//! parked record with a time; a dead letter is one without.

mod drain;
mod letter;
mod planted;
mod rows;
pub(crate) mod store;

use std::collections::{BTreeMap, HashMap};

use millrace_contract::EventId;

pub(crate) use drain::run;
pub(crate) use letter::{Letter, fingerprint};
pub(crate) use store::Counts;

use crate::consume::arrive::Incoming;
use crate::consume::reaction::{Failure, Read};
use crate::consume::turn::{Fate, Turn, Waits};
use crate::core::Core;
use crate::plant::{self, Plant};
use crate::{Fault, FaultPolicy, Poison, Tx};
use store::{KeyState, NewKey, Row, Status};

/// What a failed record becomes.
pub(crate) struct Sentence {
    pub(crate) state: KeyState,
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
    pub(crate) pause: Option<std::time::Duration>,
}

/// Parks what failed in a turn and what waits behind it, in the turn's own transaction.
pub(crate) async fn park(
    core: &Core,
    tx: &mut Tx,
    reads: &[Read],
    turn: &Turn<'_>,
) -> Result<(), Failure> {
    let mut rows: Vec<Row<'_>> = vec![];
    let mut keys: BTreeMap<String, NewKey> = BTreeMap::new();
    let mut first = None;
    for (index, fate) in turn.fates.iter().enumerate() {
        let incoming = &turn.batch[index];
        let row = match fate {
            Some(Fate::Failed(_)) if plant::is(Plant::PoisonSkipped) => continue,
            Some(Fate::Failed(_)) if planted::goes_back(incoming) => {
                planted::send_back(tx, incoming).await?;
                continue;
            }
            Some(Fate::Failed(poison)) => {
                let sentence = sentence(policy(reads, incoming), incoming, poison, 1);
                keys.entry(key_of(incoming)).or_insert_with(|| NewKey {
                    state: sentence.state,
                    pause: sentence.pause,
                    fingerprint: fingerprint(core.service, &incoming.name, poison),
                });
                Row::failed(core.service, incoming, poison, &sentence)
            }
            Some(Fate::Gap { missing }) => {
                let poison = gap(*missing);
                keys.entry(key_of(incoming)).or_insert_with(|| NewKey {
                    state: KeyState::Held,
                    pause: Some(core.config.consume.gap_wait),
                    fingerprint: fingerprint(core.service, &incoming.name, &poison),
                });
                Row::behind(incoming, "version_gap")
            }
            Some(Fate::Behind) => Row::behind(incoming, "parked_behind"),
            Some(Fate::Done | Fate::Repeat) | None => continue,
        };
        first.get_or_insert(index);
        rows.push(row);
    }
    let Some(first) = first else {
        return Ok(filled(tx, turn).await?);
    };
    room_for(core, tx, keys.len(), rows.len()).await.map_err(|full| match full {
        Full::Fault(fault) => fault.into(),
        Full::Limit(text) => Failure::Full(first, text),
    })?;
    let new = store::insert(tx, &rows).await?;
    store::insert_keys(tx, &keys).await?;
    filled(tx, turn).await?;
    store::save_outcomes(tx, &rows).await?;
    tell(core, &rows);
    let rows = rows.iter().filter(|row| new.contains(&row.incoming.id));
    let letters: Vec<Letter<'_>> = rows.filter_map(|row| row.letter(core)).collect();
    store::announce_letters(tx, core, &letters).await?;
    if plant::is(Plant::LetterTwice) {
        store::announce_letters(tx, core, &letters).await?;
    }
    Ok(())
}

/// The version that was missing came: what it held up is next.
async fn filled(tx: &mut Tx, turn: &Turn<'_>) -> Result<(), Fault> {
    let held = |index: &usize| {
        let key = turn.batch[*index].key.as_ref();
        key.filter(|key| turn.waiting.get(*key) == Some(&Waits::Gap)).cloned()
    };
    let keys: Vec<String> = turn.acted().filter_map(|index| held(&index)).collect();
    match keys.is_empty() {
        true => Ok(()),
        false => store::due_now(tx, &keys).await,
    }
}

/// What becomes of a record after so many failed attempts.
pub(crate) fn sentence(
    policy: FaultPolicy,
    incoming: &Incoming<'_>,
    poison: &Poison,
    attempts: u32,
) -> Sentence {
    let pause = policy.pause(poison, attempts, rand::random_range(0.0..=1.0));
    match pause.filter(|_| incoming.key.is_some()) {
        Some(pause) => Sentence {
            state: KeyState::Retrying,
            status: Status::Retrying,
            reason: "exhausted",
            pause: Some(pause),
        },
        None => Sentence {
            state: KeyState::Dead,
            status: Status::Dead,
            reason: reason(incoming, poison, attempts),
            pause: None,
        },
    }
}

fn reason(incoming: &Incoming<'_>, poison: &Poison, attempts: u32) -> &'static str {
    match poison.code() {
        "version_gap" => "version_gap",
        "skipped" => "skipped",
        _ if incoming.is_broken() => "undecodable",
        _ if attempts > 1 => "exhausted",
        _ => "poison",
    }
}

/// A fact of the key is missing.
pub(crate) fn gap(missing: u64) -> Poison {
    Poison::coded("version_gap", format!("version {missing} of its key is missing before it"))
}

pub(crate) fn policy(reads: &[Read], incoming: &Incoming<'_>) -> FaultPolicy {
    let read = reads.iter().find(|read| read.name == incoming.name);
    read.map(|read| read.policy).unwrap_or_default()
}

/// The key a record waits under; one of its own for a record that has none.
pub(crate) fn key_of(incoming: &Incoming<'_>) -> String {
    incoming.key.clone().unwrap_or_else(|| no_key(incoming.id))
}

fn no_key(id: EventId) -> String {
    format!("(no key) {id}")
}

enum Full {
    Fault(Fault),
    Limit(String),
}

/// Parking has a bound: past it the data is not at fault any more, and somebody must look.
async fn room_for(core: &Core, tx: &mut Tx, keys: usize, records: usize) -> Result<(), Full> {
    let limits = &core.config.consume;
    let parked = store::counts(tx.db()).await.map_err(Full::Fault)?;
    if parked.keys as usize + keys > limits.parked_keys_max {
        let text = format!(
            "{} keys are parked, the most allowed (consume.parked_keys_max); look at them with \
             `millrace dlq causes`",
            parked.keys
        );
        return Err(Full::Limit(text));
    }
    if parked.records as usize + records > limits.parked_records_max {
        let text = format!(
            "{} records are parked, the most allowed (consume.parked_records_max); look at them \
             with `millrace dlq causes`",
            parked.records
        );
        return Err(Full::Limit(text));
    }
    Ok(())
}

fn tell(core: &Core, rows: &[Row<'_>]) {
    let mut told: HashMap<(&str, &str), usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.status != Status::Waiting) {
        *told.entry((row.error_type(), row.status.as_str())).or_default() += 1;
        core.metrics.parked(row.status == Status::Dead, row.error_type(), row.reason);
        let at = &row.incoming.record.position;
        tracing::error!(
            service = core.service, topic = at.topic, partition = at.partition,
            offset = at.offset, key = row.key, event_id = %row.incoming.id,
            error_type = row.error_type(), reason = row.message(), status = row.status.as_str(),
            "record parked: its key waits, everything else goes on"
        );
    }
}

/// Keys of these records that wait, locked.
pub(crate) async fn waiting(
    tx: &mut Tx,
    batch: &[Incoming<'_>],
) -> Result<HashMap<String, Waits>, Fault> {
    let mut keys: Vec<&str> = batch.iter().filter_map(|record| record.key.as_deref()).collect();
    keys.sort_unstable();
    keys.dedup();
    store::waiting(tx, &keys).await
}
