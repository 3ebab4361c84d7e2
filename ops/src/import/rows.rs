//! What the rows of a file mean, and every way in which they can be wrong. The bounds are those of
//! the services, so that hardly any row that is taken here is refused there.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use schemas::{Currency, CustomerId, Money, Sku, StoreId, Timestamp};
use serde_json::{Value, json};

use super::Kind;
use crate::retailer::Product;

const REFERENCE_CHARS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 200;
const CATEGORY_CHARS_MAX: usize = 64;
const ARTICLES_MAX: usize = 50;
const ORDERED_MAX: i64 = 10_000;
const RECEIVED_MAX: i64 = 1_000_000_000;

/// A row with its line in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered<T> {
    /// From 1.
    pub line: u64,
    /// The row.
    pub row: T,
}

/// The rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// Articles.
    Products(Vec<Numbered<Product>>),
    /// Goods for a store.
    Stock(Vec<Numbered<(StoreId, Sku, i64)>>),
    /// What customers pay in.
    Accounts(Vec<Numbered<(CustomerId, Money)>>),
    /// Orders in the order of their first lines.
    Orders(Vec<Order>),
}

/// An order of a file. A file may have a hundred thousand of them, so they share their texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The line of its first article.
    pub line: u64,
    /// What the file calls it.
    pub order_ref: Box<str>,
    customer: Arc<str>,
    store: Arc<str>,
    placed_at: Timestamp,
    lines: Vec<(Arc<str>, i64)>,
}

/// Rows as they come.
pub(super) struct Gathering {
    rows: Rows,
    /// Where a name was first seen: the line, or the place of the order.
    seen: HashMap<Box<str>, u64>,
    texts: HashSet<Arc<str>>,
}

/// Reads the fields of one row and remembers all that is wrong with them.
struct Fields<'a> {
    columns: &'static [&'static str],
    texts: &'a [String],
    wrong: Vec<String>,
}

impl Rows {
    /// How many things are sent: orders, or rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Products(rows) => rows.len(),
            Self::Stock(rows) => rows.len(),
            Self::Accounts(rows) => rows.len(),
            Self::Orders(orders) => orders.len(),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Order {
    /// The articles, as they were checked.
    pub(crate) fn skus(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|(sku, _)| &**sku)
    }

    /// What the orders service is told.
    pub(crate) fn body(&self) -> Value {
        let line =
            |(sku, quantity): &(Arc<str>, i64)| json!({ "sku": &**sku, "quantity": quantity });
        json!({
            "customer_id": &*self.customer,
            "store_id": &*self.store,
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
            "placed_at": self.placed_at,
            "order_ref": &*self.order_ref,
        })
    }
}

impl Gathering {
    pub(super) fn new(kind: Kind) -> Self {
        let rows = match kind {
            Kind::Products => Rows::Products(vec![]),
            Kind::Stock => Rows::Stock(vec![]),
            Kind::Accounts => Rows::Accounts(vec![]),
            Kind::Orders => Rows::Orders(vec![]),
        };
        Self { rows, seen: HashMap::new(), texts: HashSet::new() }
    }

    pub(super) fn rows(self) -> Rows {
        self.rows
    }

    /// Takes a row, or says everything that is wrong with it.
    pub(super) fn take(&mut self, line: u64, texts: &[String]) -> Result<(), String> {
        let fields = |kind: Kind| Fields { columns: kind.columns(), texts, wrong: vec![] };
        match &mut self.rows {
            Rows::Products(rows) => {
                let row = product(fields(Kind::Products))?;
                once(&mut self.seen, "sku", row.sku.as_str(), line)?;
                rows.push(Numbered { line, row });
            }
            Rows::Stock(rows) => {
                rows.push(Numbered { line, row: receipt(fields(Kind::Stock))? });
            }
            Rows::Accounts(rows) => {
                let row = account(fields(Kind::Accounts))?;
                once(&mut self.seen, "customer", row.0.as_str(), line)?;
                rows.push(Numbered { line, row });
            }
            Rows::Orders(orders) => {
                let row = order_line(fields(Kind::Orders))?;
                add_line(orders, &mut self.seen, &mut self.texts, line, row)?;
            }
        }
        Ok(())
    }
}

fn once(
    seen: &mut HashMap<Box<str>, u64>,
    column: &str,
    text: &str,
    line: u64,
) -> Result<(), String> {
    match seen.insert(text.into(), line) {
        Some(first) => Err(format!("{column} {text} is on line {first} already")),
        None => Ok(()),
    }
}

fn product(mut fields: Fields<'_>) -> Result<Product, String> {
    let sku = fields.parsed("sku");
    let name = fields.plain("name", NAME_CHARS_MAX);
    let category = fields.plain("category", CATEGORY_CHARS_MAX);
    let price = fields.money("price", 1);
    fields.all((sku, name, price, category), |(sku, name, price, category)| {
        Some(Product { sku: sku?, name: name?, price: price?, category: category? })
    })
}

fn receipt(mut fields: Fields<'_>) -> Result<(StoreId, Sku, i64), String> {
    let (store, sku) = (fields.parsed("store"), fields.parsed("sku"));
    let quantity = fields.quantity(RECEIVED_MAX);
    fields.all((store, sku, quantity), |(store, sku, quantity)| Some((store?, sku?, quantity?)))
}

fn account(mut fields: Fields<'_>) -> Result<(CustomerId, Money), String> {
    let (customer, balance) = (fields.parsed("customer"), fields.money("balance", 0));
    fields.all((customer, balance), |(customer, balance)| Some((customer?, balance?)))
}

/// A line of an order before it is known to which.
struct OrderRow {
    order_ref: String,
    customer: CustomerId,
    store: StoreId,
    sku: Sku,
    quantity: i64,
    placed_at: Timestamp,
}

fn order_line(mut fields: Fields<'_>) -> Result<OrderRow, String> {
    let order_ref = fields.plain("order_ref", REFERENCE_CHARS_MAX);
    let (customer, store, sku) =
        (fields.parsed("customer"), fields.parsed("store"), fields.parsed("sku"));
    let (quantity, placed_at) = (fields.quantity(ORDERED_MAX), fields.time("placed_at"));
    let all = (order_ref, customer, store, sku, quantity, placed_at);
    fields.all(all, |(order_ref, customer, store, sku, quantity, placed_at)| {
        Some(OrderRow {
            order_ref: order_ref?,
            customer: customer?,
            store: store?,
            sku: sku?,
            quantity: quantity?,
            placed_at: placed_at?,
        })
    })
}

/// Puts a line to its order, with which it must agree.
fn add_line(
    orders: &mut Vec<Order>,
    seen: &mut HashMap<Box<str>, u64>,
    texts: &mut HashSet<Arc<str>>,
    line: u64,
    row: OrderRow,
) -> Result<(), String> {
    let place = seen.get(row.order_ref.as_str()).and_then(|place| usize::try_from(*place).ok());
    let mut shared = |text: &str| match texts.get(text) {
        Some(shared) => shared.clone(),
        None => {
            let shared: Arc<str> = text.into();
            texts.insert(shared.clone());
            shared
        }
    };
    let sku = shared(row.sku.as_str());
    let Some(order) = place.and_then(|place| orders.get_mut(place)) else {
        seen.insert(row.order_ref.as_str().into(), orders.len() as u64);
        orders.push(Order {
            line,
            order_ref: row.order_ref.into(),
            customer: shared(row.customer.as_str()),
            store: shared(row.store.as_str()),
            placed_at: row.placed_at,
            lines: vec![(sku, row.quantity)],
        });
        return Ok(());
    };
    agree(order, &row)?;
    if let Some((_, quantity)) = order.lines.iter_mut().find(|(known, _)| *known == sku) {
        let sum = *quantity + row.quantity;
        if sum > ORDERED_MAX {
            return Err(format!("order {} has more than {ORDERED_MAX} of {sku}", order.order_ref));
        }
        *quantity = sum;
        return Ok(());
    }
    if order.lines.len() == ARTICLES_MAX {
        return Err(format!("order {} has more than {ARTICLES_MAX} articles", order.order_ref));
    }
    order.lines.push((sku, row.quantity));
    Ok(())
}

fn agree(order: &Order, row: &OrderRow) -> Result<(), String> {
    let placed_at = (order.placed_at.to_string(), row.placed_at.to_string());
    let same = [
        ("customer", &*order.customer, row.customer.as_str()),
        ("store", &*order.store, row.store.as_str()),
        ("placed_at", placed_at.0.as_str(), placed_at.1.as_str()),
    ];
    let differs = same.into_iter().filter(|(_, first, here)| first != here);
    let differs: Vec<String> = differs
        .map(|(column, first, here)| {
            let (order_ref, line) = (&order.order_ref, order.line);
            format!("{column} is {here}, but {first} on line {line} of order {order_ref}")
        })
        .collect();
    if differs.is_empty() { Ok(()) } else { Err(differs.join("; ")) }
}

impl Fields<'_> {
    /// The row, if every field of it was right.
    fn all<P, T>(self, parts: P, row: impl FnOnce(P) -> Option<T>) -> Result<T, String> {
        row(parts).filter(|_| self.wrong.is_empty()).ok_or_else(|| self.wrong.join("; "))
    }

    fn text(&self, column: &str) -> &str {
        let place = self.columns.iter().position(|known| *known == column);
        place.and_then(|place| self.texts.get(place)).map_or("", String::as_str)
    }

    fn noted<T, E: Display>(&mut self, column: &str, outcome: Result<T, E>) -> Option<T> {
        outcome.map_err(|error| self.wrong.push(format!("{column}: {error}"))).ok()
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, column: &str) -> Option<T> {
        let parsed = self.text(column).parse();
        self.noted(column, parsed)
    }

    fn plain(&mut self, column: &str, chars_max: usize) -> Option<String> {
        let text = self.text(column);
        let fits = (1..=chars_max).contains(&text.chars().count());
        let right = fits && !text.chars().any(char::is_control) && text.trim() == text;
        let wrong = format!(
            "give 1 to {chars_max} characters, without control characters and surrounding blanks"
        );
        let text = right.then(|| text.to_owned()).ok_or(wrong);
        self.noted(column, text)
    }

    fn quantity(&mut self, most: i64) -> Option<i64> {
        let wrong = || format!("give a whole number from 1 to {most}");
        let number =
            self.text("quantity").parse().ok().filter(|number| (1..=most).contains(number));
        self.noted("quantity", number.ok_or_else(wrong))
    }

    fn money(&mut self, column: &str, least_minor: i64) -> Option<Money> {
        let currency: Currency = self.parsed("currency")?;
        let money = Money::parse(self.text(column), currency).map_err(|error| error.to_string());
        let money = money.and_then(|money| match money.minor() >= least_minor {
            true => Ok(money),
            false => Err(format!("give at least {}", Money::new(least_minor, currency))),
        });
        self.noted(column, money)
    }

    fn time(&mut self, column: &str) -> Option<Timestamp> {
        let example = "give a time with its zone, such as 2026-11-20T10:15:00Z";
        let time = self.text(column).parse().map_err(|_| example);
        self.noted(column, time)
    }
}
