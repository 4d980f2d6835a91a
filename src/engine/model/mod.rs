//! Models: what is normal for one feature of one series. Judge first, learn second.
//!
//! [`Model`] is the door that judges use and the contract suite checks; [`SeriesModel`] is the one model so far: a forecast
//! ([`forecast`]), the distribution around it ([`residual`]), the evidence of several views against a value ([`evidence`]) and what of it is said
//! ([`alarm`]).

pub mod ahead;
pub mod alarm;
pub mod calibration;
pub mod change;
pub mod crowd;
mod dates;
pub mod edges;
pub mod evidence;
pub mod finer;
pub mod forecast;
pub mod foresight;
pub mod habit;
pub mod law;
pub mod member;
pub mod modes;
mod month;
pub mod multi_bucket;
pub mod novelty;
pub mod oddity;
pub mod ongoing;
mod outliers;
pub mod outlook;
mod pearson;
mod predictors;
pub mod prefetch;
pub mod presence;
pub mod profile;
pub mod pulse;
pub mod relation;
pub mod residual;
pub mod rhythm;
mod room;
pub mod runs;
mod series;
pub mod spread;
pub mod stillness;
pub mod surprise;
pub mod together;
mod variogram;
pub mod watch;
mod year;

pub use ahead::{Ahead, Prospect};
pub use change::{Change, Noticed};
pub use law::Law;
pub use month::MonthDay;
pub use residual::Tails;
pub use room::Room;
pub use series::SeriesModel;

use crate::config::Side;
use crate::time::{BucketSpan, EventTime};
use serde::{Deserialize, Serialize};

/// What does not change in the life of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// Which side counts.
    pub side: Side,
    /// Values are whole numbers of things, at least 0.
    pub counting: bool,
    /// What the number of measurements does to it.
    pub law: Law,
    /// The series is one of several of an entity, to be judged [`together`].
    pub joined: bool,
    /// The job's bucket span.
    pub span: BucketSpan,
}

/// One bucket's value of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The middle of the bucket.
    pub at: EventTime,
    /// The value; finite.
    pub value: f64,
    /// How many measurements it stands on.
    pub measurements: u64,
}

/// What a model thinks of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// ln of the probability of this value or a less likely one, all views taken together; at most 0.
    pub ln_probability: f64,
    /// The same of this bucket's value alone, held against how often the like of it came.
    pub ln_single: f64,
    /// The same as the series' law has it.
    pub ln_by_law: f64,
    /// The same of the last dozen buckets together; `None` while there are too few.
    pub ln_multi: Option<f64>,
    /// Evidence, nats, at least 0: calibrated by the series' own past ([`evidence`]); 3 deserves attention.
    pub evidence: f64,
    /// What the views claim, before thin history and alarms said lately hold it down: for comparing features of one series.
    pub claim: evidence::Claim,
    /// The evidence before it was held against what was said lately ([`alarm::Alarm`]).
    pub raw_evidence: f64,
    /// An alarm is over that the forecast has followed: the value is where it was before, not where it is expected.
    pub has_returned: bool,
    /// How far the value is from its series, for judging the entity's series together; of joined series.
    pub deviation: member::Deviation,
    /// The tails of this bucket's distribution at the value: learning asks for them again.
    pub tails: Tails,
    /// The normal deviate that they correspond to, likewise.
    pub deviate: f64,
    /// How the forecast was found, likewise.
    pub foresight: foresight::Foresight,
    /// The expected value.
    pub typical: f64,
    /// Values seen before this one.
    pub history: u32,
    /// What is particular about the distribution it was judged by.
    pub shape: Shape,
    /// Whether the interval was widened because the bucket holds fewer measurements than usual.
    pub incomplete: bool,
    /// Buckets since the ongoing anomaly began, this one included; 0 when there is none.
    pub anomaly_buckets: u32,
    /// Sum of the prediction errors of the ongoing anomaly (its sign: spike or dip).
    pub anomaly_error: f64,
    /// By how much its buckets are below what makes an anomaly, nats ([`ongoing`]).
    pub anomaly_nats: f64,
}

/// What is particular about the distribution that a value was judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// It has two modes.
    pub multimodal: bool,
    /// It is wider than that of the day as a whole, because the hour is restless.
    pub high_variance: bool,
}

impl Verdict {
    /// The less likely of the bucket alone, by its law, and the dozen buckets that it ends.
    pub fn ln_tail(&self) -> f64 {
        self.ln_by_law.min(self.ln_multi.unwrap_or(0.0))
    }

    /// The same as it speaks for an alarm to go on.
    pub fn ln_tail_now(&self) -> f64 {
        self.claim.ln_tail_now(self.ln_tail(), self.has_returned)
    }
}

/// A model of one feature of one series.
pub trait Model: Clone + PartialEq + Serialize + serde::de::DeserializeOwned {
    /// A model that has seen nothing.
    fn new() -> Self;
    /// What is to be thought of a sample; changes nothing. `None` for the very first.
    fn judge(&self, kind: &Kind, sample: &Sample) -> Option<Verdict>;
    /// The central 95 % interval for the bucket of `sample`, where `typical` is expected. Much dearer than a verdict: for what is told.
    fn bounds(&self, kind: &Kind, sample: &Sample, typical: f64) -> (f64, f64);
    /// ln p of another value in the place of the sample's, by this bucket's distribution alone; at most 0.
    fn ln_probability(&self, kind: &Kind, sample: &Sample) -> f64;
    /// The value expected in the bucket around `at`; `None` before the first.
    fn expected(&self, kind: &Kind, at: EventTime) -> Option<f64>;
    /// Takes a sample in; `verdict` is what `judge` said of it. Says what has changed about the series, if that is noticed now. It grows by no more
    /// than there is room for.
    fn learn(
        &mut self,
        kind: &Kind,
        sample: &Sample,
        verdict: Option<&Verdict>,
        room: &mut Room,
    ) -> Option<Noticed>;
    /// All bytes that the model holds: itself and its heap, by the rules that room is made by (what was restored may have less).
    fn memory_bytes(&self) -> usize;
}
