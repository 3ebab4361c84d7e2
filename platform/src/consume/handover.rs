//! Records on their way from the polling thread to the batch loop, bounded by their number and by
//! their bytes: a thousand records can be a gigabyte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::arrive::Record;

/// Records that are on their way at most.
const RECORDS_MAX: usize = 1_000;
/// Nothing more is taken while they have so many bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The polling thread's end.
pub(super) struct Giver {
    sender: Sender<Record>,
    bytes: Arc<AtomicUsize>,
}

/// The batch loop's end.
pub(crate) struct Taker {
    receiver: Receiver<Record>,
    bytes: Arc<AtomicUsize>,
}

pub(super) fn handover() -> (Giver, Taker) {
    let (sender, receiver) = channel(RECORDS_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Giver { sender, bytes: bytes.clone() }, Taker { receiver, bytes })
}

impl Giver {
    /// Gives a record, or has it back when there is no room for it.
    pub(super) fn offer(&self, record: Record) -> Result<(), Box<Record>> {
        if self.bytes.load(Ordering::Relaxed) >= BYTES_MAX {
            return Err(Box::new(record));
        }
        let bytes = record.memory();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sender.try_send(record).map_err(|refused| {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            let (TrySendError::Full(record) | TrySendError::Closed(record)) = refused;
            Box::new(record)
        })
    }

    /// Nobody takes records any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Taker {
    /// The next record; `None` when none will come.
    pub(crate) async fn recv(&mut self) -> Option<Record> {
        let record = self.receiver.recv().await?;
        Some(self.taken(record))
    }

    /// The next record, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Record> {
        let record = self.receiver.try_recv().ok()?;
        Some(self.taken(record))
    }

    fn taken(&self, record: Record) -> Record {
        self.bytes.fetch_sub(record.memory(), Ordering::Relaxed);
        record
    }
}

#[cfg(test)]
mod tests {
    use millrace_contract::Position;

    use super::super::packed::Packed;
    use super::*;

    fn record(bytes: usize) -> Record {
        Record {
            position: Position { topic: "t", partition: 0, offset: 0 },
            timestamp_ms: None,
            key: None,
            payload: Some(vec![0; bytes]),
            headers: Some(Packed::default()),
            generation: 0,
        }
    }

    #[test]
    fn what_is_on_its_way_has_a_bound_in_records_and_in_bytes() {
        for (bytes, most) in [(1, RECORDS_MAX), (BYTES_MAX / 4, 4), (2 * BYTES_MAX, 1)] {
            let (giver, mut taker) = handover();
            let given = (0..=RECORDS_MAX).take_while(|_| giver.offer(record(bytes)).is_ok());
            assert_eq!(given.count(), most, "{bytes}");
            assert!(taker.try_recv().is_some());
            giver.offer(record(bytes)).unwrap();
        }
    }

    #[test]
    fn a_record_is_given_back_when_nobody_takes_it() {
        let (giver, taker) = handover();
        drop(taker);
        assert!(giver.is_closed());
        assert_eq!(giver.offer(record(7)).unwrap_err().memory(), 7);
    }
}
