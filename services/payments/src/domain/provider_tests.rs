//! Whatever the provider, the customer and a repetition do in whatever order: an order is charged
//! once or not at all, and what is given back is what was taken.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Something that payments learns of one order.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Reserved,
    Cancelled,
    ChargeAnswered,
    RefundAnswered,
}
use Happens::{Cancelled, ChargeAnswered, RefundAnswered, Reserved};

/// The provider's side: what it was asked, and what it has moved.
#[derive(Debug, Default)]
struct Outside {
    charge_asked: bool,
    refund_asked: bool,
    told_accepted: usize,
    told_refused: usize,
    told_refunded: usize,
}

fn order() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn anna() -> CustomerId {
    CustomerId::new("anna").unwrap()
}

fn cad(minor: i64) -> Money {
    Money::new(minor, "CAD".parse().unwrap())
}

fn till() -> Till {
    Till::new(BTreeMap::new(), BTreeMap::new()).paid_by(Purse::Provider)
}

impl Outside {
    /// The provider answers only what it was asked, and says the same each time.
    fn happens(&mut self, till: &mut Till, happens: Happens, refuses: bool) {
        let amount = cad(500);
        match happens {
            Reserved => {
                let charged = till.charge(Uuid::nil(), order(), &anna(), amount).unwrap();
                self.charge_asked |= charged == Charged::Asked;
                assert!(matches!(charged, Charged::Asked | Charged::Before));
            }
            Cancelled => match till.refund(Uuid::nil(), order(), &anna()).unwrap() {
                Undone::Asked(customer, asked) => {
                    assert_eq!((customer, asked), (anna(), amount));
                    assert!(!self.refund_asked, "a second refund");
                    self.refund_asked = true;
                }
                Undone::Withdrawn => {}
                undone => assert_eq!(undone, Undone::Nothing),
            },
            ChargeAnswered if self.charge_asked => {
                let taken = (!refuses).then_some(amount);
                match till.answered(Uuid::nil(), order(), taken).unwrap() {
                    Answered::Accepted => self.told_accepted += 1,
                    Answered::TooLate => {
                        assert!(!self.refund_asked, "a second refund");
                        (self.told_accepted, self.refund_asked) = (self.told_accepted + 1, true);
                    }
                    Answered::Refused => self.told_refused += 1,
                    Answered::Before => {}
                }
            }
            RefundAnswered if self.refund_asked => {
                self.told_refunded +=
                    usize::from(till.given_back(Uuid::nil(), order(), amount).unwrap());
            }
            ChargeAnswered | RefundAnswered => {}
        }
    }
}

fn net(till: &Till) -> i64 {
    let sides: Vec<(String, i64)> = till.postings().iter().flat_map(Posting::sides).collect();
    assert_eq!(sides.iter().map(|(_, minor)| minor).sum::<i64>(), 0);
    sides.iter().filter(|(account, _)| account == "shop").map(|(_, minor)| minor).sum()
}

proptest! {
    #[test]
    fn an_order_is_charged_once_or_not_at_all(
        story in prop::collection::vec(
            prop::sample::select(vec![Reserved, Cancelled, ChargeAnswered, RefundAnswered]), 0..12),
        refuses in any::<bool>(),
    ) {
        let (mut till, mut outside) = (till(), Outside::default());
        for happens in &story {
            outside.happens(&mut till, *happens, refuses);
            let charges = till.postings().iter().filter(|it| it.kind == Kind::Charge).count();
            prop_assert!(charges <= 1 && [0, 500].contains(&net(&till)));
        }
        // The provider answers at last whatever it was asked.
        outside.happens(&mut till, ChargeAnswered, refuses);
        outside.happens(&mut till, RefundAnswered, refuses);
        let cancelled = story.iter().any(|happens| matches!(happens, Cancelled));
        let charged = outside.charge_asked && !refuses;
        prop_assert_eq!(net(&till), if charged && !cancelled { 500 } else { 0 });
        prop_assert_eq!(outside.told_accepted, usize::from(charged));
        prop_assert_eq!(outside.told_refused, usize::from(outside.charge_asked && refuses));
        prop_assert_eq!(outside.told_refunded, usize::from(charged && cancelled));
        // Money outside is not money in an account here.
        prop_assert_eq!(till.changed_accounts().count(), 0);
    }
}

#[test]
fn an_answer_about_another_amount_changes_nothing() {
    let mut till = till();
    till.charge(Uuid::nil(), order(), &anna(), cad(500)).unwrap();
    assert_eq!(till.answered(Uuid::nil(), order(), Some(cad(5))), Err(Invalid::Amount(order())));
    assert_eq!(till.answered(Uuid::nil(), order(), Some(cad(500))), Ok(Answered::Accepted));
    till.refund(Uuid::nil(), order(), &anna()).unwrap();
    assert_eq!(till.given_back(Uuid::nil(), order(), cad(5)), Err(Invalid::Amount(order())));
    assert_eq!(till.given_back(Uuid::nil(), order(), cad(500)), Ok(true));
    assert_eq!(net(&till), 0);
}

#[test]
fn what_an_account_paid_goes_back_to_the_account_after_the_provider_came() {
    let accounts = BTreeMap::from([(anna(), cad(700))]);
    let mut till = Till::new(accounts, BTreeMap::new());
    assert_eq!(till.charge(Uuid::nil(), order(), &anna(), cad(500)), Ok(Charged::Accepted));
    let mut till = till.paid_by(Purse::Provider);
    let undone = till.refund(Uuid::max(), order(), &anna());
    assert_eq!(undone, Ok(Undone::Refunded(anna(), cad(500))));
    assert_eq!(till.balance(&anna()), Some(cad(700)));
}
