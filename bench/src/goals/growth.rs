//! What an inbox costs when it is large: a hop with five million rows in it beside one with none, and
//! records that come a second time beside new ones.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::Ground;
use millrace::Running;
use millrace::admin::Watermarks;
use millrace::control::{Kind, Place};
use sqlx::PgConnection;

use crate::Size;
use crate::hop::Hop;
use crate::meter::Meter;
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 2] = ["inbox_cost_times_empty", "redelivery_cost_times_new"];
const SIDES: [&str; 3] = ["empty", "five million", "again"];
const EMPTY: usize = 0;
const GROWN: usize = 1;
const AGAIN: usize = 2;

const ROWS: u32 = 5_000_000;
const RECORDS: u32 = 20_000;
/// So many times as much was handled before the first round.
const BEFORE: u32 = 4;
const SOON: Duration = Duration::from_secs(60);
/// Each look costs a little of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DUPLICATES: &str = "inbox_duplicates_total";

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let (mut empty, mut grown) = (Hop::new(ground).await?, Hop::new(ground).await?);
    let (rows, records) = (ROWS / size.less, RECORDS / size.less);
    grow(&mut grown.database().await?, rows).await?;
    // Enough comes again from the first round on: what is spent once for all of them is not what is asked.
    empty.fill(records * BEFORE).await?;
    empty.ours().await?;
    let rounds = take_turns("growth", &SIDES, EMPTY, size.rounds, async |side| match side {
        EMPTY => {
            empty.fill(records).await?;
            empty.ours().await
        }
        GROWN => {
            grown.fill(records).await?;
            grown.ours().await
        }
        _ => again(&empty).await,
    });
    let rounds = rounds.await?;
    empty.close().await?;
    grown.close().await?;
    let postgres = |side| rounds.median(|it| it.postgres_us, side);
    let told = format!(
        "PostgreSQL's processor time for each record: {:.1} us with {rows} rows, {:.1} us without",
        postgres(GROWN),
        postgres(EMPTY)
    );
    let cpu = |side| rounds.median(Sample::cpu_us, side);
    let twice = format!(
        "{:.1} us for one that came before, {:.1} us for a new one",
        cpu(AGAIN),
        cpu(EMPTY)
    );
    let verdicts = vec![
        Verdict::new(
            GOALS[0],
            &rounds.ratios(|it| it.postgres_us, GROWN, EMPTY),
            Bound::AtMost,
            1.25,
            told,
        ),
        Verdict::new(
            GOALS[1],
            &rounds.ratios(Sample::cpu_us, AGAIN, EMPTY),
            Bound::AtMost,
            0.15,
            twice,
        ),
    ];
    Ok((rounds, verdicts))
}

/// Rows as they are left by facts of the last hours: identities sort by their time.
pub(super) async fn grow(db: &mut PgConnection, rows: u32) -> Result<()> {
    let grow = sqlx::query(
        r#"INSERT INTO millrace.inbox (event_id, topic, "partition", "offset")
           SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n), 12, '0')
                   || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
               'retail.payment.events.v1', n % 6, -n
           FROM generate_series(1, $1) AS n"#,
    );
    grow.bind(rows as i32).execute(&mut *db).await?;
    sqlx::query("VACUUM ANALYZE millrace.inbox").execute(db).await?;
    Ok(())
}

/// Everything that was handled is delivered once more.
async fn again(hop: &Hop) -> Result<Sample> {
    let marks = hop.world.admin().await?.watermarks(&hop.place.read()).await?;
    let records: i64 = marks.iter().map(|mark| mark.high - mark.low).sum();
    ensure!(records > 0, "nothing was handled yet");
    let mount = hop.world.mount_with(sales::service(), |config| config.trace.endpoint = None);
    let running = mount.await?;
    let place = |mark: &Watermarks| Place {
        topic: hop.place.reads.to_owned(),
        partition: mark.partition,
        offset: mark.low,
    };
    // It reads all certificates when it is made, which must not be counted.
    let client = reqwest::Client::new();
    // Whoever waits for the first of them has missed the most.
    let meter = Meter::begin(hop.beside);
    hop.world.ask("retail.sales", Kind::Seek { to: marks.iter().map(place).collect() }).await?;
    let began = std::time::Instant::now();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let again = duplicates(&client, &running).await?;
        if again >= records {
            break;
        }
        ensure!(began.elapsed() < SOON, "{again} of {records} came again");
    }
    let sample = meter.end(records as f64);
    running.stop().await?;
    Ok(sample)
}

async fn duplicates(client: &reqwest::Client, running: &Running) -> Result<i64> {
    let metrics = client.get(format!("{}/metrics", running.url())).send().await?.text().await?;
    let lines = metrics.lines().filter(|line| line.starts_with(DUPLICATES));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum())
}
