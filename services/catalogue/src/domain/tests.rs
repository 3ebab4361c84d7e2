//! What is said of an article is enough to know it: the last state is the row, and nothing is
//! said that is not new.

use proptest::prelude::*;

use super::*;

fn sku() -> Sku {
    Sku::new("apple").unwrap()
}

fn cad(minor: i64) -> Money {
    Money::new(minor, "CAD".parse().unwrap())
}

fn product(name: &str, price: i64, category: &str) -> Product {
    Product::new(name, cad(price), category).unwrap()
}

proptest! {
    #[test]
    fn facts_alone_tell_what_is_sold(
        story in prop::collection::vec(
            prop::option::of((0..3_u8, 1..4_i64, 0..2_u8)), 0..30,
        ),
    ) {
        let mut catalogue = Catalogue::default();
        let mut told: Option<Product> = None;
        for change in story {
            let said = match change {
                Some((name, price, category)) => {
                    let product = product(&format!("n{name}"), price, &format!("c{category}"));
                    catalogue.list(&sku(), product)
                }
                None => match catalogue.withdraw(&sku()) {
                    Ok(said) => said,
                    Err(refusal) => {
                        prop_assert_eq!((refusal, &told), (Refusal::Unknown, &None));
                        continue;
                    }
                },
            };
            if let Some(repriced) = &said.repriced {
                let before = told.as_ref().map(|product| product.price);
                prop_assert_eq!(before, Some(repriced.old_price));
                prop_assert_ne!(repriced.old_price, repriced.new_price);
            }
            told = tell(told, &said);
            let (_, _, now) = catalogue.changed().next().unwrap();
            prop_assert_eq!(told.as_ref(), Some(now));
            prop_assert_eq!(&now.state(&sku()), &said.state);
        }
    }
}

/// What a reader of the facts, but not of the state, knows.
fn tell(before: Option<Product>, said: &Said) -> Option<Product> {
    let mut product = before;
    if let Some(listed) = &said.listed {
        let ProductListed { name, price, category, .. } = listed.clone();
        product = Some(Product { name, price, category, withdrawn: false });
    }
    if let Some(repriced) = &said.repriced {
        product.iter_mut().for_each(|product| product.price = repriced.new_price);
    }
    if said.withdrawn.is_some() {
        product.iter_mut().for_each(|product| product.withdrawn = true);
    }
    product
}

#[test]
fn listing_the_same_again_says_only_the_state() {
    let mut catalogue = Catalogue::default();
    assert!(catalogue.list(&sku(), product("Apple", 100, "fruit")).listed.is_some());
    let again = catalogue.list(&sku(), product("Apple", 100, "fruit"));
    assert_eq!((again.listed, again.repriced, again.withdrawn), (None, None, None));
}

#[test]
fn what_is_not_fit_for_sale_is_refused() {
    let long = "x".repeat(NAME_CHARS_MAX + 1);
    let cases = [
        ("", 100, "fruit", Refusal::Name),
        (" Apple", 100, "fruit", Refusal::Name),
        ("App\u{0}le", 100, "fruit", Refusal::Name),
        (long.as_str(), 100, "fruit", Refusal::Name),
        ("Apple", 100, "", Refusal::Category),
        ("Apple", 100, "fr\nuit", Refusal::Category),
        ("Apple", 0, "fruit", Refusal::Price),
        ("Apple", -1, "fruit", Refusal::Price),
    ];
    for (name, price, category, refusal) in cases {
        assert_eq!(Product::new(name, cad(price), category), Err(refusal));
    }
}
