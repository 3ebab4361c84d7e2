//! Money: exact, of one currency, never silently wrong.

use millrace_contract::{Currency, Money, MoneyError};
use proptest::prelude::*;

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["CAD", "EUR", "JPY", "TND"]).prop_map(|code| code.parse().unwrap())
}

fn money(minor: i64, code: &str) -> Money {
    Money::new(minor, code.parse().unwrap())
}

proptest! {
    #[test]
    fn every_amount_reads_back_as_it_was_printed(minor: i64, currency in currency()) {
        let money = Money::new(minor, currency);
        prop_assert_eq!(Money::parse(&money.amount(), currency), Ok(money));
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
    }

    #[test]
    fn what_is_added_can_be_taken_away(a: i64, b: i64, currency in currency()) {
        let (a, b) = (Money::new(a, currency), Money::new(b, currency));
        match a.plus(b) {
            Ok(sum) => prop_assert_eq!(sum.minus(b), Ok(a)),
            Err(error) => {
                prop_assert_eq!(error, MoneyError::Overflow);
                prop_assert!(a.minor().checked_add(b.minor()).is_none());
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,24}", currency in currency()) {
        if let Ok(money) = Money::parse(&text, currency) {
            prop_assert_eq!(Money::parse(&money.amount(), currency), Ok(money));
        }
    }
}

#[test]
fn arithmetic_refuses_to_overflow() {
    let (max, min) = (money(i64::MAX, "CAD"), money(i64::MIN, "CAD"));
    assert_eq!(max.plus(money(1, "CAD")), Err(MoneyError::Overflow));
    assert_eq!(min.minus(money(1, "CAD")), Err(MoneyError::Overflow));
    assert_eq!(max.times(2), Err(MoneyError::Overflow));
    assert_eq!(min.times(-1), Err(MoneyError::Overflow));
    assert_eq!(money(250, "CAD").times(3), Ok(money(750, "CAD")));
}

#[test]
fn two_currencies_never_meet() {
    let (cad, eur) = (money(100, "CAD"), money(100, "EUR"));
    let mismatch = MoneyError::Currency { wanted: cad.currency(), found: eur.currency() };
    assert_eq!(cad.plus(eur), Err(mismatch.clone()));
    assert_eq!(cad.minus(eur), Err(mismatch));
}

#[test]
fn amounts_have_the_digits_of_their_currency() {
    for (minor, code, amount) in [
        (1990, "CAD", "19.90"),
        (5, "CAD", "0.05"),
        (-5, "CAD", "-0.05"),
        (1990, "JPY", "1990"),
        (1990, "TND", "1.990"),
        (i64::MIN, "CAD", "-92233720368547758.08"),
    ] {
        assert_eq!(money(minor, code).amount(), amount);
        assert_eq!(Money::parse(amount, code.parse().unwrap()), Ok(money(minor, code)));
    }
    assert_eq!(Money::parse("19", "CAD".parse().unwrap()), Ok(money(1900, "CAD")));
}

#[test]
fn texts_that_are_no_amount_are_refused() {
    let cad = "CAD".parse().unwrap();
    for text in [
        "", "-", ".", ".5", "1.", "1.5", "1.555", "01.00", "+1.00", "1,00", "1e2", " 1", "--1", "٣",
    ] {
        assert_eq!(Money::parse(text, cad), Err(MoneyError::Format(2)), "{text:?}");
    }
    for text in ["92233720368547758.08", "-92233720368547758.09", "99999999999999999999"] {
        assert_eq!(Money::parse(text, cad), Err(MoneyError::Overflow), "{text:?}");
    }
    assert_eq!(Money::parse("1.00", "JPY".parse().unwrap()), Err(MoneyError::Format(0)));
}

#[test]
fn only_known_currency_codes_are_taken() {
    for code in ["", " ", "cad", "CA", "CADX", "XXX", "AED ", "C\0D"] {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{code:?}");
    }
    // The first and last of every line of the table, so that no two codes run into one.
    for code in ["BIF", "XPF", "AED", "BZD", "CAD", "GIP", "ZWG", "TND"] {
        assert_eq!(code.parse::<Currency>().unwrap().code(), code);
    }
}

#[test]
fn json_says_amount_and_currency() {
    let json = serde_json::json!({"amount": "19.90", "currency": "CAD"});
    assert_eq!(serde_json::to_value(money(1990, "CAD")).unwrap(), json);
    for wrong in [
        r#"{"amount":19.90,"currency":"CAD"}"#,
        r#"{"amount":"19.9","currency":"CAD"}"#,
        r#"{"amount":"19.90"}"#,
        r#"{"amount":"19.90","currency":"CAD","tip":"1.00"}"#,
    ] {
        assert!(serde_json::from_str::<Money>(wrong).is_err(), "{wrong}");
    }
}

/// Of all codes of three letters those of ISO 4217, each with its digits.
#[test]
fn the_codes_of_the_list_are_currencies_and_no_others() {
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes = letters()
        .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    let mut digits = std::collections::BTreeMap::new();
    for currency in codes.filter_map(|code| code.parse::<Currency>().ok()) {
        *digits.entry(currency.digits()).or_insert(0) += 1;
    }
    assert_eq!(digits, [(0, 16), (2, 131), (3, 7)].into());
    let of = |code: &str| code.parse::<Currency>().map(Currency::digits).ok();
    assert_eq!((of("JPY"), of("CAD"), of("ZWG"), of("BHD")), (Some(0), Some(2), Some(2), Some(3)));
    for wrong in ["", "CA", "CADD", "cad", "C D", "é1"] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}
