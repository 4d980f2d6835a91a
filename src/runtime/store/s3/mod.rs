//! Snapshots in object storage that speaks S3: AWS, MinIO, Ceph and their like.
//!
//! Layout: `<prefix>/<task>/<lineage, 16 hex digits>-<offset>.snapshot`, the same zstd frames as in a directory. What is small is put at once, what is
//! not in parts of [`PART_BYTES`], of which one is in memory; the object exists when the last word on it is said, whole or not at all.
//! Reading is by ranges of the same size, so that a connection cut costs one of them.
//!
//! Every request is repeated a few times while the other side is at fault ([`exchange`]). What fails for good is told by the service and
//! costs replay time, never results. Credentials are read anew for every operation ([`credentials`]), so that they may rotate.
//! Checked: the contract in `store::tests`, tests/s3.rs on a server, with faults between.

mod credentials;
mod exchange;
mod upload;

use super::directory::{file_name, parse};
use super::inventory::{HEAD_BYTES, Stored, format_in, in_order};
use super::{Content, SnapshotKey, SnapshotStore, StoreError, compress, decompress, newest_first};
use crate::config::instant;
use crate::config::service::S3Settings;
use crate::time::EventTime;
use exchange::{Answer, Exchange, Request};
use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use std::ops::Range;
use std::time::Duration;
use upload::Upload;

/// What one request carries at the most. S3 wants 5 MiB at least, and 10,000 parts at most: 80 GiB a snapshot.
pub(super) const PART_BYTES: usize = 8 << 20;
/// How long a signature is good for: a request's whole life, were it slow.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// A store in a bucket.
#[derive(Debug)]
pub struct S3Store {
    settings: S3Settings,
    bucket: Bucket,
    exchange: Exchange,
}

impl S3Store {
    /// The store in a bucket. Nothing is asked of it yet: a bucket that cannot be reached is told when it is needed.
    pub fn open(settings: S3Settings) -> Result<S3Store, StoreError> {
        let refuse = |cause: String| StoreError {
            place: format!("bucket {}", settings.bucket),
            cause,
        };
        let endpoint = match &settings.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://s3.{}.amazonaws.com", settings.region),
        };
        let url = endpoint
            .parse()
            .map_err(|error| refuse(format!("endpoint {endpoint:?}: {error}")))?;
        let style = match settings.path_style {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let (name, region) = (settings.bucket.clone(), settings.region.clone());
        let bucket = Bucket::new(url, style, name, region)
            .map_err(|error| refuse(format!("endpoint {endpoint:?}: {error}")))?;
        let exchange = Exchange::new(settings.timeout, settings.ca_file.as_deref())
            .map_err(|error| refuse(error.to_string()))?;
        Ok(S3Store {
            settings,
            bucket,
            exchange,
        })
    }

    fn folder(&self, task: &str) -> String {
        match self.settings.prefix.as_str() {
            "" => format!("{task}/"),
            prefix => format!("{prefix}/{task}/"),
        }
    }

    fn object(&self, key: &SnapshotKey) -> String {
        self.folder(&key.task) + &file_name(key)
    }

    fn at(&self, object: &str, cause: impl ToString) -> StoreError {
        StoreError {
            place: format!("s3://{}/{object}", self.bucket.name()),
            cause: cause.to_string(),
        }
    }

    fn credentials(&self, object: &str) -> Result<Credentials, StoreError> {
        let read = credentials::read(&self.settings.credentials);
        read.map_err(|error| self.at(object, error))
    }

    /// One page of a listing.
    fn page(&self, folder: &str, after: Option<String>) -> Result<Answer, StoreError> {
        let credentials = self.credentials(folder)?;
        let signed = || {
            let mut action = ListObjectsV2::new(&self.bucket, Some(&credentials));
            action.with_prefix(folder);
            if let Some(token) = &after {
                action.with_continuation_token(token.as_str());
            }
            action.sign(SIGNED_FOR)
        };
        let told = self.exchange.ask(&Request::get(&signed));
        told.and_then(Answer::expect_success)
            .map_err(|error| self.at(folder, error))
    }

    /// What there is of every task, for people. A listing, and a request for the beginning of each.
    pub fn inventory(&self) -> Result<Vec<Stored>, StoreError> {
        let root = self.folder("").trim_end_matches('/').to_owned();
        let root = match root.as_str() {
            "" => root,
            prefix => format!("{prefix}/"),
        };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let answer = self.page(&root, after)?;
            let page = ListObjectsV2::parse_response(&answer.text())
                .map_err(|error| self.at(&root, format!("not a listing: {error}")))?;
            for one in &page.contents {
                let name = one.key.strip_prefix(&root);
                let Some(key) = name.and_then(|name| {
                    let (task, name) = name.rsplit_once('/')?;
                    parse(task, name)
                }) else {
                    continue;
                };
                let head = self.range(&one.key, 0..HEAD_BYTES, None)?;
                all.push(Stored {
                    key,
                    bytes: one.size.unwrap_or(0),
                    stored_ms: one
                        .last_modified
                        .as_deref()
                        .and_then(instant)
                        .map(EventTime::millis),
                    format: head.and_then(|head| format_in(&head.body[..])),
                });
            }
            match page.next_continuation_token {
                Some(token) => after = Some(token),
                None => return Ok(in_order(all)),
            }
        }
    }

    /// A range of an object, of the version `etag` if that is known; `None` when the object is not there.
    fn range(
        &self,
        object: &str,
        bytes: Range<usize>,
        etag: Option<&str>,
    ) -> Result<Option<Answer>, StoreError> {
        let credentials = self.credentials(object)?;
        let signed = || {
            let action = self.bucket.get_object(Some(&credentials), object);
            action.sign(SIGNED_FOR)
        };
        let range = format!("bytes={}-{}", bytes.start, bytes.end - 1);
        let mut request = Request::get(&signed);
        request.headers.push(("range", &range));
        request.headers.extend(etag.map(|etag| ("if-match", etag)));
        let told = self.exchange.ask(&request);
        match told.map(|answer| answer.unless_absent(&["NoSuchKey", "PreconditionFailed"])) {
            Ok(None) => Ok(None),
            Ok(Some(answer)) => answer.expect_success().map(Some),
            Err(error) => Err(error),
        }
        .map_err(|error| self.at(object, error))
    }
}

impl SnapshotStore for S3Store {
    fn put(&mut self, key: &SnapshotKey, content: &dyn Content) -> Result<u64, StoreError> {
        let object = self.object(key);
        let mut upload = Upload::new(self, &object);
        let written = compress(content, &mut upload).map(drop);
        match written {
            Ok(()) => upload.finish(),
            Err(error) => Err(upload.give_up(&error)),
        }
    }

    fn list(&mut self, task: &str) -> Result<Vec<SnapshotKey>, StoreError> {
        let folder = self.folder(task);
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let answer = self.page(&folder, after)?;
            let page = ListObjectsV2::parse_response(&answer.text())
                .map_err(|error| self.at(&folder, format!("not a listing: {error}")))?;
            let names = page.contents.iter();
            let names = names.filter_map(|one| one.key.strip_prefix(&folder));
            keys.extend(names.filter_map(|name| parse(task, name)));
            match page.next_continuation_token {
                Some(token) => after = Some(token),
                None => return Ok(newest_first(keys)),
            }
        }
    }

    fn get(&mut self, key: &SnapshotKey) -> Result<Option<Vec<u8>>, StoreError> {
        let object = self.object(key);
        let (mut bytes, mut etag) = (Vec::new(), None);
        loop {
            let part = bytes.len()..bytes.len() + PART_BYTES;
            let Some(answer) = self.range(&object, part, etag.as_deref())? else {
                return Ok(None);
            };
            let total = answer.whole_length().unwrap_or(answer.body.len());
            bytes.extend_from_slice(&answer.body);
            if bytes.len() >= total {
                return Ok(decompress(&bytes));
            }
            if answer.body.is_empty() {
                return Err(self.at(&object, format!("nothing after {} bytes", bytes.len())));
            }
            etag = answer.etag;
        }
    }

    fn delete(&mut self, key: &SnapshotKey) -> Result<(), StoreError> {
        let object = self.object(key);
        let credentials = self.credentials(&object)?;
        let signed = || {
            let action = self.bucket.delete_object(Some(&credentials), &object);
            action.sign(SIGNED_FOR)
        };
        let told = self.exchange.ask(&Request::delete(&signed));
        match told.map(|answer| answer.unless_absent(&["NoSuchKey"])) {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => answer.expect_success().map(drop),
            Err(error) => Err(error),
        }
        .map_err(|error| self.at(&object, error))
    }
}
