//! What is true of the service: brokers, jobs, topics, state, HTTP, logs; everything of `tidewatch run` that no job says.
//!
//! Written as YAML or JSON ([`Service::load`]); every scalar also as an environment variable: the path in capitals with `_` between,
//! after `TIDEWATCH_` (`kafka.group_id` is `TIDEWATCH_KAFKA_GROUP_ID`), and `TIDEWATCH_KAFKA_PROPERTIES_X_Y` is librdkafka's `x.y`.
//! Every mistake is reported at once, with its path and what would have been right. A secret comes from a file and never leaves in a
//! `Debug` text. Checked by: the tests below; `config/tidewatch.yaml` is loaded by one of them.

mod alerts;
mod http;
mod jobs;
mod kafka;
mod otlp;
mod reader;
mod secret;
mod snapshots;

pub use snapshots::{CredentialSource, S3Settings};

pub(crate) use jobs::fits;
pub use jobs::{JobSources, Look, SharedFile, SharedKind, SharedSources};

use super::{ConfigErrors, Shared};
pub use alerts::{Alerts, Credentials, Receiver, ReceiverKind};
pub(crate) use http::is_token;
use http::read_http;
pub use http::{Http, HttpAuth, HttpTls};
use kafka::read_kafka;
pub use kafka::{Kafka, TOKEN};
pub use otlp::{Headers, Otlp, Sampling};
use reader::Reader;
pub use secret::{Secret, SecretError, SecretFile};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that `tidewatch run` is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// How to reach the brokers, and as whom.
    pub kafka: Kafka,
    /// Where job files are.
    pub jobs: JobSources,
    /// Names and shape of the topics that the service writes.
    pub topics: Topics,
    /// Where snapshots are kept.
    pub snapshots: SnapshotStore,
    /// How many snapshots of a task are kept, at least 2.
    pub snapshots_kept: u16,
    /// The rhythm of the tasks.
    pub timing: Timing,
    /// How far the inputs of a job may drift apart.
    pub align: Align,
    /// Whether results become alerts, and who is told.
    pub alerts: Alerts,
    /// Where and to whom `/livez`, `/readyz`, `/healthz` and `/metrics` are served.
    pub http: Http,
    /// Whether `/metrics` has series of what jobs say.
    pub scores: Scores,
    /// Where traces go; `None`: there are none.
    pub otlp: Option<Otlp>,
    /// What is logged and how.
    pub log: Log,
}

/// The `topics` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// What every topic name of the service begins with.
    pub prefix: String,
    /// Partitions of a topic that the service creates, where its use leaves a choice.
    pub partitions: u16,
    /// Replication factor of a topic that the service creates; -1: the brokers' default.
    pub replication_factor: i16,
    /// How long created topics keep dead letters, interim results and internal messages; `None`: the brokers' default. Results are
    /// compacted: the last word on each stays.
    pub retention: Option<Duration>,
}

/// Where snapshots are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotStore {
    /// A compacted topic of the same cluster.
    Topic,
    /// A directory that every instance sees.
    Directory(PathBuf),
    /// A bucket of an object storage that speaks S3.
    S3(S3Settings),
}

/// The `timing` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The longest time between two transactions while there is something to commit.
    pub commit_interval: Duration,
    /// Between two snapshots of a task.
    pub snapshot_interval: Duration,
    /// Between two looks at the job files.
    pub job_files_interval: Duration,
}

/// The `align` section: how far ahead of a job's slowest live input another one may run, in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Align {
    /// So many buckets; 0: as far as it likes.
    pub ahead_buckets: u32,
    /// But at least so long.
    pub ahead_min: Duration,
}

/// `metrics.scores`: series of what jobs say, beside those of how they work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scores {
    /// None.
    #[default]
    Off,
    /// One a detector.
    Detectors,
    /// One a series of a detector, by the values that it is split by.
    Entities {
        /// At most so many a job.
        limit: usize,
    },
}

/// The `log` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives as `tidewatch=debug,warn`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Service {
    /// Reads `file` and the environment. Relative paths in it are relative to the directory it lies in.
    pub fn load(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Service, ConfigErrors> {
        Service::load_with(file, environment, JobFiles::Needed)
    }

    /// The same for a tool that looks at a service from elsewhere: its job files need not be at hand.
    pub fn load_from_elsewhere(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Service, ConfigErrors> {
        Service::load_with(file, environment, JobFiles::Elsewhere)
    }

    fn load_with(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        job_files: JobFiles,
    ) -> Result<Service, ConfigErrors> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigErrors::one(&name, "", format!("cannot be read: {error}")))?;
        let base = file.parent().unwrap_or(Path::new(""));
        Service::parse_with(&name, &text, base, environment, job_files)
    }

    /// The same from a text; `base` is where relative paths begin.
    pub fn parse(
        file: &str,
        text: &str,
        base: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Service, ConfigErrors> {
        Service::parse_with(file, text, base, environment, JobFiles::Needed)
    }

    fn parse_with(
        file: &str,
        text: &str,
        base: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        job_files: JobFiles,
    ) -> Result<Service, ConfigErrors> {
        let written: Value = serde_yaml_ng::from_str(text)
            .map_err(|error| ConfigErrors::one(file, "", format!("not YAML or JSON: {error}")))?;
        let mut reader = Reader::new(written, environment);
        let service = read_service(&mut reader, base);
        if job_files == JobFiles::Elsewhere {
            let is_about_jobs = |path: &str| path == "jobs" || path.starts_with("jobs[");
            reader
                .mistakes
                .retain(|mistake| !is_about_jobs(&mistake.path));
        }
        reader.refuse_the_rest();
        match service {
            Some(service) if reader.mistakes.is_empty() => Ok(service),
            _ => Err(ConfigErrors::new(Some(file.into()), reader.mistakes)),
        }
    }
}

/// Whether job files have to be where the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobFiles {
    Needed,
    Elsewhere,
}

/// `None` only when the reader has noted why.
fn read_service(reader: &mut Reader, base: &Path) -> Option<Service> {
    let kafka = read_kafka(reader, base);
    let jobs = read_jobs(reader, base).beside(read_shared(reader, base));
    let topics = read_topics(reader);
    let snapshots = snapshots::read(reader, base);
    let snapshots_kept = reader.parsed("snapshots.keep", "3", "a number from 2 to 1000");
    if let Some(kept) = snapshots_kept.filter(|kept| !(2..=1000).contains(kept)) {
        reader.mistake("snapshots.keep", format!("{kept} is not in 2 to 1000"));
    }
    let timing = Timing {
        commit_interval: reader.duration("timing.commit_interval", Duration::from_millis(200)),
        snapshot_interval: reader.duration("timing.snapshot_interval", Duration::from_secs(300)),
        job_files_interval: reader.duration("timing.job_files_interval", Duration::from_secs(2)),
    };
    let ahead = "a number of buckets, 0 for as far as it likes";
    let align = Align {
        ahead_buckets: reader
            .parsed("align.ahead_buckets", "12", ahead)
            .unwrap_or(0),
        ahead_min: reader.duration("align.ahead_min", Duration::from_secs(3600)),
    };
    let alerts = alerts::read(reader, base);
    let http = read_http(reader, base);
    let scores = read_scores(reader);
    let otlp = otlp::read(reader, base);
    let log = Log {
        level: reader.text("log.level").unwrap_or_else(|| "info".into()),
        format: match reader.choice("log.format", &["text", "json"]) {
            Some("json") => LogFormat::Json,
            _ => LogFormat::Text,
        },
    };
    Some(Service {
        kafka: kafka?,
        jobs,
        topics,
        snapshots,
        snapshots_kept: snapshots_kept?,
        timing,
        align,
        alerts,
        http: http?,
        scores,
        otlp,
        log,
    })
}

fn read_scores(reader: &mut Reader) -> Scores {
    const LIMIT_MAX: usize = 1_000;
    let limit = reader.parsed(
        "metrics.scores_limit",
        "100",
        "a number of series, 1 to 1000",
    );
    let limit = limit.unwrap_or(1);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let problem = format!("{limit} is not in 1 to {LIMIT_MAX}");
        reader.mistake("metrics.scores_limit", problem);
    }
    match reader.choice("metrics.scores", &["none", "detectors", "entities"]) {
        Some("detectors") => Scores::Detectors,
        Some("entities") => Scores::Entities { limit },
        _ => Scores::Off,
    }
}

/// Every source has to be there; a directory may be empty, for jobs that come later.
fn read_jobs(reader: &mut Reader, base: &Path) -> JobSources {
    let written = reader.list("jobs");
    if written.is_empty() {
        reader.mistake(
            "jobs",
            "is missing; list job files, directories of them, or patterns such as jobs/web-*.yaml"
                .into(),
        );
    }
    let mut sources = Vec::new();
    for (at, path) in written.iter().enumerate() {
        let source = base.join(path);
        if let Err(error) = jobs::list(&source, jobs::TEXTS) {
            reader.mistake(&format!("jobs[{at}]"), format!("{path}: {error}"));
        }
        sources.push(source);
    }
    JobSources::new(sources)
}

/// What stands beside the jobs. As with them, every source has to be there.
fn read_shared(reader: &mut Reader, base: &Path) -> SharedSources {
    let mut list = |key: &str, endings: &[&str]| {
        let mut sources = Vec::new();
        for (at, path) in reader.list(key).iter().enumerate() {
            let source = base.join(path);
            if let Err(error) = jobs::list(&source, endings) {
                reader.mistake(&format!("{key}[{at}]"), format!("{path}: {error}"));
            }
            sources.push(source);
        }
        sources
    };
    let filters = list("filters", jobs::TEXTS);
    let calendars = list("calendars", jobs::CALENDARS);
    let zone = reader.text("calendar_time_zone");
    let zone = zone.map(|name| Shared::zone(&name));
    if let Some(Err(message)) = &zone {
        reader.mistake("calendar_time_zone", message.clone());
    }
    SharedSources {
        filters,
        calendars,
        time_zone: zone.and_then(Result::ok),
    }
}

fn read_topics(reader: &mut Reader) -> Topics {
    let prefix = reader
        .text("topics.prefix")
        .unwrap_or_else(|| "tidewatch".into());
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if prefix.is_empty() || prefix.len() > 150 || !prefix.chars().all(legal) {
        reader.mistake(
            "topics.prefix",
            format!(
                "\"{prefix}\" cannot begin a topic name: 1 to 150 letters, digits, '.', '_' or '-'"
            ),
        );
    }
    let partitions = reader
        .parsed(
            "topics.partitions",
            "4",
            "a number of partitions, 1 to 1024",
        )
        .unwrap_or(1);
    if !(1..=1024).contains(&partitions) {
        reader.mistake(
            "topics.partitions",
            format!("{partitions} is not in 1 to 1024"),
        );
    }
    let replication_factor = reader
        .parsed(
            "topics.replication_factor",
            "-1",
            "a number of replicas, or -1 for the brokers' default",
        )
        .unwrap_or(-1);
    if replication_factor == 0 || replication_factor < -1 {
        reader.mistake(
            "topics.replication_factor",
            format!("{replication_factor} is neither at least 1 nor -1 (the brokers' default)"),
        );
    }
    Topics {
        prefix,
        partitions,
        replication_factor,
        retention: reader.duration_if_said("topics.retention"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Service, ConfigErrors> {
        let environment = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Service::parse(
            "test.yaml",
            text,
            Path::new(env!("CARGO_MANIFEST_DIR")),
            environment,
        )
    }

    fn mistakes(text: &str) -> Vec<String> {
        let errors = parse(text, &[]).unwrap_err();
        errors.mistakes().iter().map(ToString::to_string).collect()
    }

    const SMALL: &str =
        "{kafka: {properties: {bootstrap.servers: 'b:9092'}, instance_id: a}, jobs: Cargo.toml}";

    #[test]
    fn who_looks_from_elsewhere_needs_no_job_files_and_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidewatch.yaml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            (
                Service::load(&file, []).is_ok(),
                Service::load_from_elsewhere(&file, []).map_err(|errors| errors.to_string()),
            )
        };
        let (at_work, looks) = load(SMALL);
        assert!(!at_work && looks.is_ok(), "{looks:?}");
        let (_, looks) = load(&SMALL.replace("bootstrap", "bootstarp"));
        let errors = looks.unwrap_err();
        assert!(
            errors.contains("bootstrap.servers") && !errors.contains("Cargo.toml"),
            "{errors}"
        );
    }

    #[test]
    fn brokers_and_jobs_are_all_that_must_be_said() {
        let service = parse(SMALL, &[]).unwrap();
        assert_eq!(service.kafka.group_id, "tidewatch");
        assert_eq!(service.http, Http::open("127.0.0.1:9600".parse().unwrap()));
        assert_eq!(service.snapshots, SnapshotStore::Topic);
        assert_eq!(service.timing.commit_interval, Duration::from_millis(200));
    }

    #[test]
    fn the_example_file_says_every_key_and_every_default() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tidewatch.yaml");
        let mut service = Service::load(&example, []).unwrap();
        let mut bare = parse(SMALL, &[]).unwrap();
        (service.jobs, bare.jobs) = (JobSources::default(), JobSources::default());
        (service.kafka, bare.kafka) = (bare.kafka.clone(), bare.kafka);
        assert_eq!(service, bare);
        let text = std::fs::read_to_string(example).unwrap();
        let mut reader = Reader::new(Value::Null, []);
        let _ = read_service(&mut reader, Path::new(""));
        for known in &reader.known {
            let key = known.rsplit('.').next().unwrap();
            assert!(
                text.contains(&format!("{key}:")),
                "config/tidewatch.yaml does not explain {known}"
            );
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_what_would_have_been_right() {
        let found = mistakes(
            "{kafka: {group_ids: x, properties: {isolation.level: read_uncommitted, retries: [1]}, secret_files: {sasl.password: /none}},
              timings: {}, timing: {commit_interval: 200}, http: {bind: nowhere}, log: {format: xml}, snapshots: {store: tape}, topics: {partitions: 0}}",
        );
        for expected in [
            "kafka.properties.retries: is a list; a single value would be right",
            "kafka.properties.isolation.level: is the service's own; only committed messages may be read",
            "kafka.secret_files.sasl.password: cannot read /none: No such file or directory (os error 2)",
            "kafka.properties.bootstrap.servers: is missing; say host:port[,host:port...]",
            "jobs: is missing; list job files, directories of them, or patterns such as jobs/web-*.yaml",
            "topics.partitions: 0 is not in 1 to 1024",
            "snapshots.store: \"tape\" is not a store; say \"topic\", \"directory\" or \"s3\"",
            "timing.commit_interval: \"200\" has no unit; write \"200s\" or \"200m\"",
            "http.bind: \"nowhere\" is not an address and a port such as \"0.0.0.0:9600\"",
            "log.format: \"xml\" is none of text, json",
            "kafka.group_ids: unknown key; did you mean \"kafka.group_id\"?",
            "timings: unknown key; did you mean \"timing\"?",
        ] {
            assert!(
                found.iter().any(|mistake| mistake == expected),
                "{expected}\nnot in {found:#?}"
            );
        }
        assert_eq!(found.len(), 12, "{found:#?}");
    }

    #[test]
    fn a_group_speaks_one_of_two_protocols_and_the_timeouts_of_the_newer_are_the_brokers() {
        let properties = |text: &str| {
            format!("{{jobs: Cargo.toml, kafka: {{properties: {{bootstrap.servers: x, {text}}}}}}}")
        };
        let service = parse(&properties("group.protocol: consumer"), &[]).unwrap();
        assert!(service.kafka.speaks_consumer_protocol());
        let service = parse(&properties("group.protocol: classic"), &[]).unwrap();
        assert!(!service.kafka.speaks_consumer_protocol());
        assert_eq!(
            mistakes(&properties("group.protocol: newest")),
            ["kafka.properties.group.protocol: \"newest\" is neither classic nor consumer"]
        );
        assert_eq!(
            mistakes(&properties(
                "group.protocol: consumer, session.timeout.ms: 10000"
            )),
            [
                "kafka.properties.session.timeout.ms: has no meaning with group.protocol: consumer; set the brokers' group.consumer.session.timeout.ms"
            ]
        );
    }

    #[test]
    fn the_environment_has_the_last_word() {
        let service = parse(
            SMALL,
            &[
                ("TIDEWATCH_KAFKA_GROUP_ID", "other"),
                (
                    "TIDEWATCH_KAFKA_PROPERTIES_BOOTSTRAP_SERVERS",
                    "elsewhere:9092",
                ),
                ("TIDEWATCH_KAFKA_PROPERTIES_SECURITY_PROTOCOL", "ssl"),
                ("TIDEWATCH_TOPICS_RETENTION", "7d"),
                (
                    "TIDEWATCH_SERVICE_HOST",
                    "set by Kubernetes for a service of our name",
                ),
            ],
        )
        .unwrap();
        assert_eq!(service.kafka.group_id, "other");
        assert_eq!(
            service.kafka.properties["bootstrap.servers"],
            "elsewhere:9092"
        );
        assert_eq!(service.kafka.properties["security.protocol"], "ssl");
        assert_eq!(
            service.topics.retention,
            Some(Duration::from_secs(7 * 86_400))
        );
    }

    #[test]
    fn a_secret_comes_from_its_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let text = format!(
            "{{kafka: {{properties: {{bootstrap.servers: b}}, secret_files: {{sasl.password: {}}}}}, jobs: Cargo.toml}}",
            file.path().display()
        );
        let service = parse(&text, &[]).unwrap();
        assert_eq!(service.kafka.secrets["sasl.password"].reveal(), "hunter2");
        assert!(!format!("{service:?}").contains("hunter2"));
    }
}
