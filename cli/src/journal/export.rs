//! `millrace journal export`: the entries order by order, as lines of JSON or CSV, or as Parquet.

mod file;
mod line;
mod table;

use std::path::PathBuf;

use journal::decode::Decoder;
use journal::domain::chain::Entry;
use journal::histories::{Histories, facts};
use schemas::{StoreId, Timestamp};

use self::file::{Draft, Form};
use self::line::Line;
use super::SERVICE;
use crate::failure::Failure;
use crate::place::Place;

/// What is exported, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// In which form.
    #[arg(long, value_enum)]
    format: Form,
    /// Only what happened at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only facts of this name, with or without its namespace.
    #[arg(long = "type", value_name = "NAME")]
    name: Option<String>,
    /// Only orders of this store.
    #[arg(long, value_name = "ID")]
    store: Option<StoreId>,
    /// The file that is written; it is there when it is complete.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(export: Export, place: &Place) -> anyhow::Result<()> {
    let mut db = ops::databases::open(&place.endpoints, SERVICE).await.map_err(Failure::from)?;
    let mut draft = Draft::new(export.format, &export.out)?;
    let written = tokio::select! {
        written = export.write(&mut db, place, &mut draft) => written,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted.into()),
    };
    let lines = written?;
    draft.complete()?;
    eprintln!("wrote {lines} entries to {}", export.out.display());
    Ok(())
}

impl Export {
    async fn write(
        &self,
        db: &mut sqlx::PgConnection,
        place: &Place,
        draft: &mut Draft,
    ) -> anyhow::Result<u64> {
        let mut histories = Histories::new(db, Decoder::new(place.registry()));
        let mut lines = 0;
        loop {
            let entries = histories.next().await.map_err(Failure::from)?;
            if entries.is_empty() {
                return Ok(lines);
            }
            let store = facts(&entries).and_then(|facts| facts.summary().store);
            if self.store.is_some() && self.store != store {
                continue;
            }
            for (entry, said) in entries.iter().filter(|(entry, _)| self.wants(entry)) {
                draft.add(&Line::of(entry, said, store.as_ref()))?;
                lines += 1;
            }
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let page = &entry.page;
        let short = page.name.rsplit('.').next().unwrap_or_default();
        let named = |name: &String| *name == page.name || *name == short;
        self.since.is_none_or(|since| page.occurred_at >= since)
            && self.until.is_none_or(|until| page.occurred_at < until)
            && self.name.as_ref().is_none_or(named)
    }
}
