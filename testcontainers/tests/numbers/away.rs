//! A broker that is away while commands go on: every one is accepted, none is lost, and what has
//! piled up is drained faster than it came.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::{Ground, Part, ready};

use crate::Number;
use crate::load;
use crate::tally;

const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn measure(ground: &Ground, down: Duration, rate: u32) -> Result<Vec<Number>> {
    let world = load::world(ground).await?;
    let writer = world.mount(tally::writer()).await?;
    let sums = world.mount(tally::tally()).await?;
    load::burst(&writer, "warm", 200, 1).await?;
    ground.crash(Part::Broker).await?;
    eprintln!("the broker is away for {} s", down.as_secs());
    let accepted = load::steady(&writer, "away", rate, down).await?;
    ground.restart(Part::Broker).await?;
    let back = Instant::now();
    let all = "SELECT count(*) FROM book WHERE book LIKE 'away-%'";
    load::until(&world, "tally", all, accepted as i64, PATIENCE).await?;
    let drained = accepted as f64 / back.elapsed().as_secs_f64();
    let twice = "SELECT count(*) FROM book WHERE notes = 1 AND book LIKE 'away-%'";
    load::until(&world, "tally", twice, accepted as i64, PATIENCE).await?;
    ready(&writer).await?;
    writer.stop().await?;
    sums.stop().await?;
    world.close().await?;
    let wanted = down.as_secs_f64() * f64::from(rate);
    Ok(vec![
        Number::at_least(
            "commands accepted while the broker is away, of those sent",
            accepted as f64 / wanted.floor(),
            1.0,
            format!("{accepted} in {} s", down.as_secs()),
        ),
        Number::at_least(
            "drained, as a multiple of the arrival rate",
            drained / f64::from(rate),
            3.0,
            format!(
                "{drained:.0} for each second, from the broker's return on, waiting for it included"
            ),
        ),
    ])
}
