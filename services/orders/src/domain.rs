//! Decisions on carts and orders: prices come from our own copy of the catalogue, and every order
//! ends in exactly one way. Synchronous and total; it never asks anyone.

mod cart;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::{
    CancelledBy, CustomerId, Money, MoneyError, OrderCancelled, OrderId, OrderLine, OrderPlaced,
    Sku, StoreId, Timestamp,
};
use uuid::Uuid;

pub use cart::{ARTICLES_MAX, Cart, Lines, Product, QUANTITY_MAX};
pub use order::{Order, Status, Step};

use crate::settings::Settings;

/// Why a customer cannot have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No cart has this id.
    #[error("there is no cart with this id")]
    UnknownCart,
    /// The cart has become an order.
    #[error("the cart was checked out as order {0}")]
    CheckedOut(OrderId),
    /// The quantity of an article is out of bounds.
    #[error("the quantity of {0} must be from 1 to {QUANTITY_MAX}")]
    Quantity(Sku),
    /// Too many different articles.
    #[error("at most {ARTICLES_MAX} different articles can be ordered at once")]
    TooManyArticles,
    /// Nothing would be ordered.
    #[error("there is nothing to order")]
    Empty,
    /// The catalogue does not sell this.
    #[error("{0} is not sold here")]
    UnknownSku(Sku),
    /// Prices of different currencies cannot be added.
    #[error("{0} is priced in another currency than the rest")]
    Currency(Sku),
    /// The sum cannot be counted.
    #[error("the total is too large")]
    Overflow,
    /// No order has this id.
    #[error("there is no order with this id")]
    UnknownOrder,
    /// The order has ended.
    #[error("the order is {}", .0.as_str())]
    Closed(Status),
}

/// A fact about an order that was never placed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {0} was never placed here")]
pub struct Unknown(pub OrderId);

/// A fact that does not speak of what an order costs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {order} costs {costs}, not {told}")]
pub struct OtherAmount {
    /// The order.
    pub order: OrderId,
    /// Its total.
    pub costs: Money,
    /// What the fact says.
    pub told: Money,
}

/// An article that nobody can sell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the price of {0} is not positive")]
pub struct Unpriced(pub Sku);

/// What is to become an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The id the order gets.
    pub order: OrderId,
    /// Who orders.
    pub customer: CustomerId,
    /// Where the goods come from.
    pub store: StoreId,
    /// What is ordered.
    pub lines: Lines,
    /// What a partner calls the order.
    pub reference: Option<String>,
    /// When the customer ordered, when a partner says so.
    pub placed_at: Option<Timestamp>,
}

/// A new order, as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// The fact that announces it.
    pub placed: OrderPlaced,
    /// Its state.
    pub order: Order,
    /// What a partner calls it.
    pub reference: Option<String>,
    /// When the customer ordered.
    pub placed_at: Timestamp,
}

/// The carts, articles and orders in hand.
#[derive(Debug, Default)]
pub struct Desk {
    settings: Arc<Settings>,
    carts: BTreeMap<Uuid, Cart>,
    products: BTreeMap<Sku, Product>,
    orders: BTreeMap<OrderId, Order>,
    new_orders: Vec<NewOrder>,
    changed_carts: BTreeSet<Uuid>,
    changed_products: BTreeSet<Sku>,
    changed_orders: BTreeSet<OrderId>,
}

impl Desk {
    /// Takes the rows that were read.
    pub fn new(
        settings: Arc<Settings>,
        carts: BTreeMap<Uuid, Cart>,
        products: BTreeMap<Sku, Product>,
        orders: BTreeMap<OrderId, Order>,
    ) -> Self {
        Self { settings, carts, products, orders, ..Self::default() }
    }

    /// What an operator has set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A cart, for reading.
    pub fn cart(&self, id: Uuid) -> Result<&Cart, Refusal> {
        self.carts.get(&id).ok_or(Refusal::UnknownCart)
    }

    /// What is known of articles.
    pub fn products(&self) -> &BTreeMap<Sku, Product> {
        &self.products
    }

    /// An order, for reading.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// Orders whose step is too late.
    pub fn due(&self, now: Timestamp) -> Vec<OrderId> {
        let due = self.orders.iter().filter(|(_, order)| order.is_due(now));
        due.map(|(id, _)| *id).collect()
    }

    /// The lines at the prices of now, and their sum.
    pub fn price(&self, lines: &Lines) -> Result<(Vec<OrderLine>, Money), Refusal> {
        let mut priced = Vec::new();
        let mut total: Option<Money> = None;
        for (sku, quantity) in lines.iter() {
            let unit_price = self.sold(sku)?.price;
            let refusal = |error| match error {
                MoneyError::Currency { .. } => Refusal::Currency(sku.clone()),
                _ => Refusal::Overflow,
            };
            let sum = unit_price.times(quantity).map_err(refusal)?;
            total = Some(total.map_or(Ok(sum), |total| total.plus(sum)).map_err(refusal)?);
            priced.push(OrderLine { sku: sku.clone(), quantity, unit_price });
        }
        Ok((priced, total.ok_or(Refusal::Empty)?))
    }

    /// Begins a cart.
    pub fn open_cart(&mut self, id: Uuid, customer: CustomerId, store: StoreId) {
        self.carts.insert(id, Cart::new(customer, store));
        self.changed_carts.insert(id);
    }

    /// Adds pieces of an article to a cart.
    pub fn add(&mut self, cart: Uuid, sku: &Sku, quantity: i64) -> Result<(), Refusal> {
        self.sold(sku)?;
        self.open_lines(cart)?.add(sku, quantity)
    }

    /// Sets how many pieces of an article are in a cart.
    pub fn set(&mut self, cart: Uuid, sku: &Sku, quantity: i64) -> Result<(), Refusal> {
        self.sold(sku)?;
        self.open_lines(cart)?.set(sku, quantity)
    }

    /// Takes an article out of a cart.
    pub fn remove(&mut self, cart: Uuid, sku: &Sku) -> Result<(), Refusal> {
        self.open_lines(cart)?.remove(sku);
        Ok(())
    }

    /// Turns a cart into an order; the cart closes only when the order exists.
    pub fn check_out(
        &mut self,
        cart: Uuid,
        order: OrderId,
        now: Timestamp,
    ) -> Result<OrderPlaced, Refusal> {
        let Cart { customer, store, lines, order: before } = self.cart(cart)?.clone();
        if let Some(before) = before {
            return Err(Refusal::CheckedOut(before));
        }
        let wish = Wish { order, customer, store, lines, reference: None, placed_at: None };
        let placed = self.place(wish, now)?;
        if let Some(cart) = self.carts.get_mut(&cart) {
            cart.order = Some(order);
        }
        self.changed_carts.insert(cart);
        Ok(placed)
    }

    /// Places an order at the prices of now.
    pub fn place(&mut self, wish: Wish, now: Timestamp) -> Result<OrderPlaced, Refusal> {
        let (lines, total) = self.price(&wish.lines)?;
        let Wish { order: order_id, customer, store, reference, placed_at, .. } = wish;
        let (customer_id, store_id) = (customer.clone(), store.clone());
        let placed = OrderPlaced { order_id, customer_id, store_id, lines, total };
        let deadline = now.plus(self.settings.stock_deadline());
        let order = Order::placed(customer, store, total, deadline);
        let placed_at = placed_at.unwrap_or(now);
        self.new_orders.push(NewOrder { placed: placed.clone(), order, reference, placed_at });
        Ok(placed)
    }

    /// The customer does not want the order any more.
    pub fn cancel(
        &mut self,
        id: OrderId,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<OrderCancelled, Refusal> {
        let order = self.order(id).ok_or(Refusal::UnknownOrder)?;
        let closed = Refusal::Closed(order.status);
        self.end(id, CancelledBy::Customer, reason, now).ok_or(closed)
    }

    /// A step of the order took too long; `None` if it has ended.
    pub fn expire(&mut self, id: OrderId, now: Timestamp) -> Option<OrderCancelled> {
        self.end(id, CancelledBy::Deadline, None, now)
    }

    /// Whether a fact speaks of what the order costs; of an order that is not here, any does.
    pub fn agrees(&self, order: OrderId, told: Money) -> Result<(), OtherAmount> {
        match self.order(order).map(|order| order.total) {
            Some(costs) if costs != told => Err(OtherAmount { order, costs, told }),
            _ => Ok(()),
        }
    }

    /// The catalogue says something new of an article.
    pub fn learn(&mut self, sku: Sku, product: Product) -> Result<(), Unpriced> {
        if product.price.minor() <= 0 {
            return Err(Unpriced(sku));
        }
        self.products.insert(sku.clone(), product);
        self.changed_products.insert(sku);
        Ok(())
    }

    /// Stock did its step.
    pub fn reserved(&mut self, id: OrderId, now: Timestamp) -> Result<(), Unknown> {
        let deadline = now.plus(self.settings.payment_deadline());
        let order = self.change(id)?;
        order.stock.learn(Step::Done);
        order.reach(Status::Reserved, deadline);
        Ok(())
    }

    /// Payments did its step.
    pub fn paid(&mut self, id: OrderId, now: Timestamp) -> Result<(), Unknown> {
        let deadline = now.plus(self.settings.sale_deadline());
        let order = self.change(id)?;
        order.payment.learn(Step::Done);
        order.reach(Status::Paid, deadline);
        Ok(())
    }

    /// Sales did its step; the order if this ends it.
    pub fn sold_as(&mut self, id: OrderId, now: Timestamp) -> Result<Option<&Order>, Unknown> {
        let order = self.change(id)?;
        order.sale.learn(Step::Done);
        Ok(order.close(Status::Confirmed, now).then_some(&*order))
    }

    /// Stock cannot do its step; the order if this ends it.
    pub fn unavailable(&mut self, id: OrderId, now: Timestamp) -> Result<Option<&Order>, Unknown> {
        let order = self.change(id)?;
        order.stock.learn(Step::Failed);
        Ok(order.close(Status::Rejected, now).then_some(&*order))
    }

    /// Payments cannot do its step; the order if this ends it.
    pub fn refused(&mut self, id: OrderId, now: Timestamp) -> Result<Option<&Order>, Unknown> {
        let order = self.change(id)?;
        order.payment.learn(Step::Failed);
        Ok(order.close(Status::Refused, now).then_some(&*order))
    }

    /// A step was taken back; which one is for the caller to say.
    pub fn undone(
        &mut self,
        id: OrderId,
        step: impl FnOnce(&mut Order) -> &mut Step,
    ) -> Result<(), Unknown> {
        step(self.change(id)?).learn(Step::Undone);
        Ok(())
    }

    /// Carts that changed.
    pub fn changed_carts(&self) -> impl Iterator<Item = (Uuid, &Cart)> {
        self.changed_carts.iter().filter_map(|id| Some((*id, self.carts.get(id)?)))
    }

    /// Articles that changed.
    pub fn changed_products(&self) -> impl Iterator<Item = (&Sku, &Product)> {
        self.changed_products.iter().filter_map(|sku| Some((sku, self.products.get(sku)?)))
    }

    /// Orders that changed.
    pub fn changed_orders(&self) -> impl Iterator<Item = (OrderId, &Order)> {
        self.changed_orders.iter().filter_map(|id| Some((*id, self.orders.get(id)?)))
    }

    /// Orders that are not stored yet.
    pub fn new_orders(&self) -> &[NewOrder] {
        &self.new_orders
    }

    fn sold(&self, sku: &Sku) -> Result<&Product, Refusal> {
        let product = self.products.get(sku).filter(|product| !product.withdrawn);
        product.ok_or_else(|| Refusal::UnknownSku(sku.clone()))
    }

    fn open_lines(&mut self, cart: Uuid) -> Result<&mut Lines, Refusal> {
        self.changed_carts.insert(cart);
        self.carts.get_mut(&cart).ok_or(Refusal::UnknownCart)?.open_lines()
    }

    fn end(
        &mut self,
        id: OrderId,
        by: CancelledBy,
        reason: Option<String>,
        now: Timestamp,
    ) -> Option<OrderCancelled> {
        let end = match by {
            CancelledBy::Deadline => Status::Expired,
            CancelledBy::Customer | CancelledBy::Other => Status::Cancelled,
        };
        let order = self.change(id).ok()?;
        let closed = order.close(end, now);
        let (customer_id, store_id) = (order.customer.clone(), order.store.clone());
        closed.then_some(OrderCancelled { order_id: id, customer_id, store_id, by, reason })
    }

    fn change(&mut self, id: OrderId) -> Result<&mut Order, Unknown> {
        let order = self.orders.get_mut(&id).ok_or(Unknown(id))?;
        self.changed_orders.insert(id);
        Ok(order)
    }
}
