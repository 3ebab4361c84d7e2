//! Everything an operator can do, as a library: talk to the services, import files, look after
//! topics and schemas, examine a running system. It never prints and never ends the process.
#![warn(missing_docs)]

pub mod doctor;
pub mod import;
pub mod registry;
pub mod topics;

mod endpoints;
mod retailer;

pub use endpoints::{Endpoints, EndpointsError, SERVICES};
pub use retailer::{
    Account, Cart, CartLine, ClientError, Happened, Level, ListedOrder, OrderFilter, OrderPage,
    OrderView, Place, Placed, Product, Retailer, Sale,
};
