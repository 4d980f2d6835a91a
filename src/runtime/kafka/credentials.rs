//! Who we are to the brokers, as the files say it *now*: passwords, tokens, certificates.
//!
//! ```text
//!  a file changes ──┬── user, password, token ──► told to the living clients; what is connected stays so
//!                   └── certificate, key, authority ──► only a new client reads them: partitions are released in order, and joined anew
//! ```
//!
//! librdkafka asks for a token with an event, on a queue that some of our clients never read (one that only asks for metadata, say). So
//! tokens are not waited for but brought: at a client's creation, when the file changes, and before the old one expires.
//! Times are milliseconds since the epoch, where not otherwise said. Holds: a file that cannot be read changes nothing and is said once; no value is ever logged.
//! Source of the token's shape: RFC 7519, 4.1. Checked by: the tests below, and tests/kafka/security.rs on a real broker.

use super::edge::{set_password, set_token};
use crate::config::service::{self, TOKEN};
use crate::runtime::clock::{Clock, SystemClock};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::{Client, ClientContext};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Between two looks at the files. Kubernetes itself takes up to a minute to bring a changed secret.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a token that does not tell its end is taken to serve.
const TOKEN_LIFE_MS: i64 = 600_000;
/// librdkafka counts microseconds, which overflow in tokens that never end.
const TOKEN_LIFE_MS_MAX: i64 = 365 * 86_400_000;
/// The user that a token without a subject is called. Brokers take theirs from the token.
const NOBODY: &str = "tidewatch";

/// Properties that name files which a client reads once, at its creation.
const FILE_PROPERTIES: [&str; 4] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// What has become of the files since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// What a living client can be told.
    Login,
    /// What only a new client reads.
    Certificates,
}

/// The credentials of some clients, and the files they come from.
pub(super) struct Credentials {
    kafka: service::Kafka,
    /// Hashes of the files that properties name.
    files: BTreeMap<String, u64>,
    looked: Instant,
    /// By the steady clock.
    token_due_ms: i64,
    complained: bool,
}

impl Credentials {
    /// As the files are now, or, where they cannot be read, as they were when the configuration was read.
    pub(super) fn of(kafka: &service::Kafka) -> Credentials {
        let mut credentials = Credentials {
            kafka: kafka.clone(),
            files: files(kafka),
            looked: Instant::now(),
            token_due_ms: i64::MAX,
            complained: false,
        };
        credentials.read_again();
        credentials.note_token();
        credentials
    }

    /// What clients are made with.
    pub(super) fn kafka(&self) -> &service::Kafka {
        &self.kafka
    }

    /// Looks at the files, if it is time.
    pub(super) fn look(&mut self) -> Change {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return Change::None;
        }
        self.looked = Instant::now();
        let changed = self.read_again();
        let files = files(&self.kafka);
        let certificates = files != self.files || changed.iter().any(|name| is_certificate(name));
        self.files = files;
        if certificates {
            self.note_token();
            return Change::Certificates;
        }
        let expires = SystemClock.steady_ms() >= self.token_due_ms;
        if changed.is_empty() && !expires {
            return Change::None;
        }
        self.note_token();
        Change::Login
    }

    /// Gives a client the login that its mechanism asks for.
    pub(super) fn bring<C: ClientContext>(&self, client: &Client<C>) {
        let property = |name| self.kafka.property(name).unwrap_or_default();
        let outcome = match self.kafka.mechanism().as_deref() {
            Some("OAUTHBEARER") => {
                let token = property(TOKEN);
                let claims = Claims::of(token, SystemClock.now_ms());
                set_token(client, token, &claims.subject, claims.expires_ms)
            }
            Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => {
                set_password(client, property("sasl.username"), property("sasl.password"))
            }
            _ => Ok(()),
        };
        if let Err(why) = outcome {
            tracing::error!(why, "the client does not take this login");
        }
    }

    fn read_again(&mut self) -> Vec<String> {
        match self.kafka.read_secrets_again() {
            Ok(changed) => {
                self.complained = false;
                if !changed.is_empty() {
                    tracing::info!(secrets = ?changed, "secret files have changed");
                }
                changed
            }
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "kafka.secret_files: the last known value stays in use");
                }
                Vec::new()
            }
        }
    }

    /// When the token must be brought again: librdkafka forgets it when its time is over.
    fn note_token(&mut self) {
        let token = self.kafka.property(TOKEN);
        let now_ms = SystemClock.now_ms();
        self.token_due_ms = token.map_or(i64::MAX, |token| {
            let left_ms = Claims::of(token, now_ms).expires_ms - now_ms;
            SystemClock.steady_ms() + (left_ms / 5 * 4).max(1_000)
        });
    }
}

fn is_certificate(property: &str) -> bool {
    property.starts_with("ssl.")
}

fn files(kafka: &service::Kafka) -> BTreeMap<String, u64> {
    let content = |path: &str| std::fs::read(Path::new(path)).ok();
    let hash = |name: &&str| {
        let bytes = content(kafka.property(name)?)?;
        Some((name.to_string(), xxh3_64(&bytes)))
    };
    FILE_PROPERTIES.iter().filter_map(hash).collect()
}

/// What a token says of itself. It is the broker that has to believe it; we only need to know when to bring another.
#[derive(Debug, PartialEq, Eq)]
struct Claims {
    subject: String,
    expires_ms: i64,
}

impl Claims {
    /// Of a JSON Web Token; of any other, the defaults.
    fn of(token: &str, now_ms: i64) -> Claims {
        let body = token.split('.').nth(1).and_then(|part| {
            let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
            serde_json::from_slice::<serde_json::Value>(&bytes).ok()
        });
        let claim = |name: &str| body.as_ref().and_then(|body| body.get(name).cloned());
        let seconds = claim("exp").and_then(|exp| exp.as_f64());
        Claims {
            subject: claim("sub")
                .and_then(|sub| sub.as_str().map(str::to_owned))
                .filter(|sub| !sub.is_empty())
                .unwrap_or_else(|| NOBODY.into()),
            // librdkafka refuses a token that is over; the broker's word on it is the one to show.
            expires_ms: seconds
                .map_or(now_ms + TOKEN_LIFE_MS, |seconds| (seconds * 1000.0) as i64)
                .clamp(now_ms + 5_000, now_ms + TOKEN_LIFE_MS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_its_subject_and_its_end_and_any_other_text_gets_the_defaults() {
        let now_ms = 1_000_000;
        let claims = |token: &str| {
            let Claims {
                subject,
                expires_ms,
            } = Claims::of(token, now_ms);
            (subject, expires_ms)
        };
        let default = || (NOBODY.to_owned(), now_ms + TOKEN_LIFE_MS);
        assert_eq!(
            claims(&token(r#"{"sub": "x", "exp": 5000}"#)),
            ("x".into(), 5_000_000)
        );
        assert_eq!(
            claims(&token(r#"{"sub": "x", "exp": 5000.5}"#)),
            ("x".into(), 5_000_500)
        );
        let over = claims(&token(r#"{"sub": "", "exp": 10}"#));
        assert_eq!(over, (NOBODY.into(), now_ms + 5_000));
        for text in [
            "",
            "opaque",
            "a.b.c",
            "..",
            &token("[]"),
            &token(r#"{"exp": "soon", "sub": 7}"#),
        ] {
            assert_eq!(claims(text), default(), "{text}");
        }
        let vast = claims(&token(r#"{"exp": 1e300}"#));
        assert_eq!(vast.1, now_ms + TOKEN_LIFE_MS_MAX);
    }
}
