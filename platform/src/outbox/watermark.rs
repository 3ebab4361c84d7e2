//! From where on the outbox is read. What was sent stays in the index of what was not until nobody
//! can see it any more, and a session that holds its snapshot can see all of it: without a place to
//! begin at, each look for rows walks over everything that was sent since.
//!
//! An id below the place may only be left behind when no transaction can still commit it. The
//! table gives a transaction its number before it draws an id, so all that have drawn one so far
//! have ended when all have with a number below one that is given out now.

/// The lowest id that may be unsent.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    from: i64,
    /// No transaction that drew an id up to this one is in progress.
    settled: i64,
    /// The last id that was drawn, and the number of a transaction begun thereafter.
    asked: Option<(i64, u64)>,
}

impl Watermark {
    /// Where the next look for rows begins.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// The number of the oldest transaction in progress.
    pub(super) fn oldest(&mut self, oldest: u64) {
        if let Some((drawn, _)) = self.asked.take_if(|(_, bound)| oldest >= *bound) {
            self.settled = drawn;
        }
    }

    /// Whether more was drawn, up to this id, than is settled or asked for.
    pub(super) fn asks(&self, drawn: i64) -> bool {
        self.asked.is_none() && drawn > self.settled
    }

    /// The last id drawn, and the number of a transaction begun after that was learned. The number
    /// that a snapshot gives as its upper end is none: it may belong to a transaction in progress.
    pub(super) fn ask(&mut self, drawn: i64, number: u64) {
        self.asked = Some((drawn, number));
    }

    /// The first unsent row that a look for rows found since.
    pub(super) fn found(&mut self, first: Option<i64>) {
        let behind = self.settled + 1;
        self.from = self.from.max(first.map_or(behind, |first| first.min(behind)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind_that_a_transaction_in_progress_may_commit() {
        let mut mark = Watermark::default();
        assert!(!mark.asks(0), "nothing was drawn");
        assert!(mark.asks(10));
        mark.ask(10, 105);
        for oldest in [100, 104] {
            mark.oldest(oldest);
            mark.found(None);
            assert_eq!(mark.from(), 1, "104 may still commit what it drew");
            assert!(!mark.asks(20), "one question at a time");
        }
        mark.oldest(106);
        mark.found(None);
        assert_eq!(mark.from(), 11);
        assert!(!mark.asks(10), "nothing was drawn since");
        assert!(mark.asks(11));
    }

    #[test]
    fn a_row_that_is_not_sent_is_never_behind() {
        let mut mark = Watermark::default();
        mark.ask(10, 2);
        mark.oldest(3);
        mark.found(Some(4));
        assert_eq!(mark.from(), 4);
        mark.found(Some(15));
        assert_eq!(mark.from(), 11);
        mark.found(Some(12));
        assert_eq!(mark.from(), 11, "it never goes back");
    }
}
