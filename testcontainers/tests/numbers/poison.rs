//! A thousand records in a row that cannot be handled, while others flow; beside it the same with a
//! thousand that can. They come by one command, so that what is measured is what they cost whoever
//! reads them. Both are told of by the same clock, the database's.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Ground;

use crate::Number;
use crate::load;
use crate::tally;
use crate::tally::sums::POISON;

const BAD: usize = 1000;
const RATE: u32 = 50;
/// A percentile is one of a minute, as a dashboard shows it.
const TIME: Duration = Duration::from_secs(60);
/// The first round warms connections and caches and does not count.
const ROUNDS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn measure(ground: &Ground) -> Result<Vec<Number>> {
    let (mut ratios, mut costs, mut told) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let (good, _) = side(ground, 1).await?;
        let (bad, cost) = side(ground, POISON).await?;
        if round > 0 {
            ratios.push(bad / good);
            costs.push(cost.as_secs_f64());
            told.push(format!("{:.1} and {:.1} ms", good * 1000.0, bad * 1000.0));
        }
    }
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    let detail =
        format!("p99 of the others beside 1000 good and 1000 bad ones: {}", told.join("; "));
    Ok(vec![
        Number::at_most(
            "1000 poison records, seconds until all are dead letters",
            worst(&costs),
            10.0,
            "from the first one sent; the slowest round".to_owned(),
        ),
        Number::at_most("p99 of the others, poison against none", median, 1.2, detail),
    ])
}

/// Others at a steady rate, and a thousand of this amount among them: p99 of the others, and how
/// long the thousand took.
async fn side(ground: &Ground, amount: i64) -> Result<(f64, Duration)> {
    let world = load::world(ground).await?;
    let writer = world.mount(tally::writer()).await?;
    let sums = world.mount(tally::tally()).await?;
    load::burst(&writer, "warm", 200, 1).await?;
    let others = load::steady(&writer, "other", RATE, TIME);
    let thousand = async {
        let began = Instant::now();
        load::many(&writer, "many", BAD, amount).await?;
        let handled = match amount == POISON {
            true => "SELECT count(*) FROM millrace.parked WHERE status = 'dead'",
            false => "SELECT count(*) FROM book WHERE book LIKE 'many-%'",
        };
        load::until(&world, "tally", handled, BAD as i64, PATIENCE).await?;
        anyhow::Ok(began.elapsed())
    };
    let (sent, cost) = tokio::try_join!(others, thousand)?;
    let all = "SELECT count(*) FROM book WHERE book LIKE 'other-%'";
    load::until(&world, "tally", all, sent as i64, PATIENCE).await?;
    let p99 = load::p99(&world, "other").await?;
    writer.stop().await?;
    sums.stop().await?;
    world.close().await?;
    Ok((p99, cost))
}
