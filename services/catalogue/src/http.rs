//! The front door of the catalogue: listing, withdrawing and looking up articles. It decides
//! nothing itself.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use millrace::{Caller, Door, Emit, Json, Path, Problem, Query};
use schemas::{Money, Sku};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{Catalogue, Product, Refusal, Said, check_category};
use crate::store::{self, Keys};

/// Articles in one request, at most.
const PRODUCTS_MAX: usize = 500;

/// Items of a page when nothing is said, and at most.
const PAGE: (u32, u32) = (50, 200);

/// An amount of money: `{"amount":"19.90","currency":"CAD"}`.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "it describes the JSON form of `Money` and is never made")]
struct MoneyBody {
    /// A decimal number with as many digits after the point as the currency has.
    amount: String,
    /// Three letters of ISO 4217.
    currency: String,
}

/// What an article is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The price of one piece, more than zero.
    #[schema(value_type = MoneyBody)]
    price: Money,
    #[schema(min_length = 1, max_length = 64)]
    category: String,
}

/// What articles are to be: all of them are listed, or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[schema(min_items = 1, max_items = 500)]
    products: Vec<BatchLine>,
}

/// What one article is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchLine {
    /// Each at most once in a batch.
    #[schema(value_type = String)]
    sku: Sku,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The price of one piece, more than zero.
    #[schema(value_type = MoneyBody)]
    price: Money,
    #[schema(min_length = 1, max_length = 64)]
    category: String,
}

/// An article.
#[derive(Debug, Serialize, ToSchema)]
struct ProductBody {
    #[schema(value_type = String)]
    sku: Sku,
    name: String,
    #[schema(value_type = MoneyBody)]
    price: Money,
    category: String,
    /// It is no longer sold.
    withdrawn: bool,
}

/// How many articles were listed.
#[derive(Debug, Serialize, ToSchema)]
struct Listed {
    listed: usize,
}

/// A page of articles.
#[derive(Debug, Serialize, ToSchema)]
struct Products {
    items: Vec<ProductBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Sku>,
}

/// Which articles, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Search {
    category: Option<String>,
    /// Items of a page, at most 200; 50 when nothing is said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Sku>,
}

/// All routes.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(product, list, withdraw))
        .routes(routes!(products))
        .routes(routes!(list_many))
}

/// Sells an article as given, whether it was sold before or not.
#[utoipa::path(
    put,
    path = "/v1/products/{sku}",
    params(("sku" = String, Path)),
    request_body = Listing,
    responses((status = 200, body = ProductBody), (status = 422, description = "invalid_name, invalid_category or invalid_price"))
)]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Path(sku): Path<Sku>,
    Json(body): Json<Listing>,
) -> Result<Json<ProductBody>, Problem> {
    let product = Product::new(&body.name, body.price, &body.category);
    let product = product.map_err(|refusal| problem(refusal, ""))?;
    let keys = Keys { skus: [sku.clone()].into() };
    door.command::<Catalogue, _>(&caller, keys, |catalogue, emit| {
        say(emit, catalogue.list(&sku, product.clone()));
        Ok(())
    })
    .await?;
    Ok(Json(product_body(sku, product)))
}

/// Sells many articles as given: all of them, or none.
#[utoipa::path(
    post,
    path = "/v1/product-batches",
    request_body = Batch,
    responses((status = 200, body = Listed), (status = 422, description = "invalid_name, invalid_category, invalid_price, invalid_count or duplicate_sku"))
)]
async fn list_many(
    State(door): State<Door>,
    caller: Caller,
    Json(body): Json<Batch>,
) -> Result<Json<Listed>, Problem> {
    if !(1..=PRODUCTS_MAX).contains(&body.products.len()) {
        let detail = format!("give from 1 to {PRODUCTS_MAX} products");
        return Err(unprocessable("invalid_count").at("/products", detail));
    }
    let mut skus = BTreeSet::new();
    let mut products = Vec::with_capacity(body.products.len());
    for (n, line) in body.products.iter().enumerate() {
        let pointer = format!("/products/{n}");
        if !skus.insert(line.sku.clone()) {
            let detail = "the batch has this sku twice";
            return Err(unprocessable("duplicate_sku").at(pointer + "/sku", detail));
        }
        let product = Product::new(&line.name, line.price, &line.category);
        products.push((&line.sku, product.map_err(|refusal| problem(refusal, &pointer))?));
    }
    door.command::<Catalogue, _>(&caller, Keys { skus }, |catalogue, emit| {
        for (sku, product) in &products {
            say(emit, catalogue.list(sku, product.clone()));
        }
        Ok(Json(Listed { listed: products.len() }))
    })
    .await
}

/// Sells an article no more; doing it again changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/products/{sku}",
    params(("sku" = String, Path)),
    responses((status = 204), (status = 404, description = "unknown_sku"))
)]
async fn withdraw(
    State(door): State<Door>,
    caller: Caller,
    Path(sku): Path<Sku>,
) -> Result<StatusCode, Problem> {
    let keys = Keys { skus: [sku.clone()].into() };
    door.command::<Catalogue, _>(&caller, keys, |catalogue, emit| {
        say(emit, catalogue.withdraw(&sku).map_err(|refusal| problem(refusal, ""))?);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// One article, also when it is no longer sold.
#[utoipa::path(
    get,
    path = "/v1/products/{sku}",
    params(("sku" = String, Path)),
    responses((status = 200, body = ProductBody), (status = 404, description = "unknown_sku"))
)]
async fn product(
    State(door): State<Door>,
    Path(sku): Path<Sku>,
) -> Result<Json<ProductBody>, Problem> {
    let mut tx = door.read().await?;
    let product = store::product(&mut tx, &sku).await?;
    let product = product.ok_or_else(|| problem(Refusal::Unknown, ""))?;
    Ok(Json(product_body(sku, product)))
}

/// Articles that are sold.
#[utoipa::path(
    get,
    path = "/v1/products",
    params(Search),
    responses((status = 200, body = Products), (status = 422, description = "invalid_category"))
)]
async fn products(
    State(door): State<Door>,
    Query(search): Query<Search>,
) -> Result<Json<Products>, Problem> {
    let limit = search.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let (category, after) = (search.category()?, search.cursor.as_ref());
    let mut tx = door.read().await?;
    let products = store::products(&mut tx, category, after, limit.into()).await?;
    let full = products.len() == limit as usize;
    let next_cursor = products.last().filter(|_| full).map(|(sku, _)| sku.clone());
    let items = products.into_iter().map(|(sku, product)| product_body(sku, product)).collect();
    Ok(Json(Products { items, next_cursor }))
}

impl Search {
    fn category(&self) -> Result<Option<&str>, Problem> {
        let refused = |refusal: Refusal| {
            let detail = "No article can be of this category.";
            let problem =
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_category", detail);
            problem.at("category", refusal.to_string())
        };
        let category = self.category.as_deref();
        category.map(check_category).transpose().map_err(refused).map(|_| category)
    }
}

fn say(emit: &mut Emit, said: Said) {
    let Said { listed, repriced, withdrawn, state } = said;
    listed.into_iter().for_each(|fact| emit.fact(fact));
    repriced.into_iter().for_each(|fact| emit.fact(fact));
    withdrawn.into_iter().for_each(|fact| emit.fact(fact));
    emit.fact(state);
}

fn product_body(sku: Sku, product: Product) -> ProductBody {
    let Product { name, price, category, withdrawn } = product;
    ProductBody { sku, name, price, category, withdrawn }
}

fn problem(refusal: Refusal, pointer: &str) -> Problem {
    let (code, field) = match refusal {
        Refusal::Unknown => {
            let detail = "There is no article with this sku.";
            return Problem::new(StatusCode::NOT_FOUND, "unknown_sku", detail);
        }
        Refusal::Name => ("invalid_name", "name"),
        Refusal::Category => ("invalid_category", "category"),
        Refusal::Price => ("invalid_price", "price"),
    };
    unprocessable(code).at(format!("{pointer}/{field}"), refusal.to_string())
}

fn unprocessable(code: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The article cannot be listed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_that_no_article_can_have_is_refused() {
        let search = |category: Option<&str>| {
            let category = category.map(str::to_owned);
            Search { category, limit: None, cursor: None }
        };
        for fits in [None, Some("fruit"), Some("fresh fruit"), Some("fruits d'été")] {
            assert_eq!(search(fits).category(), Ok(fits));
        }
        for wrong in ["", "\0", "fruit\0", "fr\nuit", " fruit", &"x".repeat(65)] {
            let refused = search(Some(wrong)).category().unwrap_err();
            assert_eq!((refused.status().as_u16(), refused.code()), (422, "invalid_category"));
        }
    }
}
