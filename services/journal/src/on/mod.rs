//! The side door: every fact of every order topic is written down as it came, whatever it says.

use millrace::{Fault, Keep, Kept, Poison, Tx};
use schemas::OrderId;

use crate::domain::chain::Page;
use crate::store;

/// The pages of the journal.
pub(crate) struct Pages;

impl Keep for Pages {
    fn check(fact: &Kept<'_>) -> Result<(), Poison> {
        order(fact).map(drop)
    }

    async fn keep(tx: &mut Tx, facts: &[Kept<'_>]) -> Result<(), Fault> {
        let recorded_at = tx.now();
        let page = |fact: &Kept<'_>| {
            Ok(Page {
                order: order(fact)?,
                event_id: fact.id.uuid(),
                name: fact.name.to_owned(),
                topic: fact.position.topic.to_owned(),
                partition: fact.position.partition,
                offset: fact.position.offset,
                schema_id: fact.schema_id,
                payload: fact.payload.to_vec(),
                headers: store::headers(&fact.headers),
                producer: fact.producer.to_owned(),
                version: fact.version,
                correlation: fact.cause.correlation.clone(),
                causation: fact.cause.causation.map(|cause| cause.uuid()),
                occurred_at: fact.occurred_at,
                recorded_at,
            })
        };
        let pages = facts.iter().map(page).collect::<Result<Vec<_>, Poison>>()?;
        store::append(tx, pages).await
    }
}

/// The order a fact is about: its key.
fn order(fact: &Kept<'_>) -> Result<OrderId, Poison> {
    fact.key.parse().map_err(|error: schemas::IdError| Poison::coded("wrong_key", error))
}
