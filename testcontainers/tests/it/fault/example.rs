//! The example that is shown to users of the library does what it says.

use std::path::Path;

use anyhow::{Result, ensure};

#[path = "../../../examples/faults/story.rs"]
mod story;

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_works_on_services_of_ones_own() -> Result<()> {
    millrace::log::init(false);
    let verdict = story::tell(Path::new(env!("CARGO_BIN_EXE_tally")), 7).await?;
    ensure!(verdict.is_clean(), "{verdict}");
    let looked: usize = verdict.rulings.iter().map(|ruling| ruling.looked).sum();
    ensure!(looked > 100, "hardly anything was looked at:\n{verdict}");
    Ok(())
}
