//! What of everything collected is told: the strongest anomalies, the series that they happened to, who stood out.

use super::collect::Collector;
use super::track::Track;
use super::tracks::KeyRef;
use crate::backtest::{Backtest, WindowOutcome};
use crate::cli::findings::{Episode, Finding, Group, Influencer, Names};
use crate::engine::result::Severity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much is shown at most.
pub(super) const ANOMALIES_MAX: usize = 50;
pub(super) const SERIES_MAX: usize = 12;
pub(super) const INFLUENCERS_MAX: usize = 20;
/// Anomalies marked in one chart.
const MARKERS_MAX: usize = 100;

/// A detector's series, and which of its statistics.
type SeriesId = (u64, Names, Arc<str>);

/// The choice, and how much was left out.
pub(super) struct Story<'a> {
    pub(super) collected: &'a Collector,
    backtest: Option<&'a Backtest>,
    /// The strongest first.
    pub(super) anomalies: Vec<Group>,
    pub(super) anomalies_all: usize,
    /// How many anomalies there are of each severity, the mildest first.
    pub(super) severities: [usize; 5],
    pub(super) series: Vec<Episode>,
    pub(super) series_all: usize,
    pub(super) influencers: Vec<Influencer>,
    pub(super) influencers_all: usize,
    /// Where in `anomalies` a series' episodes stand: start, end, place.
    places: BTreeMap<SeriesId, Vec<(i64, i64, usize)>>,
}

fn id_of(finding: &Finding) -> SeriesId {
    (
        finding.detector,
        finding.series.clone(),
        finding.statistic.clone(),
    )
}

impl<'a> Story<'a> {
    pub(super) fn new(collected: &'a Collector, backtest: Option<&'a Backtest>) -> Story<'a> {
        let mut anomalies = collected.findings.groups();
        let anomalies_all = anomalies.len();
        let mut severities = [0; 5];
        for group in &anomalies {
            severities[Severity::of(group.lead.peak.score) as usize] += 1;
        }
        anomalies.truncate(ANOMALIES_MAX);
        let mut places: BTreeMap<SeriesId, Vec<(i64, i64, usize)>> = BTreeMap::new();
        for (place, group) in anomalies.iter().enumerate() {
            for one in std::iter::once(&group.lead).chain(&group.others) {
                let span = (one.start_ms, one.end_ms, place);
                places.entry(id_of(&one.peak)).or_default().push(span);
            }
        }
        let mut strongest = BTreeMap::new();
        for episode in collected.findings.episodes() {
            strongest.entry(id_of(&episode.peak)).or_insert(episode);
        }
        let mut series: Vec<Episode> = strongest.into_values().collect();
        // Stable: of equals, the first in order of detector and name.
        series.sort_by(|a, b| b.peak.score.total_cmp(&a.peak.score));
        let mut influencers = collected.findings.influencers();
        let influencers_all = influencers.len();
        influencers.truncate(INFLUENCERS_MAX);
        let mut story = Story {
            collected,
            backtest,
            anomalies,
            anomalies_all,
            severities,
            series: Vec::new(),
            series_all: 0,
            influencers,
            influencers_all,
            places,
        };
        series.retain(|one| story.has_curve(&one.peak));
        story.series_all = series.len();
        series.truncate(SERIES_MAX);
        story.series = series;
        story
    }

    /// Whether there is something to draw of a finding's series. Not of a member of a population, nor of what is rare: their sentences say it all.
    pub(super) fn has_curve(&self, finding: &Finding) -> bool {
        finding.actual.is_some() || self.track(finding).is_some()
    }

    /// The labelled windows that count, in order of time; none without a backtest.
    pub(super) fn windows(&self) -> &'a [WindowOutcome] {
        self.backtest
            .map_or(&[], |backtest| &backtest.measured.windows)
    }

    /// The track of a finding's series.
    pub(super) fn track(&self, finding: &Finding) -> Option<&'a Track> {
        let detector = self
            .collected
            .job
            .detectors
            .get(finding.detector as usize)?;
        let value = |field: Option<crate::config::FieldId>| {
            let name = self.collected.job.field_name(field?);
            let pair = finding.series.iter().find(|(field, _)| field == name)?;
            Some(pair.1.as_str())
        };
        // Statistics are named by constants of the functions.
        let names = ["min", "max", detector.function.description()];
        let key = KeyRef {
            detector: detector.index,
            statistic: names
                .into_iter()
                .find(|name| **name == *finding.statistic)?,
            partition: value(detector.partition),
            by: value(detector.by),
        };
        self.collected.tracks.get(&key)
    }

    /// Which of the anomalies shown, counted from 0, a series had at an instant.
    pub(super) fn place(&self, of: &Finding, ms: i64) -> Option<usize> {
        let spans = self.places.get(&id_of(of))?;
        let span = spans
            .iter()
            .find(|(start, end, _)| (*start..*end).contains(&ms));
        span.map(|(.., place)| *place)
    }

    /// Which of the series shown, counted from 0, a finding is of.
    pub(super) fn chart(&self, of: &Finding) -> Option<usize> {
        let id = id_of(of);
        self.series.iter().position(|one| id_of(&one.peak) == id)
    }

    /// The records of the series of `of` that begin in `from_ms..to_ms`, the strongest last; of too many, the strongest.
    pub(super) fn records(&self, of: &Finding, from_ms: i64, to_ms: i64) -> Vec<&'a Finding> {
        let is_one = |one: &&Finding| {
            one.detector == of.detector
                && one.series == of.series
                && one.statistic == of.statistic
                && (from_ms..to_ms).contains(&one.start_ms)
        };
        let mut records: Vec<&Finding> = self.collected.findings.records().filter(is_one).collect();
        records.sort_by(|a, b| a.score.total_cmp(&b.score));
        records.split_off(records.len().saturating_sub(MARKERS_MAX))
    }
}
