//! Whether a service can do its work: named conditions that the parts of it keep up to date.
//! Being alive is no condition here; a process that answers is alive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

const UNKNOWN: &str = "not known yet";

/// The conditions of one service.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

/// One condition, held by the part that knows about it.
#[derive(Clone)]
pub struct Condition {
    health: Health,
    at: usize,
}

#[derive(Default)]
struct State {
    conditions: Vec<(String, Option<String>)>,
    notes: BTreeMap<String, String>,
    started: bool,
    draining: bool,
}

impl Health {
    /// No conditions yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition. It does not hold until somebody says so.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let mut state = self.state();
        state.conditions.push((name.into(), Some(UNKNOWN.to_owned())));
        Condition { health: self.clone(), at: state.conditions.len() - 1 }
    }

    /// Fails with the name and the reason of every condition that does not hold.
    pub fn ready(&self) -> Result<(), Vec<(String, String)>> {
        let state = self.state();
        let draining = state.draining.then(|| ("shutdown".to_owned(), "draining".to_owned()));
        let broken = state.conditions.iter().filter_map(|(name, reason)| {
            reason.as_ref().map(|reason| (name.clone(), reason.clone()))
        });
        let reasons: Vec<_> = draining.into_iter().chain(broken).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Whether every condition has held at the same time once.
    pub fn started(&self) -> bool {
        self.state().note_start()
    }

    /// Turns readiness off for good: the process is about to end.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// Tells something that does not make the service unready, or takes it back.
    pub(crate) fn note(&self, name: &str, reason: Option<String>) {
        let mut state = self.state();
        match reason {
            Some(reason) => drop(state.notes.insert(name.to_owned(), reason)),
            None => drop(state.notes.remove(name)),
        }
    }

    /// Every condition with the reason why it does not hold, and what else there is to tell.
    pub fn conditions(&self) -> Vec<(String, Option<String>)> {
        let state = self.state();
        let notes = state.notes.iter().map(|(name, reason)| (name.clone(), Some(reason.clone())));
        state.conditions.iter().cloned().chain(notes).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Condition {
    /// The condition holds.
    pub fn ok(&self) {
        self.set(None);
    }

    /// The condition does not hold.
    pub fn not(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        let mut state = self.health.state();
        state.conditions[self.at].1 = reason;
        state.note_start();
    }
}

impl State {
    fn note_start(&mut self) -> bool {
        self.started |= self.conditions.iter().all(|(_, reason)| reason.is_none());
        self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_nobody_has_spoken_about_is_not_ready() {
        let health = Health::new();
        let database = health.condition("database");
        assert_eq!(health.ready(), Err(vec![("database".into(), UNKNOWN.into())]));
        assert!(!health.started());
        database.ok();
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn started_stays_when_readiness_goes() {
        let health = Health::new();
        let (database, broker) = (health.condition("database"), health.condition("broker"));
        database.ok();
        broker.ok();
        broker.not("no answer");
        assert_eq!(health.ready(), Err(vec![("broker".into(), "no answer".into())]));
        assert!(health.started());
    }

    #[test]
    fn a_note_is_told_and_takes_no_readiness() {
        let health = Health::new();
        health.note("bank", Some("away".to_owned()));
        assert_eq!(health.ready(), Ok(()));
        assert_eq!(health.conditions(), [("bank".to_owned(), Some("away".to_owned()))]);
        health.note("bank", None);
        assert!(health.conditions().is_empty());
    }

    #[test]
    fn a_drained_service_is_never_ready_again() {
        let health = Health::new();
        let database = health.condition("database");
        database.ok();
        health.drain();
        database.ok();
        assert_eq!(health.ready(), Err(vec![("shutdown".into(), "draining".into())]));
    }
}
