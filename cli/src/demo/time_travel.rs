//! The journal shows an order as it was after each of its entries, and before the first of them.

use anyhow::{Context, Result};
use harness::eventually;
use schemas::Timestamp;
use schemas::history::{self, Facts, What};

use super::facts::{self, Fact};
use super::report::Tale;
use super::stage::{Means, PATIENCE, Stage};

pub(super) const ABOUT: &str = "The journal shows an order at every version and time.";

pub(super) async fn tell(stage: &Stage, tale: &mut Tale) -> Result<()> {
    let shop = stage.shop("time-travel", Means { on_hand: 4, funds: "50.00" }).await?;
    let order = stage.check_out(&shop, 1).await?;
    stage.until_ended(order).await?;
    let facts = stage.facts(order).await?;
    let journal = eventually(PATIENCE, "the journal has every fact", async || {
        let journal = stage.retailer().journal(order, None, None).await;
        let journal = journal.map_err(|error| error.to_string())?;
        match journal.length as usize == facts.len() {
            true => Ok(journal),
            false => Err(format!("{} of {}", journal.length, facts.len())),
        }
    })
    .await?;
    tale.order(order, "five facts, five versions", &facts);
    let mut prefix = vec![];
    for entry in &journal.entries {
        let of_entry = |fact: &&Fact| fact.id == entry.event_id;
        let fact = facts.iter().find(of_entry).context("the journal knows more than the topics")?;
        prefix.push(told(fact)?);
        let folded = Facts::new(prefix.clone()).context("no facts")?.summary();
        let then = stage.retailer().journal(order, None, Some(entry.seq)).await?;
        let status = then.state.as_ref().and_then(|state| state["status"].as_str());
        let what = format!("status at version {}", entry.seq);
        tale.expect(&what, folded.status.as_str(), status.unwrap_or_default());
    }
    let long_ago: Timestamp = "2000-01-01T00:00:00Z".parse()?;
    let before = stage.retailer().journal(order, Some(long_ago), None).await?;
    tale.expect_that(
        "before the first fact there is no state, and it is said",
        before.state.is_none() && before.note.is_some(),
        &before.note,
    );
    tale.count("facts in the chain", journal.length);
    tale.expect("facts", facts::sorted_names(&facts).len(), journal.entries.len());
    Ok(())
}

/// A fact of the topics as histories have it.
fn told(fact: &Fact) -> Result<history::Fact> {
    let what = What::read(&fact.name, &fact.datum).context("a fact of an order")??;
    Ok(history::Fact {
        id: fact.id,
        topic: String::new(),
        partition: 0,
        offset: 0,
        producer: fact.producer.clone(),
        version: fact.version,
        occurred_at: fact.at,
        what,
    })
}
