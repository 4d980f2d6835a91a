//! Incidents from their first bucket to their last: one job's [`Tracker`].
//!
//! A bucket's findings are taken highest score first. Each goes to the longest-standing incident that any of its blamed values has; without one,
//! and at the threshold, it begins an incident of the value most to blame: the one that accounts for most of the bucket's findings. So what several series of one culprit show is one incident, and stays one while the
//! blame shifts among them. An incident ends when no score has reached `resolve_below` for `resolve_after`.

use super::gathered::{Finding, Gathered};
use super::incident::{
    Change, Delivery, Entity, Evidence, Incident, IncidentKind, Notice, Reason, entity_text,
    incident_id,
};
use super::state::{State, StateError};
use crate::config::{AlertPolicy, AlertSubject, GroupBy};
use crate::engine::result::{Document, Severity};
use crate::time::{BucketSpan, BucketStart, Finality};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Quiet buckets that end an incident, when no time is said.
const QUIET_BUCKETS: i64 = 2;

/// Watches one job's results.
#[derive(Debug)]
pub struct Tracker {
    job_id: String,
    span: BucketSpan,
    policy: Arc<AlertPolicy>,
    state: State,
    /// Documents of buckets that are not done, final and interim ones apart.
    gathered: BTreeMap<(BucketStart, bool), Gathered>,
    /// Documents of a bucket that was heard before and is told again, for events that came late.
    revised: Gathered,
}

/// One bucket's news in the making.
struct Round {
    start_ms: i64,
    end_ms: i64,
    finality: Finality,
    /// Incidents that the bucket keeps going, and which of them have news.
    hot: BTreeSet<String>,
    news: BTreeMap<String, (Change, Reason)>,
    /// Of each hot incident, the highest score of this bucket.
    scores: BTreeMap<String, f64>,
}

impl Round {
    fn new(start: BucketStart, span: BucketSpan, finality: Finality) -> Round {
        Round {
            start_ms: start.millis(),
            end_ms: span.end_of(start).millis(),
            finality,
            hot: BTreeSet::new(),
            news: BTreeMap::new(),
            scores: BTreeMap::new(),
        }
    }
}

impl Tracker {
    /// A tracker that has heard nothing yet.
    pub fn new(job_id: &str, span: BucketSpan, policy: Arc<AlertPolicy>) -> Tracker {
        Tracker {
            job_id: job_id.to_owned(),
            span,
            policy,
            state: State::default(),
            gathered: BTreeMap::new(),
            revised: Gathered::default(),
        }
    }

    /// A tracker that goes on from [`Tracker::snapshot`], by a policy that may have changed since.
    pub fn restore(
        job_id: &str,
        span: BucketSpan,
        policy: Arc<AlertPolicy>,
        bytes: &[u8],
    ) -> Result<Tracker, StateError> {
        Ok(Tracker {
            state: State::open(bytes)?,
            ..Tracker::new(job_id, span, policy)
        })
    }

    /// The state between two buckets.
    pub fn snapshot(&self) -> Vec<u8> {
        self.state.seal()
    }

    /// Buckets up to this one have been heard by somebody: nothing is heard of them again.
    pub fn skip_until(&mut self, start_ms: i64) {
        self.state.heard_ms = self.state.heard_ms.max(Some(start_ms));
    }

    /// Incidents that go on.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.state.open.values()
    }

    /// Hears a document.
    pub fn document(&mut self, document: &Document) {
        let is_final = document.finality == Finality::Final;
        if !self.is_ahead(document.time) && self.is_raised(document) {
            self.revised.take(document, self.policy.threshold);
        }
        let is_asked_for = is_final || self.policy.include_interim;
        if is_asked_for && self.is_ahead(document.time) {
            let gathered = self.gathered.entry((document.time, is_final)).or_default();
            // Those of influencers and buckets are explained by records of any score.
            let record_score_min = match self.policy.subject {
                AlertSubject::Record => self.policy.resolve_below,
                AlertSubject::Influencer | AlertSubject::Bucket => 0.0,
            };
            gathered.take(document, record_score_min);
        }
    }

    /// The bucket at `start` has been told whole: what follows from it.
    pub fn closed(&mut self, start: BucketStart, finality: Finality) -> Vec<Notice> {
        let is_final = finality == Finality::Final;
        let gathered = self.gathered.remove(&(start, is_final));
        if !self.is_ahead(start) || !(is_final || self.policy.include_interim) {
            return Vec::new();
        }
        let policy = Arc::clone(&self.policy);
        let findings = gathered.unwrap_or_default().findings(
            policy.subject,
            policy.resolve_below,
            start.millis(),
        );
        let mut round = Round::new(start, self.span, finality);
        for finding in findings {
            self.attribute(finding, &mut round);
        }
        self.decide_deliveries(&mut round);
        if is_final {
            self.state.heard_ms = Some(round.start_ms);
            self.gathered.retain(|(held, _), _| *held > start);
            self.settle(&mut round);
        }
        self.hold_back(&mut round);
        self.tell(round)
    }

    /// Whether late events have brought the document to the threshold. What was there before has been told, and is not told again; what has fallen is
    /// not taken back.
    fn is_raised(&self, document: &Document) -> bool {
        let (threshold, score) = (self.policy.threshold, document.score().unwrap_or(0.0));
        let late = document.late.as_ref();
        late.is_some_and(|late| late.score_before < threshold && score >= threshold)
    }

    /// A bucket heard before has been told again, for events that came late: what follows from it. It ends no incident.
    pub fn revised(&mut self, start: BucketStart) -> Vec<Notice> {
        let revised = std::mem::take(&mut self.revised);
        let policy = &self.policy;
        let findings = revised.findings(policy.subject, policy.threshold, start.millis());
        if findings.is_empty() {
            return Vec::new();
        }
        let mut round = Round::new(start, self.span, Finality::Final);
        for finding in findings {
            self.attribute(finding, &mut round);
        }
        self.decide_deliveries(&mut round);
        self.hold_back(&mut round);
        self.tell(round)
    }

    fn is_ahead(&self, start: BucketStart) -> bool {
        self.state
            .heard_ms
            .is_none_or(|heard| start.millis() > heard)
    }

    /// Gives a finding to the incident it belongs to, or begins one.
    fn attribute(&mut self, finding: Finding, round: &mut Round) {
        let entities = self.entities_of(&finding);
        let id = match self.ongoing(&entities) {
            Some(id) => id,
            None if finding.evidence.score >= self.policy.threshold => {
                let entity = entities.into_iter().next().unwrap_or_default();
                self.begin(entity, &finding.evidence, round)
            }
            None => return,
        };
        let incident = self.state.open.get_mut(&id).expect("just found or begun");
        if round.finality == Finality::Final {
            incident.unconfirmed_ms = None;
            incident.results += 1;
            incident.detectors.extend(finding.evidence.detector_index);
            if round.hot.insert(id.clone()) {
                incident.buckets += 1;
                incident.last_ms = incident.last_ms.max(round.start_ms);
            }
        }
        let score = round.scores.entry(id.clone()).or_default();
        *score = score.max(finding.evidence.score);
        // A correction speaks of an earlier bucket than the last.
        if round.start_ms >= incident.last_ms {
            incident.score = *score;
        }
        if incident.escalate(Severity::of(finding.evidence.score)) {
            round
                .news
                .entry(id)
                .or_insert((Change::Updated, Reason::Severity));
        }
        if finding.evidence.score > incident.peak.score {
            incident.peak = finding.evidence;
        }
    }

    /// Who a finding may be about, the most likely first.
    fn entities_of(&self, finding: &Finding) -> Vec<Entity> {
        match &self.policy.group_by {
            GroupBy::Job => vec![Entity::new()],
            GroupBy::Fields(fields) => vec![finding.values_of(fields)],
            GroupBy::Entity if finding.blamed.is_empty() => vec![Entity::new()],
            GroupBy::Entity => {
                let one = |who: &(String, String)| Entity::from([who.clone()]);
                finding.blamed.iter().map(one).collect()
            }
        }
    }

    /// The longest-standing incident of any of them.
    fn ongoing(&self, entities: &[Entity]) -> Option<String> {
        let candidates = self.state.open.values().filter(|incident| {
            incident.kind == IncidentKind::Anomaly && entities.contains(&incident.entity)
        });
        let oldest = candidates.min_by_key(|incident| {
            let rank = entities
                .iter()
                .position(|entity| *entity == incident.entity);
            (incident.started_ms, rank)
        });
        oldest.map(|incident| incident.id.clone())
    }

    /// What an incident is called that begins in this round.
    fn id_of(&self, kind: IncidentKind, entity: &Entity, round: &Round) -> String {
        let heard_ms = self.state.heard_ms.filter(|heard| *heard >= round.start_ms);
        incident_id(&self.job_id, kind, round.start_ms, entity, heard_ms)
    }

    fn begin(&mut self, entity: Entity, evidence: &Evidence, round: &mut Round) -> String {
        let kind = IncidentKind::Anomaly;
        let id = self.id_of(kind, &entity, round);
        let interim = (round.finality == Finality::Interim).then_some(round.start_ms);
        let incident = Incident {
            id: id.clone(),
            kind,
            entity,
            started_ms: round.start_ms,
            last_ms: round.start_ms,
            score: evidence.score,
            severities: vec![Severity::of(evidence.score)],
            delivery: Delivery::RateLimited, // until decided
            announced: false,
            silence: None,
            unconfirmed_ms: interim,
            buckets: 0,
            results: 0,
            detectors: BTreeSet::new(),
            detector: evidence.detector_index,
            function: evidence.function.clone(),
            peak: evidence.clone(),
            held_back: 0,
            sequence: 0,
            told_ms: None,
        };
        self.state.open.insert(id.clone(), incident);
        round
            .news
            .insert(id.clone(), (Change::Opened, Reason::Threshold));
        id
    }

    /// Which of the incidents that this bucket speaks of are announced: the highest scores first, as long as the limit has room.
    fn decide_deliveries(&mut self, round: &mut Round) {
        let policy = Arc::clone(&self.policy);
        let window_begin = round.start_ms.saturating_sub(policy.rate_window_ms);
        self.state.announced_ms.retain(|&at| at > window_begin);
        let mut spoken_of: Vec<(&String, f64)> = round
            .scores
            .iter()
            .map(|(id, score)| (id, *score))
            .collect();
        spoken_of.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        for (id, _) in spoken_of {
            let incident = self
                .state
                .open
                .get_mut(id)
                .expect("spoken of, so it goes on");
            let now_ms = round.start_ms.max(incident.last_ms);
            let silence = policy
                .silences
                .iter()
                .find(|silence| silence.covers(now_ms, &incident.entity));
            incident.silence = silence.map(|silence| silence.comment.clone());
            let has_room = policy.rate_limit == 0
                || self.state.announced_ms.len() < policy.rate_limit as usize;
            let was = incident.delivery;
            incident.delivery = match (silence, was) {
                (Some(_), _) => Delivery::Silenced,
                (None, Delivery::Notify) => Delivery::Notify,
                (None, _) if incident.announced || has_room => Delivery::Notify,
                (None, _) => Delivery::RateLimited,
            };
            let is_told = incident.delivery == Delivery::Notify;
            if is_told && !incident.announced {
                incident.announced = true;
                if policy.rate_limit > 0 {
                    self.state.announced_ms.push(round.start_ms);
                }
            }
            if incident.told_ms.is_some() && incident.delivery != was {
                let reason = match incident.delivery {
                    Delivery::Notify => Reason::Released,
                    Delivery::Silenced | Delivery::RateLimited => Reason::Silenced,
                };
                round.news.insert(id.clone(), (Change::Updated, reason));
            }
        }
    }

    /// What a final bucket ends, and what it only lets go on.
    fn settle(&mut self, round: &mut Round) {
        let resolve_after_ms = self
            .policy
            .resolve_after_ms
            .unwrap_or(QUIET_BUCKETS * self.span.millis());
        for (id, incident) in &self.state.open {
            if incident.kind == IncidentKind::HeldBack {
                continue;
            }
            let quiet_ms = round.start_ms - incident.last_ms;
            let is_old_news = incident
                .unconfirmed_ms
                .is_some_and(|at| at <= round.start_ms);
            let is_hot = round.hot.contains(id);
            let is_quiet = !is_hot && quiet_ms > 0 && quiet_ms >= resolve_after_ms;
            let is_due = incident
                .told_ms
                .is_some_and(|told| round.end_ms - told >= self.policy.repeat_interval_ms);
            if !is_hot && is_old_news {
                round
                    .news
                    .insert(id.clone(), (Change::Resolved, Reason::NotConfirmed));
            } else if is_quiet && incident.unconfirmed_ms.is_none() {
                round
                    .news
                    .insert(id.clone(), (Change::Resolved, Reason::Quiet));
            } else if is_due {
                let still_on = (Change::Updated, Reason::StillOn);
                round.news.entry(id.clone()).or_insert(still_on);
            }
        }
    }

    /// Keeps the one notice that stands for all incidents beyond the rate limit.
    fn hold_back(&mut self, round: &mut Round) {
        let is_over = |id: &String| matches!(round.news.get(id), Some((Change::Resolved, _)));
        let held: Vec<&Incident> = self
            .state
            .open
            .values()
            .filter(|one| {
                one.kind == IncidentKind::Anomaly
                    && one.delivery == Delivery::RateLimited
                    && !is_over(&one.id)
            })
            .collect();
        let strongest =
            held.iter()
                .copied()
                .reduce(|best, one| match one.peak.score > best.peak.score {
                    true => one,
                    false => best,
                });
        let fresh = held
            .iter()
            .filter(|one| matches!(round.news.get(&one.id), Some((Change::Opened, _))))
            .count() as u32;
        let summary = self
            .state
            .open
            .values()
            .find(|one| one.kind == IncidentKind::HeldBack);
        match (summary.map(|one| one.id.clone()), strongest.cloned()) {
            (None, None) => {}
            (Some(id), None) => {
                round.news.insert(id, (Change::Resolved, Reason::Quiet));
            }
            (None, Some(strongest)) => {
                let summary = self.summary_of(&strongest, held.len() as u32, round);
                round
                    .news
                    .insert(summary.id.clone(), (Change::Opened, Reason::Threshold));
                self.state.open.insert(summary.id.clone(), summary);
            }
            (Some(id), Some(strongest)) => {
                let now = held.len() as u32;
                self.grow_summary(&id, &strongest, (fresh, now), round);
            }
        }
    }

    fn summary_of(&self, strongest: &Incident, count: u32, round: &Round) -> Incident {
        let kind = IncidentKind::HeldBack;
        let entity = Entity::new();
        let mut summary = Incident {
            id: self.id_of(kind, &entity, round),
            kind,
            entity,
            started_ms: round.start_ms,
            last_ms: round.start_ms,
            severities: vec![strongest.severity()],
            delivery: Delivery::Notify,
            announced: true,
            silence: None,
            buckets: 1,
            results: u64::from(count),
            held_back: count,
            sequence: 0,
            told_ms: None,
            ..strongest.clone()
        };
        self.describe_summary(&mut summary, strongest);
        summary
    }

    /// Told again when there are twice as many as last told, or a worse one.
    fn grow_summary(
        &mut self,
        id: &str,
        strongest: &Incident,
        (fresh, now): (u32, u32),
        round: &mut Round,
    ) {
        let Some(mut summary) = self.state.open.remove(id) else {
            return;
        };
        summary.last_ms = summary.last_ms.max(round.start_ms);
        summary.buckets += u32::from(round.finality == Finality::Final);
        summary.results += u64::from(fresh);
        let reason = match (
            summary.escalate(strongest.severity()),
            now >= 2 * summary.held_back,
        ) {
            (true, _) => Some(Reason::Severity),
            (false, true) => Some(Reason::MoreHeldBack),
            (false, false) => summary
                .told_ms
                .filter(|told| round.end_ms - told >= self.policy.repeat_interval_ms)
                .map(|_| Reason::StillOn),
        };
        if let Some(reason) = reason {
            summary.held_back = now;
            summary.score = strongest.score;
            self.describe_summary(&mut summary, strongest);
            round.news.insert(id.to_owned(), (Change::Updated, reason));
        }
        self.state.open.insert(id.to_owned(), summary);
    }

    fn describe_summary(&self, summary: &mut Incident, strongest: &Incident) {
        summary.peak = strongest.peak.clone();
        let (noun, verb) = match summary.held_back {
            1 => ("incident", "is"),
            _ => ("incidents", "are"),
        };
        let who = match entity_text(&strongest.entity) {
            text if text.is_empty() => String::new(),
            text => format!(" ({text})"),
        };
        summary.peak.description = format!(
            "{} more {noun} {verb} held back: {} were announced within the rate window. The strongest{who}: {}",
            summary.held_back, self.policy.rate_limit, strongest.peak.description
        );
    }

    /// The news, by incident id.
    fn tell(&mut self, round: Round) -> Vec<Notice> {
        let mut notices = Vec::with_capacity(round.news.len());
        for (id, (change, reason)) in &round.news {
            let Some(mut incident) = self.state.open.remove(id) else {
                continue;
            };
            let previous_ms = incident.told_ms;
            incident.told_ms = previous_ms.max(Some(round.end_ms)); // a correction speaks of an earlier bucket
            incident.sequence += 1;
            let last = BucketStart(incident.last_ms);
            if *change != Change::Resolved {
                self.state.open.insert(id.clone(), incident.clone());
            }
            notices.push(Notice {
                change: *change,
                reason: *reason,
                at_ms: round.end_ms,
                previous_ms,
                ended_ms: (*change == Change::Resolved).then(|| self.span.end_of(last).millis()),
                is_interim: round.finality == Finality::Interim,
                incident,
            });
        }
        notices
    }
}
