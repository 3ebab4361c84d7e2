//! Records of several partitions in the order of time. A broker answers partition by partition, so that
//! what came of a record may stand before it; whoever keeps all of them keeps them as they came about.

use std::collections::HashMap;

use crate::consume::arrive::Record;
use crate::consume::assign::Partition;

/// By the time of each record, or of one before it in its partition that has a later one: the order of a
/// partition stays.
pub(super) fn by_time(batch: Vec<Record>) -> Vec<Record> {
    let mut latest: HashMap<Partition, i64> = HashMap::new();
    let mut timed: Vec<(i64, Record)> = Vec::with_capacity(batch.len());
    for record in batch {
        let latest = latest.entry(super::partition(&record)).or_default();
        *latest = record.timestamp_ms.unwrap_or_default().max(*latest);
        timed.push((*latest, record));
    }
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, record)| record).collect()
}

#[cfg(test)]
mod tests {
    use millrace_contract::Position;

    use super::*;

    #[test]
    fn records_stand_by_their_time_and_those_of_a_partition_as_they_were() {
        let record = |topic, offset, timestamp_ms| Record {
            position: Position { topic, partition: 0, offset },
            timestamp_ms: Some(timestamp_ms),
            key: None,
            payload: None,
            headers: None,
            generation: 1,
        };
        let batch = vec![
            record("payments", 0, 30),
            record("payments", 1, 20),
            record("orders", 0, 10),
            record("orders", 1, 30),
            record("orders", 2, 40),
        ];
        let merged = by_time(batch);
        let places: Vec<_> =
            merged.iter().map(|it| (it.position.topic, it.position.offset)).collect();
        let wanted =
            [("orders", 0), ("payments", 0), ("payments", 1), ("orders", 1), ("orders", 2)];
        assert_eq!(places, wanted);
    }
}
