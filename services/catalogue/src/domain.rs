//! Decisions on articles: what is said when one is listed, gets another price or is withdrawn.
//! Synchronous and total.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Money, ProductListed, ProductRepriced, ProductState, ProductWithdrawn, Sku};

#[cfg(test)]
mod tests;

/// Letters of a name, at most.
pub const NAME_CHARS_MAX: usize = 200;

/// Letters of a category, at most.
pub const CATEGORY_CHARS_MAX: usize = 64;

/// An article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// What it is called.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// What it belongs to.
    pub category: String,
    /// It is no longer sold.
    pub withdrawn: bool,
}

/// Why an article cannot be listed or withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is empty, too long or not plain text.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters, none of them a control character")]
    Name,
    /// The category is empty, too long or not plain text.
    #[error(
        "a category has 1 to {CATEGORY_CHARS_MAX} characters, none of them a control character"
    )]
    Category,
    /// Nothing is free.
    #[error("a price is more than zero")]
    Price,
    /// No article has this sku.
    #[error("there is no article with this sku")]
    Unknown,
}

/// What is to be said of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// It is sold, or sold under another name or category.
    pub listed: Option<ProductListed>,
    /// It has another price.
    pub repriced: Option<ProductRepriced>,
    /// It is no longer sold.
    pub withdrawn: Option<ProductWithdrawn>,
    /// What is true of it now; always said, so that a reader who lost it can be helped.
    pub state: ProductState,
}

/// The articles in hand, each with the revision that was read.
#[derive(Debug, Default)]
pub struct Catalogue {
    products: BTreeMap<Sku, (u64, Product)>,
    changed: BTreeSet<Sku>,
}

impl Product {
    /// Checks an article that is to be sold.
    pub fn new(name: &str, price: Money, category: &str) -> Result<Self, Refusal> {
        if !is_text(name, NAME_CHARS_MAX) {
            return Err(Refusal::Name);
        }
        check_category(category)?;
        if price.minor() <= 0 {
            return Err(Refusal::Price);
        }
        let (name, category) = (name.to_owned(), category.to_owned());
        Ok(Self { name, price, category, withdrawn: false })
    }

    fn state(&self, sku: &Sku) -> ProductState {
        let Self { name, price, category, withdrawn } = self.clone();
        ProductState { sku: sku.clone(), name, price, category, withdrawn }
    }
}

impl Catalogue {
    /// Takes the rows that were read.
    pub fn new(products: BTreeMap<Sku, (u64, Product)>) -> Self {
        Self { products, changed: BTreeSet::new() }
    }

    /// Sells an article as given, whether it was sold before or not.
    pub fn list(&mut self, sku: &Sku, product: Product) -> Said {
        let before = self.products.get(sku).map(|(_, before)| before).filter(|p| !p.withdrawn);
        let is_same = |old: &&Product| old.name == product.name && old.category == product.category;
        let Product { name, price, category, .. } = product.clone();
        let listed = ProductListed { sku: sku.clone(), name, price, category };
        let repriced = before.filter(|old| old.price != price).map(|old| ProductRepriced {
            sku: sku.clone(),
            old_price: old.price,
            new_price: price,
        });
        let listed = before.filter(is_same).is_none().then_some(listed);
        let state = product.state(sku);
        self.put(sku, product);
        Said { listed, repriced, withdrawn: None, state }
    }

    /// Sells an article no more; says nothing new when that was so before.
    pub fn withdraw(&mut self, sku: &Sku) -> Result<Said, Refusal> {
        let (_, before) = self.products.get(sku).ok_or(Refusal::Unknown)?;
        let withdrawn = (!before.withdrawn).then(|| ProductWithdrawn { sku: sku.clone() });
        let product = Product { withdrawn: true, ..before.clone() };
        let state = product.state(sku);
        self.put(sku, product);
        Ok(Said { listed: None, repriced: None, withdrawn, state })
    }

    /// Articles to be saved, with the revision that was read; 0 for a new one.
    pub fn changed(&self) -> impl Iterator<Item = (&Sku, u64, &Product)> {
        let row = |sku| self.products.get_key_value(sku);
        self.changed
            .iter()
            .filter_map(row)
            .map(|(sku, (revision, product))| (sku, *revision, product))
    }

    fn put(&mut self, sku: &Sku, product: Product) {
        let revision = self.products.get(sku).map_or(0, |(revision, _)| *revision);
        self.products.insert(sku.clone(), (revision, product));
        self.changed.insert(sku.clone());
    }
}

/// Refuses a text that can be the category of no article.
pub fn check_category(category: &str) -> Result<(), Refusal> {
    match is_text(category, CATEGORY_CHARS_MAX) {
        true => Ok(()),
        false => Err(Refusal::Category),
    }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    let length = text.chars().count();
    let plain = !text.chars().any(char::is_control);
    (1..=chars_max).contains(&length) && plain && text.trim() == text
}
