//! Who has live traffic in hand. What can wait, waits for it.

use std::time::Duration;

use tokio::sync::watch;

/// Live traffic rests when it has done so for this long: what one part of it has committed, another
/// one is about to send.
const REST: Duration = Duration::from_millis(2);

/// Counts the pieces of live work.
#[derive(Debug, Default)]
pub(crate) struct Courtesy(watch::Sender<Work>);

#[derive(Debug, Default)]
struct Work {
    in_hand: usize,
    /// Ever begun.
    begun: u64,
}

/// A piece of live work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Courtesy);

impl Courtesy {
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.0.send_modify(|work| (work.in_hand, work.begun) = (work.in_hand + 1, work.begun + 1));
        Busy(self)
    }

    /// How many pieces of live work were ever begun.
    pub(super) fn begun(&self) -> u64 {
        self.0.borrow().begun
    }

    /// Waits until live traffic rests, or for so long.
    pub(super) async fn turn(&self, patience: Duration) {
        let rests = async {
            let mut work = self.0.subscribe();
            while work.wait_for(|work| work.in_hand == 0).await.is_ok() {
                if tokio::time::timeout(REST, work.changed()).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, rests).await.unwrap_or_default();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|work| work.in_hand -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_wait_waits_for_live_traffic_but_not_for_ever() {
        let courtesy = Courtesy::default();
        let busy = courtesy.busy();
        let began = std::time::Instant::now();
        let patience = Duration::from_millis(50);
        courtesy.turn(patience).await;
        assert!(began.elapsed() >= patience, "somebody is busy");
        drop(busy);
        assert_eq!((courtesy.0.borrow().in_hand, courtesy.begun()), (0, 1));
        let mut first = std::pin::pin!(courtesy.turn(patience));
        assert!(futures::poll!(&mut first).is_pending(), "it rests for a moment only");
        first.await;
    }
}
