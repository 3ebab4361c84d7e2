//! Waiting for what becomes true by itself: look, wait a little, look again, until a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Looks until the probe answers `Ok`, at least once.
///
/// # Errors
/// When the deadline passes: says what was waited for and the probe's last reason. A probe that
/// hangs is cut off at the deadline.
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let until = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut last = "the first look did not end".to_owned();
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(FIRST_PAUSE);
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason,
            Err(_) => bail!("{what}: not within {deadline:?}; the last look hung, before: {last}"),
        }
        if Instant::now() + pause > until {
            bail!("{what}: not within {deadline:?}; last seen: {last}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_as_soon_as_the_probe_does() {
        let mut looks = 0;
        let seen = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        });
        assert_eq!(seen.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn its_failure_carries_the_last_reason() {
        let deadline = Duration::from_millis(20);
        let probe = async || Err::<(), _>("still 7 of 8".to_owned());
        let error = eventually(deadline, "eight orders", probe).await.unwrap_err().to_string();
        assert!(error.contains("eight orders") && error.contains("still 7 of 8"), "{error}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        let probe = async || std::future::pending::<Result<(), String>>().await;
        let waited = eventually(Duration::from_millis(20), "an answer", probe);
        assert!(waited.await.unwrap_err().to_string().contains("hung"));
    }
}
