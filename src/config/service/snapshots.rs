//! The `snapshots` section: where snapshots are kept, and how to get in.

use super::SnapshotStore;
use super::reader::Reader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Keys that mean something with one store only, and which.
const OWN_KEYS: [(&str, &str); 10] = [
    ("snapshots.path", "directory"),
    ("snapshots.s3_bucket", "s3"),
    ("snapshots.s3_prefix", "s3"),
    ("snapshots.s3_region", "s3"),
    ("snapshots.s3_endpoint", "s3"),
    ("snapshots.s3_path_style", "s3"),
    ("snapshots.s3_access_key_id_file", "s3"),
    ("snapshots.s3_secret_access_key_file", "s3"),
    ("snapshots.s3_session_token_file", "s3"),
    ("snapshots.s3_ca_file", "s3"),
];

/// Where the bucket is, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket; it has to exist.
    pub bucket: String,
    /// What every object's name begins with, without the slash after it.
    pub prefix: String,
    /// As `eu-central-1`; servers of one's own mostly take any.
    pub region: String,
    /// `https://host[:port]` of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket is in the path instead of the host's name.
    pub path_style: bool,
    /// Where the credentials come from.
    pub credentials: CredentialSource,
    /// Certificates (PEM) to trust instead of the usual ones.
    pub ca_file: Option<PathBuf>,
    /// How long each step of a request may take.
    pub timeout: Duration,
}

/// Where credentials come from; read anew for every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN`.
    Environment,
    /// A file each, as secrets are mounted.
    Files {
        /// The key's id.
        access_key_id: PathBuf,
        /// The key.
        secret_access_key: PathBuf,
        /// Of temporary keys.
        session_token: Option<PathBuf>,
    },
}

pub(super) fn read(reader: &mut Reader, base: &Path) -> SnapshotStore {
    let store = reader.text("snapshots.store");
    let store = store.as_deref().unwrap_or("topic");
    for (key, of) in OWN_KEYS {
        if of != store && reader.is_said(key) {
            let problem = format!("means something only with snapshots.store: {of}");
            reader.mistake(key, problem);
        }
    }
    let path = reader.text("snapshots.path");
    let s3 = read_s3(reader, base, store == "s3");
    match store {
        "topic" => {}
        "directory" => match path {
            Some(path) => return SnapshotStore::Directory(base.join(path)),
            None => reader.mistake("snapshots.path", "is missing; say the directory".into()),
        },
        "s3" => return s3.map_or(SnapshotStore::Topic, SnapshotStore::S3),
        other => reader.mistake(
            "snapshots.store",
            format!("\"{other}\" is not a store; say \"topic\", \"directory\" or \"s3\""),
        ),
    }
    SnapshotStore::Topic
}

fn read_s3(reader: &mut Reader, base: &Path, is_wanted: bool) -> Option<S3Settings> {
    let bucket = reader.text("snapshots.s3_bucket");
    let prefix = reader.text("snapshots.s3_prefix");
    let region = reader.text("snapshots.s3_region");
    let endpoint = reader.text("snapshots.s3_endpoint");
    let path_style = reader.choice("snapshots.s3_path_style", &["true", "false"]);
    let ca_file = reader.text("snapshots.s3_ca_file");
    let timeout = reader.duration("snapshots.s3_timeout", Duration::from_secs(30));
    let credentials = read_credentials(reader, base);
    if !is_wanted {
        return None;
    }
    if bucket.is_none() {
        reader.mistake("snapshots.s3_bucket", "is missing; say the bucket".into());
    }
    Some(S3Settings {
        bucket: bucket?,
        prefix: prefix.map_or_else(
            || "tidewatch".to_owned(),
            |prefix| prefix.trim_matches('/').to_owned(),
        ),
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        // Only AWS has a host name for every bucket as a matter of course.
        path_style: path_style.map_or(endpoint.is_some(), |said| said == "true"),
        endpoint,
        credentials,
        ca_file: ca_file.map(|path| base.join(path)),
        timeout,
    })
}

fn read_credentials(reader: &mut Reader, base: &Path) -> CredentialSource {
    let mut file = |key: &str| reader.text(key).map(|path| base.join(path));
    let access_key_id = file("snapshots.s3_access_key_id_file");
    let secret_access_key = file("snapshots.s3_secret_access_key_file");
    let session_token = file("snapshots.s3_session_token_file");
    match (access_key_id, secret_access_key, session_token) {
        (Some(access_key_id), Some(secret_access_key), session_token) => CredentialSource::Files {
            access_key_id,
            secret_access_key,
            session_token,
        },
        (None, None, None) => CredentialSource::Environment,
        _ => {
            reader.mistake(
                "snapshots.s3_access_key_id_file",
                "is one of two: the key's id and the key come from a file each, or both from the environment".into(),
            );
            CredentialSource::Environment
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Service, SnapshotStore};
    use super::*;

    fn parse(snapshots: &str, variables: &[(&str, &str)]) -> Result<Service, String> {
        let text = format!(
            "{{kafka: {{instance_id: a, properties: {{bootstrap.servers: x}}}}, jobs: [config/jobs/*.yaml], snapshots: {snapshots}}}"
        );
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        Service::parse("test.yaml", &text, base, variables).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_bucket_is_enough_for_aws_and_an_endpoint_has_it_in_the_path() {
        let s3 = |text: &str, variables: &[(&str, &str)]| match parse(text, variables) {
            Ok(Service {
                snapshots: SnapshotStore::S3(s3),
                ..
            }) => s3,
            other => panic!("{other:?}"),
        };
        let aws = s3("{store: s3, s3_bucket: models}", &[]);
        assert_eq!((aws.path_style, aws.prefix.as_str()), (false, "tidewatch"));
        assert_eq!(aws.credentials, CredentialSource::Environment);
        let own = s3(
            "{store: s3, s3_bucket: models, s3_prefix: /a/b/, s3_access_key_id_file: /run/id, s3_secret_access_key_file: /run/key}",
            &[("TIDEWATCH_SNAPSHOTS_S3_ENDPOINT", "http://minio:9000")],
        );
        assert_eq!((own.path_style, own.prefix.as_str()), (true, "a/b"));
        assert!(matches!(own.credentials, CredentialSource::Files { .. }));
    }

    #[test]
    fn what_is_missing_or_of_another_store_is_said() {
        for (text, said) in [
            ("{store: s3}", "snapshots.s3_bucket: is missing"),
            (
                "{store: topic, s3_bucket: x}",
                "snapshots.s3_bucket: means something only with snapshots.store: s3",
            ),
            (
                "{store: s3, s3_bucket: x, path: y}",
                "snapshots.path: means something only with snapshots.store: directory",
            ),
            (
                "{store: s3, s3_bucket: x, s3_access_key_id_file: y}",
                "snapshots.s3_access_key_id_file: is one of two",
            ),
            ("{keep: 1}", "snapshots.keep: 1 is not in 2 to 1000"),
        ] {
            let errors = parse(text, &[]).unwrap_err();
            assert!(errors.contains(said), "{text}: {errors}");
        }
    }
}
