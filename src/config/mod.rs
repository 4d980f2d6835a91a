//! Configuration: what was written (`raw`) becomes what is true ([`Job`]) once.

mod datafeed;
mod extensions;
mod function;
mod job;

pub use datafeed::Datafeed;
pub use extensions::Extensions;
pub use function::{Family, Function, Side};
pub use job::{Detector, FieldId, Job, ModelPlot, TimeFormat};
