//! How long an order takes through five services: ours at a quarter of what they can, beside the least
//! it could take, and beside services that poll, at a rate that both hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::Ground;
use hdrhistogram::Histogram;
use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::saga::saturated;
use crate::Size;
use crate::ahead;
use crate::chain::{Chain, HOPS, Side, number};
use crate::meter::Meter;
use crate::peers::sink;
use crate::rounds::{Rounds, Sample, Shows, Spread, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 2] = ["saga_p99_times_floor", "saga_p99_times_polling"];
const SIDES: [&str; 4] = ["floor", "millrace at a quarter", "millrace beside", "polling"];
const FLOOR: usize = 0;
const QUARTER: usize = 1;
const BESIDE: usize = 2;
const POLLING: usize = 3;

/// Orders that say what a side can at most.
const ORDERS: u32 = 16_000;
const ORDERS_SLOW: u32 = 2_000;
/// Orders come in for so long.
const TIMED: Duration = Duration::from_secs(6);
/// And so long before, which does not count.
const WARM: Duration = Duration::from_secs(2);
/// Nobody is blamed for a generator that starves: its 99th percentile may be so late.
const LATE_MAX: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// The floor: pings at this pace, and commits one after the other.
const PINGS: u32 = 30;
const PING_EVERY: Duration = Duration::from_millis(100);
const COMMITS: u32 = 200;

/// How orders come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// In a second.
    pub(super) rate: f64,
    /// For so long, after some time that does not count.
    pub(super) timed: Duration,
}

impl Plan {
    /// From the first order until half of those that count have come in.
    pub(super) fn middle(self) -> Duration {
        WARM + self.timed / 2
    }
}

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let ours = saturated(ground, Side::Ours, ORDERS / size.less).await?.rate;
    let theirs = saturated(ground, Side::PerMessage, ORDERS_SLOW / size.less).await?.rate;
    let (quarter, beside) = (ours / 4.0, theirs / 4.0);
    let timed = TIMED / size.less;
    let mut void = 0;
    let rounds = take_turns("latency", &SIDES, FLOOR, size.rounds, async |side| {
        let sample = match side {
            FLOOR => Sample { rate: 1.0 / floor(ground).await?.as_secs_f64(), ..Sample::default() },
            QUARTER => p99(ground, Side::Ours, Plan { rate: quarter, timed }).await?,
            BESIDE => p99(ground, Side::Ours, Plan { rate: beside, timed }).await?,
            _ => p99(ground, Side::PerMessage, Plan { rate: beside, timed }).await?,
        };
        void += usize::from(sample.rate.is_nan());
        Ok(sample)
    });
    let rounds = Rounds { shows: Shows::Milliseconds, ..rounds.await? };
    let took = |sample: &Sample| 1.0 / sample.rate;
    // Of a void run nothing is known; how many there were is told, and too many leave nothing to judge.
    let valid = |side, over| {
        let mut ratios = rounds.ratios(took, side, over);
        ratios.retain(|ratio| ratio.is_finite());
        if ratios.len() * 2 < rounds.samples.len() { vec![] } else { ratios }
    };
    let ms = |side| {
        let of_side = rounds.samples.iter().map(|round| took(&round[side]) * 1e3);
        let known: Vec<f64> = of_side.filter(|ms| ms.is_finite()).collect();
        Spread::of(&known).map_or(f64::NAN, |spread| spread.median)
    };
    let void = match void {
        0 => String::new(),
        void => format!("; {void} were void, because the generator starved"),
    };
    let least = format!(
        "p99 {:.1} ms at {quarter:.0} orders/s, a quarter of {ours:.0}; the floor {:.1} ms{void}",
        ms(QUARTER),
        ms(FLOOR)
    );
    let polled = format!(
        "p99 {:.1} ms at {beside:.0} orders/s, {:.1} ms with relays that poll{void}",
        ms(BESIDE),
        ms(POLLING)
    );
    let verdicts = vec![
        Verdict::new(GOALS[0], &valid(QUARTER, FLOOR), Bound::AtMost, 3.0, least),
        Verdict::new(GOALS[1], &valid(BESIDE, POLLING), Bound::AtMost, 1.0 / 3.0, polled),
    ];
    Ok((rounds, verdicts))
}

/// Five times a ping of the broker and one and a half commits.
async fn floor(ground: &Ground) -> Result<Duration> {
    let chain = Chain::new(ground).await?;
    let (consumer, producer) =
        (sink(&chain.places[0], &chain.last())?, chain.places[0].producer()?);
    let (topic, mut pings) = (chain.last(), vec![]);
    let mut ticks = tokio::time::interval(PING_EVERY);
    for ping in 0..PINGS {
        ticks.tick().await;
        let began = Instant::now();
        send(&producer, &topic, &chain, ping)?;
        tokio::task::block_in_place(|| consumer.poll(PATIENCE)).context("a ping is lost")??;
        pings.push(began.elapsed());
    }
    let mut db = PgConnection::connect(&chain.places[0].database).await?;
    let mut commits = vec![];
    for number in 0..COMMITS {
        let began = Instant::now();
        let insert = "INSERT INTO millrace.inbox (event_id, topic, \"partition\", \"offset\")
                      VALUES ($1, 'none', 0, $2)";
        let insert = sqlx::query(insert).bind(Uuid::now_v7()).bind(i64::from(number));
        insert.execute(&mut db).await?;
        commits.push(began.elapsed());
    }
    chain.close().await?;
    Ok((half(pings) + half(commits).mul_f64(1.5)).mul_f64(HOPS as f64))
}

fn half(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// What 99 of 100 orders take at most, from the moment each was meant to come in until it is announced
/// by the last service; not a number when they did not come in as they were meant to.
async fn p99(ground: &Ground, side: Side, plan: Plan) -> Result<Sample> {
    let chain = Arc::new(Chain::new(ground).await?);
    let (at_work, loaded) = (chain.begin(side).await?, chain.clone());
    let measured = ahead::go(move || through(&loaded, plan, || {})).await;
    at_work.stop().await?;
    Arc::into_inner(chain).context("somebody still loads the chain")?.close().await?;
    measured
}

/// Lets orders come in by a plan whatever becomes of them, and tells when the first of them does.
pub(super) fn through(chain: &Chain, plan: Plan, begun: impl FnOnce()) -> Result<Sample> {
    let Plan { rate, timed } = plan;
    let (consumer, producer) =
        (sink(&chain.places[0], &chain.last())?, chain.places[0].producer()?);
    let warm = (WARM.as_secs_f64() * rate) as u32;
    let all = warm + (timed.as_secs_f64() * rate) as u32;
    // Whoever has just joined has read nothing yet.
    send(&producer, &chain.first(), chain, u32::MAX)?;
    consumer.poll(PATIENCE).context("nothing comes out of the chain")??;
    let (meter, begins) = (Meter::begin(chain.beside), Instant::now() + Duration::from_millis(10));
    begun();
    let meant = |number: u32| begins + Duration::from_secs_f64(f64::from(number) / rate);
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || -> Result<Histogram<u64>> {
            let (mut late, first) = (Histogram::<u64>::new(3)?, chain.first());
            for number in 0..all {
                std::thread::sleep(meant(number).saturating_duration_since(Instant::now()));
                send(&producer, &first, chain, number)?;
                if number >= warm {
                    late.record(meant(number).elapsed().as_micros() as u64)?;
                }
            }
            Ok(late)
        });
        let mut took = Histogram::<u64>::new(2)?;
        for _ in 0..all {
            let message = consumer.poll(PATIENCE).context("an order is lost")??;
            let number = number(message.key().context("a record without a key")?)?;
            if number >= warm {
                took.record(meant(number).elapsed().as_micros() as u64)?;
            }
        }
        let late = sending.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
        let starved = Duration::from_micros(late.value_at_quantile(0.99)) > LATE_MAX;
        let counts = took.iter_recorded();
        let took = counts.map(|it| (it.value_iterated_to(), it.count_at_value())).collect();
        let sample = Sample { took, ..meter.end(f64::from(all)) };
        let p99 = sample.quantile(0.99).as_secs_f64();
        Ok(Sample { rate: if starved { f64::NAN } else { 1.0 / p99 }, ..sample })
    })
}

fn send(producer: &FutureProducer, topic: &str, chain: &Chain, number: u32) -> Result<()> {
    let record = chain.order(number)?;
    let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
        all.insert(Header { key, value: value.as_deref() })
    });
    let (key, payload) = (record.key.unwrap_or_default(), record.payload.unwrap_or_default());
    let record = FutureRecord::to(topic).key(&key).payload(&payload).headers(headers);
    // Whoever waits at the end of the chain notices what is lost.
    producer.send_result(record).map(drop).map_err(|(error, _)| error.into())
}
