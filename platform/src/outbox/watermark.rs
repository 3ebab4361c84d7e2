//! From where on the outbox is read. What was sent stays in the index of what was not until nobody
//! can see it any more, and a session that holds its snapshot can see all of it: without a place to
//! begin at, each look for rows walks over everything that was sent since.
//!
//! An id below the place may only be left behind when no transaction can still commit it. Ids are
//! drawn by transactions that have a number already, so it is enough that all have ended which had
//! one when the id was drawn.

/// The lowest id that may be unsent.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    from: i64,
    /// No transaction that drew an id up to this one is in progress.
    settled: i64,
    /// The last id that was drawn, and the number of the next transaction thereafter.
    asked: Option<(i64, u64)>,
}

impl Watermark {
    /// Where the next look for rows begins.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// The last id drawn so far, and then the numbers of the oldest transaction in progress and of
    /// the next to begin.
    pub(super) fn look(&mut self, drawn: i64, oldest: u64, next: u64) {
        if let Some((drawn, _)) = self.asked.take_if(|(_, bound)| oldest >= *bound) {
            self.settled = drawn;
        }
        self.asked.get_or_insert((drawn, next));
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
        mark.look(10, 100, 105);
        mark.found(None);
        assert_eq!(mark.from(), 1, "104 may still commit what it drew");
        mark.look(20, 104, 110);
        mark.found(None);
        assert_eq!(mark.from(), 1);
        mark.look(30, 105, 120);
        mark.found(None);
        assert_eq!(mark.from(), 11);
        // What was drawn by the second look is asked for from the third on.
        mark.look(40, 121, 130);
        mark.found(None);
        assert_eq!(mark.from(), 31);
    }

    #[test]
    fn a_row_that_is_not_sent_is_never_behind() {
        let mut mark = Watermark::default();
        mark.look(10, 1, 2);
        mark.look(20, 2, 3);
        mark.found(Some(4));
        assert_eq!(mark.from(), 4);
        mark.found(Some(15));
        assert_eq!(mark.from(), 11);
        mark.found(Some(12));
        assert_eq!(mark.from(), 11, "it never goes back");
    }
}
