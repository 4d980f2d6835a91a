//! Who may ask: a bearer token, a user and password, a client's certificate; and what is open to everybody.
//!
//! Secrets are read from their files at each request that brings one, so that a rotated one counts at once; while a file cannot be read, its last known
//! value does. They are compared by their hashes in constant time: neither a right beginning nor a length shows in how long an answer takes.
//! Source: RFC 6750 (bearer), RFC 7617 (basic). Checked by: the tests of the parent module.

use crate::config::service::{HttpAuth, Secret, SecretFile};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Whether the client's connection has shown a certificate that we know the authority of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    Shown,
    NotShown,
}

/// Lets a request pass, or says why not.
pub(super) struct Guard {
    bearer_token: Option<Remembered>,
    basic: Option<(String, Remembered)>,
    guards_probes: bool,
    wants_certificate: bool,
}

impl Guard {
    pub(super) fn of(auth: &HttpAuth, wants_certificate: bool) -> Guard {
        Guard {
            bearer_token: auth.bearer_token.clone().map(Remembered::new),
            basic: auth
                .basic
                .clone()
                .map(|(user, file)| (user, Remembered::new(file))),
            guards_probes: auth.guards_probes,
            wants_certificate,
        }
    }

    /// What to answer instead, if the request may not pass.
    pub(super) fn refusal(
        &self,
        path: &str,
        headers: &HeaderMap,
        certificate: Certificate,
    ) -> Option<Response> {
        let is_probe = matches!(path, "/livez" | "/readyz");
        if is_probe && !self.guards_probes {
            return None;
        }
        if self.wants_certificate && certificate == Certificate::NotShown {
            let why = "a client certificate is needed (http.tls.client_ca_file)\n";
            return Some((StatusCode::FORBIDDEN, why).into_response());
        }
        if self.is_open() || self.knows(headers) {
            return None;
        }
        let mut answer = (StatusCode::UNAUTHORIZED, "not authorized\n").into_response();
        let mut challenge = |scheme| {
            let value = HeaderValue::from_static(scheme);
            answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
        };
        if self.bearer_token.is_some() {
            challenge("Bearer realm=\"tidewatch\"");
        }
        if self.basic.is_some() {
            challenge("Basic realm=\"tidewatch\", charset=\"UTF-8\"");
        }
        Some(answer)
    }

    fn is_open(&self) -> bool {
        self.bearer_token.is_none() && self.basic.is_none()
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        // Of several, a proxy before us may have checked another than we do.
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, credentials)) = given.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = self.bearer_token.as_ref();
            token.is_some_and(|token| token.is(credentials.as_bytes()))
        } else if scheme.eq_ignore_ascii_case("basic") {
            self.knows_user(credentials)
        } else {
            false
        }
    }

    fn knows_user(&self, credentials: &str) -> bool {
        let Some((user, password)) = &self.basic else {
            return false;
        };
        let Ok(given) = STANDARD.decode(credentials) else {
            return false;
        };
        let Some(colon) = given.iter().position(|byte| *byte == b':') else {
            return false;
        };
        // Both, whatever the first says.
        equal(&given[..colon], user.as_bytes()) & password.is(&given[colon + 1..])
    }
}

/// A secret's file, and what was in it when it could be read last.
struct Remembered {
    file: SecretFile,
    last: Mutex<Last>,
}

struct Last {
    secret: Option<Secret>,
    /// Whether it is said that the file cannot be read: it is strangers who choose how often it is tried.
    is_said: bool,
}

impl Remembered {
    fn new(file: SecretFile) -> Remembered {
        let last = Last {
            secret: file.read().ok(),
            is_said: false,
        };
        Remembered {
            file,
            last: Mutex::new(last),
        }
    }

    fn is(&self, given: &[u8]) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match self.file.read() {
            Ok(secret) => {
                *last = Last {
                    secret: Some(secret),
                    is_said: false,
                };
            }
            Err(error) => {
                if !last.is_said {
                    tracing::warn!(%error, "http.auth: the last known value stays in use");
                }
                last.is_said = true;
            }
        }
        last.secret
            .as_ref()
            .is_some_and(|secret| equal(given, secret.reveal().as_bytes()))
    }
}

fn equal(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.as_slice().ct_eq(other.as_slice()).into()
}
