//! Typed identifiers: one spelling each, and refused when malformed.

use proptest::prelude::*;
use schemas::{CustomerId, ID_CHARS_MAX, OrderId, SaleId, Sku, StoreId};

const ORDER: &str = "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60";

proptest! {
    #[test]
    fn identifiers_read_back_as_they_were_printed(text in "[A-Za-z0-9._-]{1,64}", id: u128) {
        let sku = Sku::new(&text).unwrap();
        prop_assert_eq!(sku.as_str(), &text);
        let json = serde_json::to_string(&sku).unwrap();
        prop_assert_eq!(serde_json::from_str::<Sku>(&json).unwrap().to_string(), text);
        let order = OrderId::new(millrace_contract::uuid::Uuid::from_u128(id));
        prop_assert_eq!(order.to_string().parse::<OrderId>(), Ok(order));
    }

    #[test]
    fn texts_with_other_characters_are_refused(text in "\\PC{0,80}") {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let fits = (1..=ID_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed);
        prop_assert_eq!(Sku::new(&text).is_ok(), fits);
        prop_assert_eq!(CustomerId::new(&text).is_ok(), fits);
        prop_assert_eq!(StoreId::new(&text).is_ok(), fits);
    }
}

#[test]
fn a_text_identifier_has_1_to_64_characters() {
    assert!(Sku::new("").is_err());
    assert!(Sku::new(&"x".repeat(64)).is_ok());
    assert!(Sku::new(&"x".repeat(65)).is_err());
    assert!(serde_json::from_str::<Sku>("\"\"").is_err());
}

#[test]
fn an_order_id_has_one_spelling() {
    assert_eq!(ORDER.parse::<OrderId>().unwrap().to_string(), ORDER);
    assert!(ORDER.to_uppercase().parse::<OrderId>().is_err());
    assert!(ORDER.replace('-', "").parse::<OrderId>().is_err());
    assert!(serde_json::from_value::<OrderId>(ORDER.to_uppercase().into()).is_err());
}

#[test]
fn an_order_has_one_sale_for_ever() {
    let order: OrderId = ORDER.parse().unwrap();
    assert_eq!(SaleId::of(order).to_string(), "8bc97bcd-c660-59ce-a173-caf5fb44a5dc");
    let other: OrderId = "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f61".parse().unwrap();
    assert_ne!(SaleId::of(order), SaleId::of(other));
}
