//! What a customer is about to order. A cart merges quantities and keeps its bounds; it knows no
//! prices of its own.

use std::collections::BTreeMap;

use schemas::{CustomerId, Money, OrderId, Sku, StoreId};

use super::Refusal;

/// Different articles in one cart or order, at most.
pub const ARTICLES_MAX: usize = 50;

/// Pieces of one article in a cart or order, at most.
pub const QUANTITY_MAX: i64 = 10_000;

/// Quantities by article, within their bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<Sku, i64>);

/// A cart. It lasts until it is checked out, and is then closed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// Whose it is.
    pub customer: CustomerId,
    /// Where the goods are to come from.
    pub store: StoreId,
    /// What is in it.
    pub lines: Lines,
    /// The order it became.
    pub order: Option<OrderId>,
}

/// What the catalogue says of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its name.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// It is no longer sold.
    pub withdrawn: bool,
}

impl Lines {
    /// Takes lines that were checked before.
    pub fn stored(lines: BTreeMap<Sku, i64>) -> Self {
        Self(lines)
    }

    /// Adds pieces of an article to those that are there.
    pub fn add(&mut self, sku: &Sku, quantity: i64) -> Result<(), Refusal> {
        if !(1..=QUANTITY_MAX).contains(&quantity) {
            return Err(Refusal::Quantity(sku.clone()));
        }
        self.set(sku, self.0.get(sku).copied().unwrap_or_default() + quantity)
    }

    /// Sets the pieces of an article.
    pub fn set(&mut self, sku: &Sku, quantity: i64) -> Result<(), Refusal> {
        if !(1..=QUANTITY_MAX).contains(&quantity) {
            return Err(Refusal::Quantity(sku.clone()));
        }
        if !self.0.contains_key(sku) && self.0.len() == ARTICLES_MAX {
            return Err(Refusal::TooManyArticles);
        }
        self.0.insert(sku.clone(), quantity);
        Ok(())
    }

    /// Takes an article out; nothing happens when it is not there.
    pub fn remove(&mut self, sku: &Sku) {
        self.0.remove(sku);
    }

    /// Article and quantity, in the order of the articles.
    pub fn iter(&self) -> impl Iterator<Item = (&Sku, i64)> {
        self.0.iter().map(|(sku, quantity)| (sku, *quantity))
    }

    /// As a plain map.
    pub fn as_map(&self) -> &BTreeMap<Sku, i64> {
        &self.0
    }
}

impl Cart {
    /// An empty cart.
    pub fn new(customer: CustomerId, store: StoreId) -> Self {
        Self { customer, store, lines: Lines::default(), order: None }
    }

    /// The lines, as long as they may change.
    pub fn open_lines(&mut self) -> Result<&mut Lines, Refusal> {
        match self.order {
            None => Ok(&mut self.lines),
            Some(order) => Err(Refusal::CheckedOut(order)),
        }
    }
}
