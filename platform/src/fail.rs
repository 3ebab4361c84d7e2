//! Failpoints: the numbered steps of the consume and publish paths at which a test may kill the
//! process. Without the feature `failpoints` they are nothing at all.

/// Ends the process at once, without any clean-up, when `MILLRACE_FAILPOINT` names this step.
/// `name=3` waits for the third time.
#[cfg(feature = "failpoints")]
pub(crate) fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("MILLRACE_FAILPOINT").ok()?;
        let (name, count) = text.split_once('=').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().unwrap_or(1)))
    });
    if let Some((_, count)) = wanted.as_ref().filter(|(wanted, _)| wanted == name)
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        std::process::abort();
    }
}

/// Nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn point(_name: &'static str) {}
