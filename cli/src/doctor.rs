//! `millrace doctor`: prints what the examination found. It repairs nothing.

use ops::doctor::{Finding, Verdict, examine};

use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::place::Place;

pub(crate) async fn run(place: &Place, output: Output) -> anyhow::Result<()> {
    eprintln!("examining the system of: {}", place.said_by);
    let findings = examine(&place.endpoints, &place.config).await;
    output.list(&findings)?;
    let wrong: Vec<&Finding> =
        findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).collect();
    for Finding { part, fix, .. } in &wrong {
        eprintln!("{part}: {}", fix.as_deref().unwrap_or("see its detail"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let text = format!("{} of {} checks found something wrong", wrong.len(), findings.len());
    Err(Failure::CheckFailed(text).into())
}

impl Row for Finding {
    const COLUMNS: &'static [&'static str] = &["PART", "VERDICT", "DETAIL"];
    const WIDE: &'static [&'static str] = &["FIX"];

    fn id(&self) -> String {
        self.part.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.part.clone(), self.verdict.as_str().to_owned(), self.detail.clone()]
    }

    fn wide(&self) -> Vec<String> {
        vec![self.fix.clone().unwrap_or_default()]
    }
}
