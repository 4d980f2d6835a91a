//! From what a sample shows to a job: which fields split, which are measured, who may be to blame.
//!
//! Rules of thumb, each told as a reason in the proposal. A field splits if few values share its events out; an entity has more of them; a measure is a
//! number with many values that is no code, no id and no counter. A field is what its values are; names break ties, and say who may be to blame.

use super::rhythm::Rhythm;
use super::stats::{Field, Sample, hash_of};
use super::{amounts, long, names, visitors};
use crate::cli::table::length;
use crate::config::TimeFormat;
use crate::decode::instant_in;
use crate::engine::event::Value;

/// At most so many of each are proposed; a sum by source is one more.
const DETECTORS_MAX: usize = 4;
/// Of what is measured at even intervals so many: a table may have a column for each.
const MEASUREMENTS_MAX: usize = 10;
const INFLUENCERS_MAX: usize = 4;
/// A split has at most so many values, an entity so many.
pub(super) const SPLIT_MAX: usize = 50;
const ENTITY_MAX: usize = 20_000;
/// A number of fewer values than this is a code.
const MEASURE_VALUES_MIN: usize = 20;

/// What a field is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    /// One value, or hardly ever there.
    Idle,
    /// Another value in nearly every event.
    Id,
    /// Sentences.
    Prose,
    /// The same as another field.
    Double,
    Split,
    Entity,
    Measure,
    Counter,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Time => "time",
            Role::Idle => "-",
            Role::Id => "id, of no use to split",
            Role::Prose => "messages",
            Role::Double => "says what another field says",
            Role::Split => "splits",
            Role::Entity => "entity",
            Role::Measure => "measure",
            Role::Counter => "counter",
        }
    }
}

/// A detector and why.
pub(super) struct Proposed {
    pub(super) function: &'static str,
    pub(super) field: Option<usize>,
    pub(super) by: Option<usize>,
    pub(super) over: Option<usize>,
    pub(super) partition: Option<usize>,
    pub(super) reason: String,
}

/// Which detectors and influencers.
pub(super) struct Proposal {
    pub(super) detectors: Vec<Proposed>,
    pub(super) influencers: Vec<usize>,
    /// Messages, whose kinds are to be found.
    pub(super) messages: Option<usize>,
}

/// What each field is good for.
pub(super) fn roles(sample: &Sample, time: usize, instants: &[Option<i64>]) -> Vec<Role> {
    let role = |at: usize| match at == time {
        true => Role::Time,
        false => role(sample, at),
    };
    let mut roles: Vec<Role> = (0..sample.fields.len()).map(role).collect();
    // Of those that say the same the clearest is kept, and of equals the first.
    let mut categories = of_role(&roles, &[Role::Split, Role::Entity]);
    categories.sort_by_key(|at| names::obscurity(&sample.fields[*at].path));
    for (rank, at) in categories.iter().enumerate() {
        let before = categories[..rank].iter();
        let mut kept = before.filter(|other| roles[**other] != Role::Double);
        if kept.any(|other| sample.says_the_same(*other, *at)) {
            roles[*at] = Role::Double;
        }
    }
    let splits: Vec<usize> = of_role(&roles, &[Role::Split, Role::Entity]);
    for (at, role) in roles.iter_mut().enumerate() {
        let may_be_time = matches!(role, Role::Measure | Role::Split | Role::Entity);
        if may_be_time && is_time_too(sample, at, instants) {
            *role = Role::Time;
        } else if *role == Role::Measure && is_counter(sample, at, instants, &splits) {
            *role = Role::Counter;
        }
    }
    roles
}

fn role(sample: &Sample, at: usize) -> Role {
    let field = &sample.fields[at];
    let distinct = field.distinct();
    // A few events are not enough to tell an id from anything else.
    let is_measure =
        field.is_number() && (distinct >= MEASURE_VALUES_MIN || !field.is_whole() && distinct > 3);
    match () {
        () if distinct < 2 || sample.presence(at) < 0.05 || !field.is_nameable() => Role::Idle,
        () if field.is_prose() => Role::Prose,
        () if is_measure && !(field.is_whole() && names_a_code(&field.path)) => Role::Measure,
        () if field.is_unique() => Role::Id,
        () if distinct <= SPLIT_MAX => Role::Split,
        () if distinct <= ENTITY_MAX && distinct * 2 < field.present => Role::Entity,
        () => Role::Id,
    }
}

/// Numbers by name that are not to be added up.
fn names_a_code(path: &str) -> bool {
    let last = path
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let parts = last.split(['_', '-']).map(str::to_owned);
    let codes = [
        "id", "pid", "ppid", "p", "code", "status", "version", "zip", "year", "line", "uid", "gid",
    ];
    parts
        .into_iter()
        .any(|part| codes.contains(&part.as_str()) || part.ends_with("port"))
}

/// Whether a number, or a text that says a date, is a time beside the event's: within a day of it, in some unit since 1970.
fn is_time_too(sample: &Sample, at: usize, instants: &[Option<i64>]) -> bool {
    const DAY_MS: f64 = 86_400_000.0;
    const UNITS_MS: [f64; 4] = [1e3, 1.0, 1e-3, 1e-6];
    let pairs = || {
        let pairs = sample.column(at).zip(instants);
        pairs.filter_map(|(value, time)| Some((value?, (*time)? as f64)))
    };
    let all = pairs().count();
    let instant = |value: &Value<'static>, unit_ms: f64| match value.number() {
        Some(number) => Some(number * unit_ms),
        None => instant_in(&TimeFormat::Auto, value).map(|time| time.0 as f64),
    };
    UNITS_MS.into_iter().any(|unit_ms| {
        let is_beside = |(value, ms): &(&Value<'static>, f64)| {
            instant(value, unit_ms).is_some_and(|instant| (instant - ms).abs() <= DAY_MS)
        };
        // Most fields are told by their first value.
        let begins = pairs().next().is_some_and(|first| is_beside(&first));
        begins && pairs().filter(is_beside).count() * 100 >= all * 99
    })
}

/// Whether a number of each entity only grows, but for a restart now and then.
fn is_counter(sample: &Sample, at: usize, instants: &[Option<i64>], splits: &[usize]) -> bool {
    let field = &sample.fields[at];
    if !field.is_whole() || field.low < 0.0 {
        return false;
    }
    let entities = std::iter::once(None).chain(splits.iter().copied().map(Some));
    entities
        .into_iter()
        .any(|entity| grows(sample, at, instants, entity))
}

fn grows(sample: &Sample, at: usize, instants: &[Option<i64>], entity: Option<usize>) -> bool {
    let keys: Vec<u64> = match entity {
        None => vec![0; sample.events.len()],
        Some(entity) => sample
            .column(entity)
            .map(|value| value.map_or(0, hash_of))
            .collect(),
    };
    let mut rows: Vec<(u64, i64, f64)> = keys
        .into_iter()
        .zip(sample.column(at))
        .zip(instants)
        .filter_map(|((key, value), time)| Some((key, (*time)?, value?.number()?)))
        .collect();
    rows.sort_by_key(|(key, time, _)| (*key, *time));
    let steps = rows.windows(2).filter(|two| two[0].0 == two[1].0);
    let (mut all, mut back, mut forward) = (0, 0, 0);
    for two in steps {
        all += 1;
        back += usize::from(two[1].2 < two[0].2);
        forward += usize::from(two[1].2 > two[0].2);
    }
    all >= 20 && back * 50 <= all && forward * 2 > all
}

/// The fields of these roles.
pub(super) fn of_role(roles: &[Role], wanted: &[Role]) -> Vec<usize> {
    (0..roles.len())
        .filter(|&at| wanted.contains(&roles[at]))
        .collect()
}

/// How well a field shares events out: evenly over some ten values, of which the typical one has `EACH_MIN` of a bucket's `median` events, and named like
/// what people split by.
fn splitting(sample: &Sample, at: usize, median: usize) -> f64 {
    const EACH_MIN: f64 = 2.0;
    const NAMES: [&str; 16] = [
        "service",
        "host",
        "dataset",
        "instance",
        "region",
        "cluster",
        "namespace",
        "pod",
        "container",
        "app",
        "site",
        "device",
        "airline",
        "machine",
        "tenant",
        "component",
    ];
    let field = &sample.fields[at];
    let path_as_written = &field.path;
    let path = path_as_written.to_ascii_lowercase();
    let named = NAMES.iter().any(|name| path.contains(name));
    let thinness = (EACH_MIN * field.effective() / median.max(1) as f64)
        .ln()
        .max(0.0);
    let evenness = field.effective().min(30.0).ln().max(0.0) - 2.0 * thinness;
    let name = match (named, names::is_software(path_as_written)) {
        (_, true) => -2.0,
        (true, false) => 2.0,
        (false, false) => 0.0,
    };
    sample.presence(at) * (evenness + name)
}

/// How much a number looks like something that is measured.
fn measuring(sample: &Sample, at: usize) -> f64 {
    const NAMES: [&str; 22] = [
        "latency",
        "duration",
        "elapsed",
        "response",
        "_ms",
        "took",
        "bytes",
        "size",
        "amount",
        "price",
        "total",
        "value",
        "usage",
        "pct",
        "percent",
        "cpu",
        "memory",
        "temperature",
        "load",
        "rate",
        "count",
        "delay",
    ];
    let path = sample.fields[at].path.to_ascii_lowercase();
    let named = NAMES.iter().position(|name| path.contains(name));
    let name = named.map_or(0.0, |rank| 3.0 - rank as f64 / 10.0);
    sample.presence(at) * (1.0 + name + (sample.fields[at].effective().ln() / 20.0))
}

fn best(mut fields: Vec<usize>, score: impl Fn(usize) -> f64) -> Vec<usize> {
    // Sorting is stable: of equals the first one met stays first.
    fields.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    fields
}

/// What is measured, the likeliest first; of those that are the same but for a factor the first.
pub(super) fn measures(sample: &Sample, roles: &[Role]) -> Vec<usize> {
    let measures = best(of_role(roles, &[Role::Measure]), |at| measuring(sample, at));
    let mut chosen: Vec<usize> = Vec::new();
    for measure in measures {
        let is_known = chosen.len() >= MEASUREMENTS_MAX
            || chosen
                .iter()
                .any(|other| long::go_together(sample, *other, measure));
        if !is_known {
            chosen.push(measure);
        }
    }
    chosen
}

/// The job that a sample asks for.
pub(super) fn propose(
    sample: &Sample,
    roles: &[Role],
    instants: &[Option<i64>],
    rhythm: &Rhythm,
) -> Proposal {
    let score = |at| splitting(sample, at, rhythm.median);
    let splits = best(of_role(roles, &[Role::Split]), score);
    let entities = best(of_role(roles, &[Role::Entity]), |at| {
        splitting(sample, at, usize::MAX)
    });
    let categories = apart(sample, splits.iter().chain(&entities).copied());
    let useful = |at: &usize| {
        categories.contains(at)
            && sample.presence(*at) >= 0.9
            && sample.fields[*at].effective() >= 1.5
    };
    let splits: Vec<usize> = splits.into_iter().filter(useful).collect();
    let entities: Vec<usize> = entities
        .into_iter()
        .filter(|at| categories.contains(at))
        .collect();
    let measures = measures(sample, roles);
    let (split, second) = (splits.first().copied(), splits.get(1).copied());
    let path = |at: usize| &sample.fields[at].path;
    let mut detectors = Vec::new();
    let alone = |function, field, by, partition, reason: String| Proposed {
        function,
        field,
        by,
        over: None,
        partition,
        reason,
    };
    if rhythm.interval_ms.is_none() {
        let reason = match split {
            Some(split) => format!(
                "how many events of each {}: rushes, and silence",
                path(split)
            ),
            None => "how many events: rushes, and silence".to_owned(),
        };
        detectors.push(alone("count", None, None, split, reason));
    }
    let population = match rhythm.interval_ms {
        None => of_population(sample, roles, instants, rhythm),
        Some(_) => Vec::new(),
    };
    let has_population = !population.is_empty();
    detectors.extend(population);
    let (most, detectors_max) = match rhythm.interval_ms {
        Some(_) => (MEASUREMENTS_MAX, MEASUREMENTS_MAX),
        None => (2, DETECTORS_MAX),
    };
    let taken = measures.iter().take(most);
    detectors
        .extend(taken.map(|measure| measured(sample, roles, rhythm, (*measure, [split, second]))));
    if rhythm.interval_ms.is_none() {
        if let Some(second) = second {
            let reason = format!(
                "how the {} values of {} are shared out",
                sample.fields[second].distinct(),
                path(second)
            );
            detectors.push(alone("count", None, Some(second), None, reason));
        }
        if let Some(&entity) = entities.first().filter(|_| !has_population) {
            let reason = format!("unusually many different values of {}", path(entity));
            detectors.push(alone(
                "high_distinct_count",
                Some(entity),
                None,
                None,
                reason,
            ));
        }
    }
    if detectors.is_empty() {
        let reason = "how many events of each; nothing else in the sample is measured".to_owned();
        detectors.push(alone("count", None, None, split, reason));
    }
    detectors.truncate(detectors_max);
    if rhythm.interval_ms.is_none() {
        let visitors = detectors.iter().find_map(|one| one.over);
        let numbers = best(of_role(roles, &[Role::Measure]), |at| measuring(sample, at));
        detectors.extend(amounts::summed(sample, &numbers, &categories, visitors));
    }
    let over = detectors.iter().find_map(|one| one.over);
    let influencers = influencers(sample, over, &splits, &entities, &categories);
    Proposal {
        influencers,
        messages: messages(sample, roles).filter(|_| detectors.len() + 2 <= DETECTORS_MAX),
        detectors,
    }
}

/// A measure by its mean: of each value of the best split, and kind by kind where another field says what it is of.
fn measured(
    sample: &Sample,
    roles: &[Role],
    rhythm: &Rhythm,
    (measure, [split, second]): (usize, [Option<usize>; 2]),
) -> Proposed {
    let path = |at: usize| &sample.fields[at].path;
    let one_sided = sample.fields[measure].low >= 0.0 && rhythm.interval_ms.is_none();
    let by = long::names_of(sample, roles, measure);
    // What is measured is named by it: then whose it is, is the next one.
    let partition = if by.is_some() && by == split {
        second
    } else {
        split
    };
    let of = partition.map_or(String::new(), |split| format!(" of each {}", path(split)));
    let kinds = by.map_or(String::new(), |kind| {
        format!(
            ", for each {} apart: they are numbers of different things",
            path(kind)
        )
    });
    Proposed {
        function: if one_sided { "high_mean" } else { "mean" },
        field: Some(measure),
        by,
        over: None,
        partition,
        reason: format!("{}{of}, by its mean{kinds}", path(measure)),
    }
}

/// Whose values may be to blame: what the detectors are about, who acted and from where, and others.
fn influencers(
    sample: &Sample,
    over: Option<usize>,
    splits: &[usize],
    entities: &[usize],
    categories: &[usize],
) -> Vec<usize> {
    let culprits = culprits(sample, categories);
    let rest = splits
        .iter()
        .take(2)
        .chain(&culprits)
        .chain(entities.iter().take(2))
        .chain(splits.iter().skip(2));
    let mut influencers: Vec<usize> = Vec::new();
    for at in over.iter().chain(rest) {
        if !influencers.contains(at) {
            influencers.push(*at);
        }
    }
    influencers.truncate(INFLUENCERS_MAX);
    influencers
}

/// Who acted, and from where, as far as fields say so: they are asked for first when something has happened.
fn culprits(sample: &Sample, categories: &[usize]) -> Vec<usize> {
    const PRESENCE_MIN: f64 = 0.2;
    let most = |is_one: fn(&Field) -> bool| {
        let known = categories
            .iter()
            .copied()
            .filter(|at| is_one(&sample.fields[*at]) && sample.presence(*at) >= PRESENCE_MIN);
        known.max_by(|a, b| {
            let spread = |at: usize| sample.presence(at) * sample.fields[at].effective();
            spread(*a).total_cmp(&spread(*b)).then(b.cmp(a))
        })
    };
    [most(names::is_actor), most(names::is_origin)]
        .into_iter()
        .flatten()
        .collect()
}

/// The field that a log says what it has to say in.
fn messages(sample: &Sample, roles: &[Role]) -> Option<usize> {
    const NAMES: [&str; 4] = ["message", "msg", "log", "text"];
    of_role(roles, &[Role::Prose]).into_iter().find(|at| {
        let path = &sample.fields[*at].path;
        let last = path.rsplit('.').next().unwrap_or_default();
        let is_named = NAMES.iter().any(|name| last.eq_ignore_ascii_case(name));
        is_named && sample.presence(*at) >= 0.5
    })
}

/// Those who come and go, held against one another: who asks more, and who looks at more than they do.
fn of_population(
    sample: &Sample,
    roles: &[Role],
    instants: &[Option<i64>],
    rhythm: &Rhythm,
) -> Vec<Proposed> {
    let entities: Vec<usize> = of_role(roles, &[Role::Entity])
        .into_iter()
        .filter(|at| sample.presence(*at) >= 0.9)
        .collect();
    // Of pages with parameters nearly every one may be new.
    let others: Vec<usize> = of_role(roles, &[Role::Split, Role::Entity, Role::Id])
        .into_iter()
        .filter(|at| !sample.fields[*at].is_number() && sample.fields[*at].is_nameable())
        .collect();
    let found = visitors::find(sample, instants, rhythm.span_ms, &entities, &others);
    let Some(found) = found else {
        return Vec::new();
    };
    let path = |at: usize| &sample.fields[at].path;
    let over = |function, field, reason| Proposed {
        function,
        field,
        by: None,
        over: Some(found.field),
        partition: None,
        reason,
    };
    let mut detectors = vec![over(
        "high_count",
        None,
        format!(
            "which {} asks more than the others: most of {} come briefly (half of those that come again stay for {} or less), and have no past to be held against",
            path(found.field),
            sample.fields[found.field].distinct(),
            length(found.stay_ms)
        ),
    )];
    if let Some((field, each)) = found.looks_at {
        let reason = format!(
            "which one looks at unusually many values of {}: a scanner ({each:.1} each in the sample)",
            path(field)
        );
        detectors.push(over("high_distinct_count", Some(field), reason));
    }
    detectors
}

/// The fields of which none is the dotted beginning of one before it, nor the other way round.
fn apart(sample: &Sample, fields: impl Iterator<Item = usize>) -> Vec<usize> {
    let begins = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('.'));
    let mut chosen: Vec<usize> = Vec::new();
    for field in fields {
        let path = &sample.fields[field].path;
        let clashes = chosen.iter().any(|other| {
            let other = &sample.fields[*other].path;
            begins(path, other) || begins(other, path)
        });
        if !clashes {
            chosen.push(field);
        }
    }
    chosen
}
