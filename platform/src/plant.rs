//! Planted defects, so that the checker of the invariants is itself checked: each is one wrong
//! decision at one place, switched on by name at run time. They exist only under the feature
//! `plants`, never in a release build; without it every question is answered by a constant no.

#[cfg(all(feature = "plants", not(debug_assertions)))]
compile_error!("the feature `plants` is for debug builds only");

macro_rules! plants {
    ($($name:ident $text:literal $breaks:tt $what:literal)*) => {
        /// A defect that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant {
            $(#[doc = $what] $name,)*
        }

        impl Plant {
            /// Every defect there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name by which `MILLRACE_PLANT` knows it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What is broken, in a line.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }

            /// The invariants of which the checker must name at least one.
            pub fn breaks(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &$breaks,)*
                }
            }
        }
    };
}

plants! {
    InboxBefore "inbox-before" ["I1", "I4", "I9"] "the inbox row is committed before the work, which may then never be done"
    InboxAfter "inbox-after" ["I2", "I6", "I12"] "the inbox row is committed after the work, and not when the process dies between"
    InboxWithoutDigest "inbox-without-digest" ["I11"] "the inbox keeps no digest, so that another body under a known id passes for a repetition"
    InboxLast "inbox-last" ["I6"] "the inbox row comes last and never refuses, and no version is asked for"
    OffsetBeforeCommit "offset-before-commit" ["I2", "I12"] "the offset is stored before the transaction commits, and stays when it does not"
    OffsetBeyondBatch "offset-beyond-batch" ["I2", "I12"] "the offset that is stored is one record beyond the batch"
    OffsetAtPoll "offset-at-poll" ["I2", "I12"] "the client stores offsets when records are polled"
    OffsetLatest "offset-latest" ["I2", "I12"] "a new group begins behind the newest record"
    GuardOff "guard-off" ["I4"] "the last applied version is not remembered"
    VersionByClock "version-by-clock" ["I4"] "versions are taken from the wall clock"
    RelayCursor "relay-cursor" ["I2"] "the relay reads on from the highest id it has sent"
    RelaySkipLocked "relay-skip-locked" ["I4"] "two relays share the rows of a key, each passing over what the other holds"
    RelayReversed "relay-reversed" ["I4"] "the relay sends a batch in the wrong order"
    RelayMarkedFirst "relay-marked-first" ["I2"] "rows are marked as sent before the broker has them, and the relay dies between"
    RelayUnawaited "relay-unawaited" ["I2"] "sends are not awaited, and the producer is dropped with some in its hands"
    RelayVersionLost "relay-version-lost" ["I4"] "every record is sent as version 1"
    RelayNewIdentity "relay-new-identity" ["I3"] "a record gets another identity than the row it was made from"
    PartitionCrc "partition-crc" ["I5"] "the partition is taken from the CRC32 of the key"
    KeyCase "key-case" ["I3"] "the key of a record is written in capitals"
    CorrelationLost "correlation-lost" ["I16"] "the flow is begun anew with each fact"
    CausationLost "causation-lost" ["I9"] "a fact does not say which one led to it"
    TraceLost "trace-lost" ["I16"] "a fact carries no trace"
    TraceBroken "trace-broken" ["I16"] "a fact carries a trace of its own"
    DoorKeyIgnored "door-key-ignored" ["I14"] "the idempotency key is not looked at"
    DoorAnswerLost "door-answer-lost" ["I14"] "the answer is not stored under its key"
    DoorTwoTransactions "door-two-transactions" ["I1", "I10"] "state and announcement are two transactions, and the process dies between"
    DoorBeforeCommit "door-before-commit" ["I1"] "the client is answered, and the commit does not come"
    StockReleaseShort "stock-release-short" ["I7"] "one unit less is given back than was taken"
    StockReleaseUnwritten "stock-release-unwritten" ["I7"] "a release changes the level and not the ledger"
    StockReleaseForgotten "stock-release-forgotten" ["I7", "I9"] "a cancelled order keeps what it reserved"
    StockReserveTwice "stock-reserve-twice" ["I7"] "a reservation is taken twice"
    StockPromisesForgotten "stock-promises-forgotten" ["I7"] "what is promised to others is not subtracted"
    SaleTombstoneMissing "sale-tombstone-missing" ["I8", "I9"] "a cancellation before its sale leaves nothing, and the sale is recorded after it"
    SaleNotTakenBack "sale-not-taken-back" ["I8"] "a cancelled sale is announced and goes on counting"
    SaleAmountWrong "sale-amount-wrong" ["I8"] "a sale amounts to one cent more than the order"
    OrderEndsTwice "order-ends-twice" ["I1"] "an order that has ended can end again"
    OrderStepLost "order-step-lost" ["I10"] "an order forgets that it was paid"
    OrderLost "order-lost" ["I1", "I10"] "an order is announced and not stored"
    PriceCopyWrong "price-copy-wrong" ["I10"] "the copy of a price is one cent off"
    PoisonSkipped "poison-skipped" ["I11", "I12"] "a record that cannot be read is passed over"
    TruncatedAccepted "truncated-accepted" ["I11"] "what is missing at the end of a payload is made up"
    ParkAlone "park-alone" ["I4"] "what follows a parked record of its key is handled before it"
    ParkedLost "parked-lost" ["I2", "I12"] "parked records are deleted before they are handled, and the process dies between"
    FollowersReversed "followers-reversed" ["I4"] "the records of a parked key are handled from the last to the first"
    RetryTopic "retry-topic" ["I3", "I4", "I6"] "a failed record is sent to the end of its topic again and counts as done"
    RedriveToTopic "redrive-to-topic" ["I3", "I6"] "a redriven record is sent to its topic again under a new identity"
    RedriveTwice "redrive-twice" ["I6", "I7", "I8"] "a redriven record is handled and stays a dead letter"
    LetterWithoutHeaders "letter-without-headers" ["I11"] "a dead letter has lost the original headers"
    LetterWithoutKey "letter-without-key" ["I11"] "a dead letter has lost its key"
    LetterElsewhere "letter-elsewhere" ["I5"] "a dead letter is put in partition 0"
    LetterEncodedAgain "letter-encoded-again" ["I11"] "a dead letter has other bytes than its original"
    LetterTwice "letter-twice" ["I11"] "a record is buried by every attempt"
    InfrastructurePoison "infrastructure-poison" ["I11"] "a record is buried because the database was away"
    ViewSkips "view-skips" ["I2", "I10"] "a view moves its position over records that it did not fold"
    ChargeTwice "charge-twice" ["I8"] "an order is charged twice"
    RefundTwice "refund-twice" ["I8", "I9"] "a charge is given back twice"
    RefundHalf "refund-half" ["I8"] "half of a charge is given back"
}

impl Plant {
    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|plant| plant.name() == name)
    }
}

/// Whether this defect is switched on.
#[cfg(not(feature = "plants"))]
pub const fn is(_plant: Plant) -> bool {
    false
}

/// Whether this defect is switched on and it is its turn: every `n`th time. What follows from dying
/// at the worst moment is planted so.
#[cfg(not(feature = "plants"))]
pub const fn is_turn(_plant: Plant, _n: u64) -> bool {
    false
}

#[cfg(feature = "plants")]
pub use switched::{is, is_turn, only};

#[cfg(feature = "plants")]
mod switched {
    //! The switches.

    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::Plant;

    struct Switch {
        on: AtomicBool,
        asked: AtomicU64,
    }

    /// Whether this defect is switched on.
    pub fn is(plant: Plant) -> bool {
        switches()[plant as usize].on.load(Ordering::Relaxed)
    }

    /// Whether this defect is switched on and it is its turn: every `n`th time.
    pub fn is_turn(plant: Plant, n: u64) -> bool {
        let asked = || switches()[plant as usize].asked.fetch_add(1, Ordering::Relaxed) + 1;
        is(plant) && asked().is_multiple_of(n)
    }

    /// Switches on this defect and no other, or none, for services that are mounted from now on.
    pub fn only(plant: Option<Plant>) {
        for (switch, known) in switches().iter().zip(Plant::ALL) {
            switch.on.store(plant == Some(*known), Ordering::Relaxed);
            switch.asked.store(0, Ordering::Relaxed);
        }
    }

    /// Switched as the environment says, until a test says otherwise.
    fn switches() -> &'static [Switch] {
        static SWITCHES: OnceLock<Vec<Switch>> = OnceLock::new();
        SWITCHES.get_or_init(|| {
            let wanted = std::env::var("MILLRACE_PLANT").unwrap_or_default();
            let wanted: Vec<&str> = wanted.split(',').collect();
            let switch = |plant: &Plant| Switch {
                on: wanted.contains(&plant.name()).into(),
                asked: AtomicU64::new(0),
            };
            Plant::ALL.iter().map(switch).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_defect_has_a_name_of_its_own_and_an_invariant_that_names_it() {
        let names: BTreeSet<&str> = Plant::ALL.iter().map(|plant| plant.name()).collect();
        assert_eq!(names.len(), Plant::ALL.len());
        assert!(names.len() >= 40, "{}", names.len());
        for plant in Plant::ALL {
            assert_eq!(Plant::named(plant.name()), Some(*plant));
            assert!(!plant.breaks().is_empty() && !plant.what().is_empty(), "{plant:?}");
        }
    }

    #[cfg(not(feature = "plants"))]
    #[test]
    fn without_the_feature_nothing_is_planted() {
        const ON: bool = is(Plant::GuardOff) || is_turn(Plant::GuardOff, 1);
        assert!(!std::hint::black_box(ON));
    }
}
