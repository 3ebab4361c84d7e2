//! News of keys, for answers that wait for them: a batch wakes whoever waits for a key of it, and nobody
//! else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Who waits for which key.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllNews(Arc<Mutex<HashMap<String, watch::Sender<()>>>>);

/// Says when a batch of this process that has this key in it was committed. Another process of the service
/// says nothing here.
#[derive(Debug)]
pub struct News {
    all: AllNews,
    key: String,
    told: watch::Receiver<()>,
}

impl AllNews {
    /// From now on.
    pub(crate) fn of(&self, key: String) -> News {
        let told = self.waiting().entry(key.clone()).or_default().subscribe();
        News { all: self.clone(), key, told }
    }

    /// These have changed.
    pub(crate) fn tell<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        for news in keys.filter_map(|key| waiting.get(key)) {
            news.send_replace(());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    /// Waits for what was committed since the last time, or since it was asked for.
    pub async fn next(&mut self) {
        if self.told.changed().await.is_err() {
            tracing::error!(key = self.key, "nobody tells news any more");
        }
    }
}

impl Drop for News {
    /// The last one who waits takes the place with him.
    fn drop(&mut self) {
        let mut waiting = self.all.waiting();
        if waiting.get(&self.key).is_some_and(|news| news.receiver_count() <= 1) {
            waiting.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_waits_for_a_key_is_woken_by_it_and_no_place_is_left_behind() {
        let all = AllNews::default();
        let (mut one, mut same, mut other) =
            (all.of("a".to_owned()), all.of("a".to_owned()), all.of("b".to_owned()));
        all.tell(["a", "c"].into_iter());
        one.next().await;
        same.next().await;
        assert!(futures::poll!(std::pin::pin!(other.next())).is_pending());
        drop(one);
        all.tell(["a"].into_iter());
        same.next().await;
        drop((same, other));
        assert!(all.waiting().is_empty());
    }
}
