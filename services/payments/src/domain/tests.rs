//! Whatever comes, in whatever order and however often: no cent is lost or made, nobody pays
//! twice, and what is given back is what was taken.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const CUSTOMERS: [&str; 3] = ["anna", "boris", "chloe"];

/// Something that payments learns.
#[derive(Debug, Clone)]
enum Happens {
    Deposit { customer: usize, minor: i64 },
    Reserved { order: usize },
    Cancelled { order: usize },
}

#[derive(Debug, Clone)]
struct Asked {
    customer: usize,
    amount: Money,
}

fn customer(n: usize) -> CustomerId {
    CustomerId::new(CUSTOMERS[n]).unwrap()
}

fn order_id(n: usize) -> OrderId {
    OrderId::new(Uuid::from_u128(n as u128 + 1))
}

fn cad(minor: i64) -> Money {
    Money::new(minor, "CAD".parse().unwrap())
}

fn eur(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().unwrap())
}

/// Two customers have accounts, the third has none.
fn till() -> Till {
    let accounts = [(customer(0), cad(0)), (customer(1), cad(0))];
    Till::new(accounts.into(), BTreeMap::new())
}

fn stories() -> impl Strategy<Value = (Vec<Asked>, Vec<Happens>)> {
    let amount = prop_oneof![8 => (1_i64..500).prop_map(cad), 1 => (1_i64..500).prop_map(eur)];
    let asked =
        (0..CUSTOMERS.len(), amount).prop_map(|(customer, amount)| Asked { customer, amount });
    prop::collection::vec(asked, 1..8).prop_flat_map(|orders| {
        let count = orders.len();
        let happens = prop_oneof![
            (0..2_usize, 1_i64..800)
                .prop_map(|(customer, minor)| Happens::Deposit { customer, minor }),
            (0..count).prop_map(|order| Happens::Reserved { order }),
            (0..count).prop_map(|order| Happens::Cancelled { order }),
        ];
        (Just(orders), prop::collection::vec(happens, 0..60))
    })
}

fn check_sums(till: &Till) -> Result<(), TestCaseError> {
    let mut ledger = BTreeMap::<String, i64>::new();
    for posting in till.postings() {
        for (account, minor) in posting.sides() {
            *ledger.entry(account).or_default() += minor;
        }
    }
    prop_assert_eq!(ledger.values().sum::<i64>(), 0);
    for (customer, balance) in &till.accounts {
        let posted = ledger.get(&format!("customer:{customer}")).copied();
        prop_assert_eq!(posted.unwrap_or_default(), balance.minor());
        prop_assert!(!balance.is_negative());
    }
    let kept = till.charges.values().filter_map(|charge| match charge.state {
        State::Charged(amount) => Some(amount.minor()),
        _ => None,
    });
    prop_assert_eq!(ledger.get("shop").copied().unwrap_or_default(), kept.sum::<i64>());
    Ok(())
}

proptest! {
    #[test]
    fn no_cent_is_lost_or_taken_twice((orders, story) in stories()) {
        let mut till = till();
        let mut answered = BTreeMap::<usize, usize>::new();
        let mut taken = BTreeMap::<usize, Money>::new();
        for (n, happens) in story.into_iter().enumerate() {
            let cause = Uuid::from_u128(n as u128);
            match happens {
                Happens::Deposit { customer: who, minor } => {
                    till.deposit(cause, &customer(who), cad(minor)).unwrap();
                }
                Happens::Reserved { order } => {
                    let Asked { customer: who, amount } = orders[order];
                    match till.charge(cause, order_id(order), &customer(who), amount).unwrap() {
                        Charged::Accepted => {
                            *answered.entry(order).or_default() += 1;
                            taken.insert(order, amount);
                        }
                        Charged::Refused(_) => *answered.entry(order).or_default() += 1,
                        Charged::Before => {}
                        Charged::Asked => prop_assert!(false, "the account pays"),
                    }
                }
                Happens::Cancelled { order } => {
                    let who = customer(orders[order].customer);
                    let undone = till.refund(cause, order_id(order), &who).unwrap();
                    if let Undone::Refunded(payee, amount) = undone {
                        prop_assert_eq!(payee, who);
                        prop_assert_eq!(taken.remove(&order), Some(amount));
                    }
                }
            }
            check_sums(&till)?;
        }
        prop_assert!(answered.values().all(|times| *times == 1));
    }
}

#[test]
fn a_late_charge_after_its_refund_takes_nothing() {
    let mut till = till();
    till.deposit(Uuid::max(), &customer(0), cad(500)).unwrap();
    assert_eq!(till.refund(Uuid::nil(), order_id(0), &customer(0)), Ok(Undone::Nothing));
    let charged = till.charge(Uuid::nil(), order_id(0), &customer(0), cad(100));
    assert_eq!(charged, Ok(Charged::Before));
    assert_eq!(till.balance(&customer(0)), Some(cad(500)));
}

#[test]
fn a_refusal_says_why_and_takes_nothing() {
    let cases = [
        (2, cad(1), RefusalReason::UnknownAccount),
        (0, eur(1), RefusalReason::CurrencyMismatch),
        (0, cad(501), RefusalReason::InsufficientFunds),
        (0, cad(i64::MAX), RefusalReason::InsufficientFunds),
    ];
    for (who, amount, reason) in cases {
        let mut till = till();
        till.deposit(Uuid::max(), &customer(0), cad(500)).unwrap();
        let charged = till.charge(Uuid::nil(), order_id(0), &customer(who), amount);
        assert_eq!(charged, Ok(Charged::Refused(reason)));
        assert_eq!(till.balance(&customer(0)), Some(cad(500)));
    }
}

#[test]
fn a_total_that_no_cart_has_is_refused_and_changes_nothing() {
    for minor in [0, -1, i64::MIN] {
        let mut till = till();
        let charged = till.charge(Uuid::nil(), order_id(0), &customer(0), cad(minor));
        assert_eq!(charged, Err(Invalid::Total(order_id(0))));
        assert_eq!(till.charge_of(order_id(0)), None);
    }
}

#[test]
fn deposits_out_of_bounds_are_refused() {
    let mut till = till();
    let mut deposit = |who, amount| till.deposit(Uuid::nil(), &customer(who), amount);
    assert_eq!(deposit(0, cad(0)), Err(Refusal::NotPositive));
    assert_eq!(deposit(0, cad(i64::MIN)), Err(Refusal::NotPositive));
    assert_eq!(deposit(0, cad(BALANCE_MINOR_MAX + 1)), Err(Refusal::TooMuch));
    assert_eq!(deposit(0, cad(i64::MAX)), Err(Refusal::TooMuch));
    assert_eq!(deposit(0, eur(1)), Err(Refusal::Currency("CAD".parse().unwrap())));
    assert_eq!(deposit(2, cad(1)), Err(Refusal::UnknownAccount));
    assert_eq!(deposit(0, cad(BALANCE_MINOR_MAX)), Ok(cad(BALANCE_MINOR_MAX)));
}

#[test]
fn a_state_is_known_by_its_name_and_amount() {
    let states = [
        State::Asked(cad(1)),
        State::Withdrawn(cad(1)),
        State::Charged(cad(1)),
        State::Refused,
        State::Refunding(cad(1)),
        State::Refunded(cad(1)),
        State::Tombstone,
    ];
    for state in states {
        assert_eq!(State::named(state.as_str(), state.amount()), Some(state));
    }
    assert_eq!(State::named("charged", None), None);
}
