//! A shop of a run: articles that are never sold out, and customers who can pay for everything.

use std::time::{Duration, Instant};

use schemas::{Currency, CustomerId, Money, Sku, StoreId};
use uuid::Uuid;

use crate::retailer::{ClientError, Product, Retailer};

const ARTICLES: usize = 20;
const CUSTOMERS: usize = 200;
/// More than any run sells.
const ON_HAND: i64 = 100_000_000;
const FUNDS_MINOR: i64 = 1_000_000_000_000;
const PRICE_MINOR: i64 = 1_990;
/// How long prices may be on their way from the catalogue to orders.
const CATALOGUE_LAG: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where the orders of a run are placed.
#[derive(Debug, Clone)]
pub struct Shop {
    store: StoreId,
    articles: Vec<Sku>,
    customers: Vec<CustomerId>,
}

/// An order of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) customer: CustomerId,
    pub(super) store: StoreId,
    pub(super) lines: Vec<(Sku, i64)>,
}

impl Shop {
    /// A shop under a name of its own.
    ///
    /// # Panics
    /// When the name is none that an id may have.
    pub fn new(name: &str) -> Self {
        let id = "a name of letters, digits and hyphens makes an id";
        let article = |n| Sku::new(&format!("{name}-article-{n}")).expect(id);
        let customer = |n| CustomerId::new(&format!("{name}-customer-{n}")).expect(id);
        Self {
            store: StoreId::new(&format!("{name}-store")).expect(id),
            articles: (0..ARTICLES).map(article).collect(),
            customers: (0..CUSTOMERS).map(customer).collect(),
        }
    }

    /// Lists the articles, fills the store and the accounts, and waits until orders knows the prices.
    ///
    /// # Errors
    /// When a service is away, or refuses.
    pub async fn open(&self, retailer: &Retailer) -> Result<(), ClientError> {
        let currency: Currency = "CAD".parse().expect("CAD is a currency");
        let price = Money::new(PRICE_MINOR, currency);
        let product = |sku: &Sku| Product {
            sku: sku.clone(),
            name: "Article of a load test".to_owned(),
            price,
            category: "load-test".to_owned(),
        };
        let products: Vec<_> = self.articles.iter().map(product).collect();
        let goods: Vec<_> =
            self.articles.iter().map(|sku| (self.store.clone(), sku.clone(), ON_HAND)).collect();
        let funds = Money::new(FUNDS_MINOR, currency);
        let funds: Vec<_> = self.customers.iter().map(|it| (it.clone(), funds)).collect();
        let (listing, filling, paying) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        tokio::try_join!(
            retailer.put_products(&products, listing),
            retailer.receive_stocks(&goods, filling),
            retailer.deposits(&funds, paying),
        )?;
        let began = Instant::now();
        for sku in &self.articles {
            while let Err(error) = self.is_sold(retailer, sku).await {
                if began.elapsed() > CATALOGUE_LAG {
                    return Err(error);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn is_sold(&self, retailer: &Retailer, sku: &Sku) -> Result<(), ClientError> {
        let cart = retailer.open_cart(&self.customers[0], &self.store).await?.cart_id;
        retailer.add_to_cart(cart, sku, 1).await.map(drop)
    }

    /// The order with this number: one to three articles.
    pub(super) fn order(&self, number: u64) -> Order {
        let (customers, articles) = (self.customers.len() as u64, self.articles.len() as u64);
        let customer = self.customers[(number * 7 % customers) as usize].clone();
        let line = |n: u64| {
            let sku = self.articles[((number * 3 + n * 7) % articles) as usize].clone();
            (sku, n as i64 + 1)
        };
        let lines = (0..=number % 3).map(line).collect();
        Order { customer, store: self.store.clone(), lines }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn orders_have_up_to_three_different_articles_of_all_there_are() {
        let shop = Shop::new("s");
        let mut sold = BTreeSet::new();
        for number in 0..60 {
            let order = shop.order(number);
            let articles: BTreeSet<_> = order.lines.iter().map(|(sku, _)| sku.clone()).collect();
            assert_eq!(articles.len(), order.lines.len(), "{order:?}");
            assert!((1..=3).contains(&order.lines.len()));
            sold.extend(articles);
        }
        assert_eq!(sold.len(), ARTICLES);
    }
}
