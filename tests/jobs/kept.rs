//! Jobs that are reset and keep what they have published: where they begin again, and resets that are cut off.

use super::*;
use tidewatch::runtime::log::{
    Groups, LogError, Message, NewTopic, Outgoing, Place, Position, TopicId, Topics,
};

/// An operator's log that fails the first time positions are changed, once before and once after it has been done.
struct Cut {
    log: MemoryLog,
    group: String,
    /// Failures left; the odd ones come after the deed.
    failures: usize,
}

impl Cut {
    /// Does it, unless this is a time to fail before.
    fn cut<T>(
        &mut self,
        deed: impl FnOnce(&mut MemoryLog) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let away = || Err(LogError::Unavailable("cut off".to_owned()));
        let failures = self.failures;
        self.failures = failures.saturating_sub(1);
        match failures {
            0 => deed(&mut self.log),
            n if n % 2 == 0 => away(),
            _ => {
                deed(&mut self.log)?;
                away()
            }
        }
    }
}

impl Topics for Cut {
    fn partitions(&mut self, names: &[String]) -> Result<BTreeMap<String, i32>, LogError> {
        self.log.partitions(names)
    }
    fn identities(&mut self, names: &[String]) -> Result<BTreeMap<String, TopicId>, LogError> {
        self.log.identities(names)
    }
    fn create(&mut self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.log.create(topics)
    }
    fn publish(&mut self, messages: &[Outgoing]) -> Result<(), LogError> {
        self.log.publish(messages)
    }
    fn flush(&mut self) -> Result<(), LogError> {
        self.log.flush()
    }
    fn read(
        &mut self,
        at: &TopicPartition,
        from: i64,
        sink: &mut dyn FnMut(&Message<'_>),
    ) -> Result<i64, LogError> {
        self.log.read(at, from, sink)
    }
    fn offset_of(&mut self, at: &TopicPartition, place: Place) -> Result<i64, LogError> {
        self.log.offset_of(at, place)
    }
}

impl Groups for Cut {
    fn members(&mut self, group: &str) -> Result<usize, LogError> {
        self.log.members(group)
    }
    fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Position>, LogError> {
        self.log.committed(group, partitions)
    }
    fn forget_group(&mut self, group: &str) -> Result<bool, LogError> {
        assert_eq!(group, self.group);
        self.cut(|log| log.forget_group(group))
    }
    fn set_positions(
        &mut self,
        group: &str,
        positions: &[(TopicPartition, Position)],
    ) -> Result<bool, LogError> {
        assert_eq!(group, self.group);
        self.cut(|log| log.set_positions(group, positions))
    }
    fn empty(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.log.empty(partitions)
    }
    fn delete_topic(&mut self, topic: &str) -> Result<(), LogError> {
        self.log.delete_topic(topic)
    }
}

/// The first word on each document of a bucket from a minute on.
fn from_minute(said: Said, minute: i64) -> BTreeMap<(DocumentKind, String), String> {
    let told = said.into_iter().filter_map(|(document, words)| {
        let text = words.into_iter().next()??;
        let is_after = minute_of(&text).is_some_and(|of| of >= minute);
        let is_of_a_bucket = !matches!(
            document.0,
            DocumentKind::DataCounts | DocumentKind::ModelSizeStats | DocumentKind::Annotation
        );
        (is_after && is_of_a_bucket).then_some((document, text))
    });
    told.collect()
}

#[test]
fn a_reset_that_keeps_results_begins_where_the_job_says_it_starts_also_when_it_is_cut_off_and_done_again()
 {
    for (partitions, own) in [
        (1, r#"{"start":{"offsets":{"events/0":60}}}"#),
        (1, r#"{"start":"1970-01-01T00:10:00Z"}"#),
        (
            2,
            r#"{"keyed_by_partition_field":true,"idle_timeout":"1d","start":"1970-01-01T00:10:00Z"}"#,
        ),
        (3, r#"{"start":"1970-01-01T00:10:00Z"}"#),
    ] {
        for failures in [0, 1, 2] {
            let case = format!("{partitions} {own} {failures}");
            let own = job("1m", own);
            let calm = House::new(partitions);
            let mut service = calm.start(Arc::clone(&own));
            feed(&calm, partitions, 0, 60);
            calm.settle(&mut service);
            service.finish().unwrap();

            let house = House::new(partitions);
            feed(&house, partitions, 0, 50);
            let mut service = house.start(Arc::clone(&own));
            house.settle(&mut service);
            let began: Vec<String> = house.diary.assigned();
            service.finish().unwrap();
            let before = house.bucket_times();
            let (log, footprint) = footprint(&house, &own);
            let mut log = Cut {
                log,
                group: footprint.group.clone(),
                failures,
            };
            while reset(&mut log, &mut house.store.clone(), &footprint, Fate::Kept).is_err() {}
            let mut service = house.start(Arc::clone(&own));
            feed(&house, partitions, 50, 60);
            house.settle(&mut service);
            assert_eq!(house.diary.assigned(), began, "{case}");
            let (last, all) = (*before.last().unwrap(), house.bucket_times());
            let after = &all[before.len()..];
            assert_eq!(after, (last + 1..59).collect::<Vec<_>>(), "{case}");
            if partitions == 1 {
                let said = |house: &House| from_minute(said_of(house, "j"), last + 1);
                assert_eq!(said(&house), said(&calm), "{case}");
            }
        }
    }
}
