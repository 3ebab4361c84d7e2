//! Offsets are reset, by Apache's own tool while a service is away and by an operator's command while
//! it runs: nothing happens twice, and a damaged view is whole again.

use anyhow::{Context, Result};
use harness::eventually;
use millrace::control::Kind;
use ops::command::{self, Author, Operator};
use ops::seek::{To, Wish, plan};

use super::facts;
use super::replay::{LEFT, REBUILT, damage, digest, with_tool};
use super::report::Tale;
use super::stage::{Means, Stage};

pub(super) const ABOUT: &str = "Offsets are reset: nobody is charged twice, a view is whole again.";

const CHARGES: &str = "payments";
const VIEW: &str = "order-view";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("seek", Means { on_hand: 9, funds: "99.00" }).await?;
    let order = stage.check_out(&shop, 2).await?;
    stage.until_ended(order).await?;
    stage.until_quiet().await?;
    let (facts, before) = (stage.facts(order).await?, stage.state(&shop).await?);

    let (ground, endpoints) = (stage.ground().await, stage.endpoints().await);
    let admin = stage.log().admin();
    let group = command::group(stage.log().prefix(), CHARGES);
    stage.unmount(CHARGES).await?;
    eventually(LEFT, "the group has no members", async || {
        let group = admin.group(&group).await.map_err(|error| error.to_string())?;
        if group.members == 0 { Ok(()) } else { Err(format!("{group:?}")) }
    })
    .await?;
    let lib = ground.kafka_lib_dir().context("this story needs Apache's tools")?;
    with_tool(lib, ground.bootstrap_servers(), &group).await?;
    let wish = |group: &str| Wish {
        group: group.to_owned(),
        topic: None,
        partition: None,
        to: To::Latest,
    };
    let again = plan(admin, &endpoints, &wish(&group)).await?.passed_over;
    stage.mount(CHARGES).await?;
    until_read(stage, &group).await?;
    let after = stage.state(&shop).await?;
    tale.count("records that payments reads again", again);
    tale.expect_that("there is something to read again", again > 0, again);
    after.against(&before, &shop, tale);
    tale.expect("stock and money after payments read everything again", &before, &after);
    tale.expect(
        "facts of the order",
        facts::names(&facts),
        facts::names(&stage.facts(order).await?),
    );

    let database = &stage.books(VIEW)?.database;
    let (whole, _) = digest(database).await?;
    damage(database, order).await?;
    let group = command::group(stage.log().prefix(), VIEW);
    let wish = Wish { to: To::Earliest, ..wish(&group) };
    let found = plan(admin, &endpoints, &wish).await?;
    let author = Author { by: "the demo".to_owned(), reason: "rows are wrong".to_owned() };
    let kind = Kind::Seek { to: found.places() };
    let operator = Operator::new(admin.clone(), stage.log().prefix());
    operator.send(&command::command(&group, kind, &author)).await?;
    let mended = eventually(REBUILT, "the view is whole again", async || {
        let (now, _) = digest(database).await.map_err(|error| error.to_string())?;
        if now == whole { Ok(now) } else { Err(now) }
    });
    let mended = mended.await?;
    tale.count("records that order-view reads again", found.again);
    tale.expect("digest of the view after its members were moved", &whole, &mended);
    let members = admin.group(&group).await?.members;
    tale.expect("members of the group, which stayed", found.members, members);
    Ok(())
}

/// Waits until a group has read all there is.
async fn until_read(stage: &Stage, group: &str) -> Result<()> {
    let (admin, endpoints) = (stage.log().admin(), stage.endpoints().await);
    let to = To::Latest;
    let wish = Wish { group: group.to_owned(), topic: None, partition: None, to };
    eventually(REBUILT, "the group reads to the end", async || {
        let left = plan(admin, &endpoints, &wish).await.map_err(|error| error.to_string())?;
        if left.passed_over == 0 { Ok(()) } else { Err(format!("{} left", left.passed_over)) }
    })
    .await
}
