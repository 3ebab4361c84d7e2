//! Five hundred orders while every service is killed with -9 and started again, several times each:
//! every order has one end, and stock and money are right to the unit and the cent.

mod fleet;

use std::time::Duration;

use anyhow::Result;
use harness::{Ground, World};
use ops::Retailer;

use super::audit::{self, Books};
use super::balance;
use super::crowd::{self, Crowd, Dice};
use super::facts::Log;
use super::report::Tale;
use crate::house::{self, House};
use fleet::Fleet;

pub(super) const ABOUT: &str = "500 orders while every service is killed with -9 again and again.";

/// The same seed gives the same orders and the same kills.
const SEED: u64 = 20_260_101;
const ORDERS: usize = 500;
/// Every service is killed this often.
const ROUNDS: usize = 3;
/// From the last start to the end of the last order.
const REST: Duration = Duration::from_secs(90);
/// A client of a service that is killed again and again.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn tell(ground: &Ground, tale: &mut Tale) -> Result<()> {
    let house = House::build(World::on(ground)?, None).await?;
    let books = Books::of(&house)?;
    let log = Log::new(ground.admin().await?, house.world().prefix());
    let retailer = Retailer::new(house.endpoints()).with_patience(PATIENCE);
    let mut fleet = Fleet::start(&house).await?;
    let mut dice = Dice(SEED);
    let crowd = Crowd::gather(&retailer, &mut dice, ORDERS).await?;

    // Stock stays away until all orders are placed, so that all of them are in flight.
    fleet.kill("stock")?;
    let killing = fleet.kill_while_placing(&mut dice, crowd.placed(), ORDERS, ROUNDS);
    let (orders, ()) = tokio::try_join!(crowd.place_all(&retailer), killing)?;
    let database = &Books::named(&books, "orders")?.database;
    tale.expect("orders in flight", ORDERS, crowd::open_orders(database).await?);
    fleet.start_again("stock")?;
    let (kills, ()) = tokio::join!(
        fleet.kill_in_rounds(&mut dice, ROUNDS, database),
        crowd.change_minds(&retailer, &orders)
    );
    let kills = kills?;
    crowd::until_all_ended(database, REST).await?;
    let published = audit::until_quiet(&log, &books, REST).await?;

    for name in house::names() {
        let times = fleet.kills_of(name);
        tale.expect_that(&format!("{name} was killed often"), times >= ROUNDS, times);
    }
    tale.count("kills with -9 while orders were open", kills.while_open);
    tale.expect_that("kills while orders were open", kills.while_open >= ROUNDS, &kills);
    audit::check(tale, &published, &books).await?;
    balance::check(tale, &published, &books, &crowd, &orders).await?;
    tale.count("records that repeat one before", published.repeated);
    fleet.stop().await;
    Ok(())
}
