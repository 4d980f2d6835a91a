//! An object written as a stream: at once when it is small, in parts when it is not.
//!
//! Holds: one part is in memory; nothing of an upload that is given up stays (should the server not hear of that, the bucket's own rule for
//! unfinished uploads removes it).

use super::exchange::{Answer, Refusal, Request};
use super::{PART_BYTES, S3Store, SIGNED_FOR, StoreError};
use rusty_s3::actions::{CreateMultipartUpload, S3Action};
use std::io::{self, Write};

/// An upload under way.
pub(super) struct Upload<'s> {
    store: &'s S3Store,
    object: &'s str,
    part: Vec<u8>,
    /// Of an upload in parts.
    id: Option<String>,
    /// Of the parts so far.
    etags: Vec<String>,
    bytes: u64,
    failed: Option<StoreError>,
}

impl<'s> Upload<'s> {
    pub(super) fn new(store: &'s S3Store, object: &'s str) -> Upload<'s> {
        Upload {
            store,
            object,
            part: Vec::new(),
            id: None,
            etags: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }

    /// The last word; then the object exists. Returns its bytes.
    pub(super) fn finish(mut self) -> Result<u64, StoreError> {
        let done = match self.id {
            None => self.put_whole(),
            Some(_) => self.send_part().and_then(|()| self.complete()),
        };
        match done {
            Ok(()) => Ok(self.bytes + self.part.len() as u64),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// Forgets what was sent; the reason why.
    pub(super) fn give_up(mut self, error: &io::Error) -> StoreError {
        self.abort();
        let failed = self.failed.take();
        failed.unwrap_or_else(|| self.store.at(self.object, error))
    }

    fn put_whole(&self) -> Result<(), StoreError> {
        let (store, object) = (self.store, self.object);
        let credentials = store.credentials(object)?;
        let signed = || {
            let action = store.bucket.put_object(Some(&credentials), object);
            action.sign(SIGNED_FOR)
        };
        self.succeed(&Request::put(&signed, &self.part)).map(drop)
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let (store, object) = (self.store, self.object);
        let credentials = store.credentials(object)?;
        let signed = || {
            let action = store
                .bucket
                .create_multipart_upload(Some(&credentials), object);
            action.sign(SIGNED_FOR)
        };
        let answer = self.succeed(&Request::post(&signed, &[]))?;
        let told = CreateMultipartUpload::parse_response(&answer.text());
        let told = told.map_err(|error| store.at(object, format!("not an upload: {error}")))?;
        self.id = Some(told.upload_id().to_owned());
        Ok(())
    }

    fn send_part(&mut self) -> Result<(), StoreError> {
        if self.id.is_none() {
            self.begin()?;
        }
        let (store, object) = (self.store, self.object);
        let credentials = store.credentials(object)?;
        let id = self.id.as_deref().unwrap_or_default();
        let number = self.etags.len() as u16 + 1;
        let signed = || {
            let action = store
                .bucket
                .upload_part(Some(&credentials), object, number, id);
            action.sign(SIGNED_FOR)
        };
        let answer = self.succeed(&Request::put(&signed, &self.part))?;
        let etag = answer.etag;
        let etag = etag.ok_or_else(|| store.at(object, "a part without an ETag"))?;
        self.etags.push(etag);
        self.bytes += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }

    /// Asked again when the answer was lost, S3 may say that there is no such upload: then it is told as failed, though it is there. That is allowed:
    /// whoever finds it finds it whole.
    fn complete(&self) -> Result<(), StoreError> {
        let (store, object) = (self.store, self.object);
        let credentials = store.credentials(object)?;
        let id = self.id.as_deref().unwrap_or_default();
        let etags = || self.etags.iter().map(String::as_str);
        let action = || {
            store
                .bucket
                .complete_multipart_upload(Some(&credentials), object, id, etags())
        };
        let (signed, body) = (|| action().sign(SIGNED_FOR), action().body());
        self.succeed(&Request::post(&signed, body.as_bytes()))
            .map(drop)
    }

    fn abort(&self) {
        let Some(id) = &self.id else { return };
        let (store, object) = (self.store, self.object);
        let Ok(credentials) = store.credentials(object) else {
            return;
        };
        let signed = || {
            let action = store
                .bucket
                .abort_multipart_upload(Some(&credentials), object, id);
            action.sign(SIGNED_FOR)
        };
        let _ = store.exchange.ask(&Request::delete(&signed));
    }

    fn succeed(&self, request: &Request<'_>) -> Result<Answer, StoreError> {
        let told = self.store.exchange.ask(request);
        told.and_then(Answer::expect_success)
            .map_err(|error: Refusal| self.store.at(self.object, error))
    }
}

impl Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == PART_BYTES {
            self.send_part().map_err(|error| {
                let told = io::Error::other(error.to_string());
                self.failed = Some(error);
                told
            })?;
        }
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
