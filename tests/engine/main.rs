//! The engine as a whole: the same events give the same bytes, however they are spread, ordered, interrupted.

mod bursts;
mod calendars;
mod keys;
mod multivariate;
mod ordered;
mod placement;
mod revision;
mod rules;
mod states;
mod support;
mod together;
mod verdicts;
