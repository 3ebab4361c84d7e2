//! Facts on their way from their transaction to the relay of the same process, so that it need not read
//! them. They take their place while the rows of their keys are locked: the order of a key here is the order
//! of its commits. What has no place here, the relay finds in its table.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::publish::Outgoing;

/// On their way at most; what comes beyond is read from the table.
const RECORDS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// A transaction that is not committed for so long holds up nobody: what comes behind it is read from the
/// table.
const PATIENCE: Duration = Duration::from_millis(20);

/// Facts of all transactions of a service in this process.
#[derive(Default)]
pub(crate) struct Fresh {
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    /// Shards whose facts the relay of this process sends, as bits.
    shards: u32,
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    records: usize,
    bytes: usize,
    /// There is something in the table that is not here.
    missed: bool,
}

/// The facts of one transaction.
struct Entry {
    state: State,
    since: Instant,
    rows: Vec<Outgoing>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Committed,
    /// Whether it was committed is not known.
    Lost,
}

/// What the relay takes.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) rows: Vec<Outgoing>,
    /// There is something in the table that is not among them.
    pub(super) missed: bool,
}

/// The place of a transaction's facts. Dropped before its commit, nobody knows what became of it.
pub(crate) struct Place {
    fresh: Arc<Fresh>,
    number: Option<u64>,
    missed: bool,
    committed: bool,
}

impl Fresh {
    /// A place for the facts of a transaction that has locked the rows of their keys.
    pub(crate) fn place(self: &Arc<Self>, rows: Vec<Outgoing>) -> Place {
        let mut queue = self.lock();
        let all = rows.len();
        let mut rows = rows;
        rows.retain(|row| queue.shards & (1 << row.shard) != 0);
        let bytes: usize = rows.iter().map(Outgoing::bytes).sum();
        if queue.records + rows.len() > RECORDS_MAX || queue.bytes + bytes > BYTES_MAX {
            rows.clear();
        }
        let missed = rows.len() < all;
        let number = (!rows.is_empty()).then(|| queue.push(rows, bytes));
        Place { fresh: self.clone(), number, missed, committed: false }
    }

    /// The place of what only the table has.
    pub(crate) fn beside(self: &Arc<Self>) -> Place {
        Place { fresh: self.clone(), number: None, missed: true, committed: false }
    }

    /// From now on the facts of these shards are sent from here.
    pub(super) fn open(&self, shards: &[i16]) {
        self.lock().shards = shards.iter().fold(0, |all, shard| all | 1 << shard);
    }

    /// Nobody sends from here any more: all of it is in the table.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        let next = queue.first + queue.entries.len() as u64;
        *queue = Queue { first: next, missed: true, ..Queue::default() };
    }

    /// What was committed, in order, up to a bound; the first transaction whatever its size.
    pub(super) fn take(&self, records_max: usize, bytes_max: usize) -> Taken {
        let mut queue = self.lock();
        queue.pass_over();
        let mut taken = Taken { rows: vec![], missed: std::mem::take(&mut queue.missed) };
        let mut bytes = 0;
        while let Some(entry) = queue.entries.front() {
            let size = entry.bytes();
            let fits =
                taken.rows.len() + entry.rows.len() <= records_max && bytes + size <= bytes_max;
            if entry.state == State::Open || !(fits || taken.rows.is_empty()) {
                break;
            }
            let Some(entry) = queue.pop() else { break };
            match entry.state {
                State::Committed => {
                    bytes += size;
                    taken.rows.extend(entry.rows);
                }
                _ => taken.missed = true,
            }
        }
        taken
    }

    /// Until there may be something to take, but for what is committed behind somebody who is not: then it is
    /// time to look when the patience with him ends.
    pub(super) async fn news(&self) {
        let held_up = self.lock().is_held_up();
        tokio::select! {
            () = self.news.notified() => {}
            () = tokio::time::sleep(PATIENCE), if held_up => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, rows: Vec<Outgoing>, bytes: usize) -> u64 {
        self.records += rows.len();
        self.bytes += bytes;
        self.entries.push_back(Entry { state: State::Open, since: Instant::now(), rows });
        self.first + self.entries.len() as u64 - 1
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        self.records -= entry.rows.len();
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Whether something is committed that cannot be taken.
    fn is_held_up(&self) -> bool {
        self.entries.front().is_some_and(|front| front.state == State::Open)
            && self.entries.iter().any(|entry| entry.state != State::Open && !entry.rows.is_empty())
    }

    /// Leaves to the table what stands behind somebody who is not committed for long.
    fn pass_over(&mut self) {
        let late = |front: &Entry| front.state == State::Open && front.since.elapsed() >= PATIENCE;
        if !self.entries.front().is_some_and(late) {
            return;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.state != State::Open) {
            self.records -= entry.rows.len();
            self.bytes -= entry.bytes();
            self.missed |= !entry.rows.is_empty();
            entry.rows.clear();
        }
    }

    /// Of a place from before the queue was closed nothing is here.
    fn end(&mut self, number: u64, state: State) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.state = state;
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.rows.iter().map(Outgoing::bytes).sum()
    }
}

impl Place {
    /// The transaction is committed: the relay may send.
    pub(crate) fn committed(mut self) {
        self.committed = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = if self.committed { State::Committed } else { State::Lost };
        let mut queue = self.fresh.lock();
        queue.missed |= self.missed;
        if let Some(number) = self.number {
            queue.end(number, state);
        }
        drop(queue);
        self.fresh.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, shard: i16) -> Outgoing {
        Outgoing { id, shard, ..Outgoing::default() }
    }

    fn open() -> Arc<Fresh> {
        let fresh = Arc::new(Fresh::default());
        fresh.open(&[0, 1]);
        fresh
    }

    fn ids(taken: &Taken) -> Vec<i64> {
        taken.rows.iter().map(|row| row.id).collect()
    }

    #[test]
    fn nothing_overtakes_what_took_its_place_before() {
        let fresh = open();
        let (first, second) = (fresh.place(vec![row(1, 0)]), fresh.place(vec![row(2, 0)]));
        second.committed();
        assert_eq!(ids(&fresh.take(10, 10)), [0; 0], "the first is not committed yet");
        first.committed();
        assert_eq!(ids(&fresh.take(10, 10)), [1, 2]);
    }

    #[test]
    fn a_transaction_that_takes_long_holds_up_nobody() {
        let fresh = open();
        let (slow, next) = (fresh.place(vec![row(1, 0)]), fresh.place(vec![row(2, 0)]));
        next.committed();
        assert!(fresh.lock().is_held_up());
        let (began, mut taken) = (Instant::now(), Taken::default());
        while !taken.missed {
            taken = fresh.take(10, 10);
            assert!(taken.rows.is_empty() && began.elapsed() < Duration::from_secs(10));
        }
        assert!(began.elapsed() >= PATIENCE / 2, "who is about to commit is waited for");
        assert!(!fresh.lock().is_held_up(), "it is in the table");
        slow.committed();
        assert_eq!(ids(&fresh.take(10, 10)), [1]);
    }

    #[test]
    fn what_may_have_been_committed_is_looked_for_in_the_table() {
        let fresh = open();
        drop(fresh.place(vec![row(1, 0)]));
        fresh.place(vec![row(2, 0)]).committed();
        let taken = fresh.take(10, 10);
        assert!(taken.missed);
        assert_eq!(ids(&taken), [2]);
    }

    #[test]
    fn facts_of_other_shards_and_without_a_session_are_left_to_the_table() {
        let fresh = open();
        fresh.place(vec![row(1, 0), row(2, 5)]).committed();
        let taken = fresh.take(10, 10);
        assert!(taken.missed);
        assert_eq!(ids(&taken), [1]);
        let left = fresh.place(vec![row(3, 0)]);
        fresh.close();
        fresh.open(&[0]);
        let next = fresh.place(vec![row(4, 0)]);
        left.committed();
        assert_eq!(ids(&fresh.take(10, 10)), [0; 0], "a place of before is not one of now");
        next.committed();
        let taken = fresh.take(10, 10);
        assert_eq!(ids(&taken), [4]);
        assert!(!taken.missed, "told once");
        fresh.beside().committed();
        assert!(fresh.take(10, 10).missed);
    }

    #[test]
    fn what_is_on_its_way_has_a_bound_and_so_has_what_is_taken_at_once() {
        let fresh = open();
        for id in 0..RECORDS_MAX as i64 {
            fresh.place(vec![row(id, 0)]).committed();
        }
        fresh.place(vec![row(-1, 0)]).committed();
        let taken = fresh.take(3, 10);
        assert!(taken.missed);
        assert_eq!(ids(&taken), [0, 1, 2]);
        let many = (0..50).map(|id| row(id, 0)).collect();
        let fresh = open();
        fresh.place(many).committed();
        assert_eq!(fresh.take(3, 10).rows.len(), 50, "a transaction is taken whole");
    }
}
