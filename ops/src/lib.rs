//! Everything an operator can do, as a library: talk to the services, import files, look after
//! topics, schemas and dead letters, say why an order is late, examine a running system. It never
//! prints and never ends the process.
#![warn(missing_docs)]

pub mod command;
pub mod databases;
pub mod dead;
pub mod doctor;
pub mod import;
pub mod late;
pub mod load;
pub mod operation;
pub mod projection;
pub mod registry;
pub mod seek;
pub mod status;
pub mod topics;

mod endpoints;
mod retailer;

pub use endpoints::{Endpoints, EndpointsError, REPLICAS, SERVICES};
pub use retailer::{
    Account, Cart, CartLine, ClientError, Happened, Journal, Level, ListedOrder, OrderFilter,
    OrderPage, OrderView, Place, Placed, Product, Recorded, Retailer, Sale,
};
