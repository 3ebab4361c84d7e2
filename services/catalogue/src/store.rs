//! Articles in Postgres: one statement for a batch. It decides nothing and announces nothing.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{Fault, Tx, WorkingSet};
use schemas::{Money, Sku};
use sqlx::{FromRow, Postgres, QueryBuilder};

use crate::domain::{Catalogue, Product};

/// The rows a command needs.
#[derive(Debug, Default)]
pub struct Keys {
    /// Articles that change.
    pub skus: BTreeSet<Sku>,
}

#[derive(FromRow)]
struct ProductRow {
    sku: String,
    name: String,
    price: i64,
    currency: String,
    category: String,
    withdrawn: bool,
    revision: i64,
}

impl WorkingSet for Catalogue {
    type Keys = Keys;

    async fn load(tx: &mut Tx, keys: &Keys) -> Result<Self, Fault> {
        let rows: Vec<ProductRow> = sqlx::query_as(
            "SELECT sku, name, price, currency, category, withdrawn, revision FROM product
             WHERE sku = ANY($1) ORDER BY sku FOR UPDATE",
        )
        .bind(keys.skus.iter().map(Sku::as_str).collect::<Vec<_>>())
        .fetch_all(tx.db())
        .await?;
        let product = |row: ProductRow| {
            let revision = row.revision.unsigned_abs();
            let (sku, product) = row.product()?;
            Ok((sku, (revision, product)))
        };
        let products = rows.into_iter().map(product).collect::<Result<BTreeMap<_, _>, Fault>>();
        Ok(Self::new(products?))
    }

    async fn save(self, tx: &mut Tx) -> Result<(), Fault> {
        save_products(tx, &self.changed().collect::<Vec<_>>()).await
    }
}

/// One article; `None` when it was never sold.
pub async fn product(tx: &mut Tx, sku: &Sku) -> Result<Option<Product>, Fault> {
    let row: Option<ProductRow> = sqlx::query_as(
        "SELECT sku, name, price, currency, category, withdrawn, revision FROM product
         WHERE sku = $1",
    )
    .bind(sku.as_str())
    .fetch_optional(tx.db())
    .await?;
    row.map(|row| Ok(row.product()?.1)).transpose()
}

/// Articles that are sold, of one category or all, in the order of their skus, after the given one.
pub async fn products(
    tx: &mut Tx,
    category: Option<&str>,
    after: Option<&Sku>,
    limit: i64,
) -> Result<Vec<(Sku, Product)>, Fault> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT sku, name, price, currency, category, withdrawn, revision FROM product
         WHERE NOT withdrawn AND sku > ",
    );
    query.push_bind(after.map_or("", Sku::as_str));
    if let Some(category) = category {
        query.push(" AND category = ").push_bind(category);
    }
    query.push(" ORDER BY sku LIMIT ").push_bind(limit);
    let rows: Vec<ProductRow> = query.build_query_as().fetch_all(tx.db()).await?;
    rows.into_iter().map(ProductRow::product).collect()
}

impl ProductRow {
    fn product(self) -> Result<(Sku, Product), Fault> {
        let price = Money::new(self.price, self.currency.parse().map_err(Fault::poison)?);
        let Self { name, category, withdrawn, .. } = self;
        let sku = Sku::new(&self.sku).map_err(Fault::poison)?;
        Ok((sku, Product { name, price, category, withdrawn }))
    }
}

/// A row is written only over the revision that was read, so that of two commands that list a new
/// article at the same time one is asked to come again.
async fn save_products(tx: &mut Tx, products: &[(&Sku, u64, &Product)]) -> Result<(), Fault> {
    if products.is_empty() {
        return Ok(());
    }
    let values = || products.iter().map(|(_, _, product)| product);
    let written = sqlx::query(
        "INSERT INTO product AS old (sku, name, price, currency, category, withdrawn, revision)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
             $6::boolean[], $7::bigint[])
         ON CONFLICT (sku) DO UPDATE SET name = EXCLUDED.name, price = EXCLUDED.price,
             currency = EXCLUDED.currency, category = EXCLUDED.category,
             withdrawn = EXCLUDED.withdrawn, revision = EXCLUDED.revision
         WHERE old.revision + 1 = EXCLUDED.revision",
    )
    .bind(products.iter().map(|(sku, ..)| sku.as_str()).collect::<Vec<_>>())
    .bind(values().map(|product| product.name.as_str()).collect::<Vec<_>>())
    .bind(values().map(|product| product.price.minor()).collect::<Vec<_>>())
    .bind(values().map(|product| product.price.currency().to_string()).collect::<Vec<_>>())
    .bind(values().map(|product| product.category.as_str()).collect::<Vec<_>>())
    .bind(values().map(|product| product.withdrawn).collect::<Vec<_>>())
    .bind(products.iter().map(|(_, revision, _)| *revision as i64 + 1).collect::<Vec<_>>())
    .execute(tx.db())
    .await?
    .rows_affected();
    if written < products.len() as u64 {
        return Err(Fault::transient("another command has changed the same article"));
    }
    Ok(())
}
