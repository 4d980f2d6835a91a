//! Posting to a receiver.
//!
//! Credentials, and an address that is a secret, are read from their files each time. An error names the receiver's host at the most: what
//! follows it may be a secret too, also where an answer repeats it.

use crate::config::service::{Credentials, Receiver, is_token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The part of an answer that is looked at, bytes, and of that the part that is quoted.
const READ_BYTES_MAX: u64 = 8 << 10;
const QUOTED_CHARS_MAX: usize = 300;
/// A run of letters and digits of a secret address that is as long as this may be what makes it secret.
const SECRET_CHARS_MIN: usize = 6;

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// Trying again may help.
    #[error("{0}")]
    Failed(String),
    /// Trying again may help, and the receiver says when.
    #[error("{0}")]
    Later(String, Duration),
    /// The receiver will never take this message.
    #[error("refused: {0}")]
    Refused(String),
}

impl PostError {
    /// For how long the receiver asks to be left alone.
    pub fn wait(&self) -> Duration {
        match self {
            PostError::Later(_, after) => *after,
            PostError::Failed(_) | PostError::Refused(_) => Duration::ZERO,
        }
    }
}

/// Delivers a body of JSON.
pub trait Post: Send {
    /// Posts it to `url`; of a receiver with a secret address `url` is empty.
    fn post(&mut self, url: &str, body: &[u8]) -> Result<(), PostError>;
}

/// Over HTTP or HTTPS.
pub struct HttpPost {
    receiver: Receiver,
    agent: ureq::Agent,
}

impl HttpPost {
    /// For one receiver.
    pub fn new(receiver: &Receiver) -> Result<HttpPost, PostError> {
        let mut builder = ureq::Agent::config_builder()
            .timeout_global(Some(receiver.timeout))
            .http_status_as_error(false)
            // A credential goes nowhere else.
            .max_redirects(0)
            .user_agent(concat!("tidewatch/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &receiver.ca_file {
            let roots = authorities(file)?;
            builder = builder.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(HttpPost {
            receiver: receiver.clone(),
            agent: builder.build().new_agent(),
        })
    }

    fn authorization(&self) -> Result<Option<String>, PostError> {
        Ok(match &self.receiver.credentials {
            Credentials::None => None,
            Credentials::Bearer(file) => Some(bearer(file)?),
            Credentials::Basic {
                username,
                password_file,
            } => {
                let pair = format!("{username}:{}", secret(password_file)?);
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
        })
    }
}

impl Post for HttpPost {
    fn post(&mut self, url: &str, body: &[u8]) -> Result<(), PostError> {
        let url = match &self.receiver.url_file {
            Some(file) => secret(file)?,
            None => url.to_owned(),
        };
        let mut request = self
            .agent
            .post(&url)
            .header("content-type", "application/json");
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", &value);
        }
        let mut answer = request.send(body).map_err(|error| match error {
            // These quote the address.
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                PostError::Failed("the address is not a URL that can be asked".to_owned())
            }
            other => PostError::Failed(other.to_string()),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let again_after = again_after(answer.headers());
        let mut body = Vec::new();
        let mut reader = answer.body_mut().as_reader().take(READ_BYTES_MAX);
        let _ = reader.read_to_end(&mut body); // cut off, it says what came before
        let said = String::from_utf8_lossy(&body);
        let said: String = match self.receiver.url_file.is_some() && repeats(&said, &url) {
            true => "(an answer that repeats the address)".to_owned(),
            false => said.trim().chars().take(QUOTED_CHARS_MAX).collect(),
        };
        let what = format!("{status}: {}", said.replace(char::is_control, " "));
        match status.as_u16() {
            // About the message; everything else is about the moment, or the configuration.
            400 | 413 | 422 => Err(PostError::Refused(what)),
            _ => Err(match again_after {
                Some(after) => PostError::Later(what, after),
                None => PostError::Failed(what),
            }),
        }
    }
}

/// After how long an answer asks to be tried again: `Retry-After` in seconds (RFC 9110, 10.2.3). Its other form, a date, would need the other side's clock.
pub(crate) fn again_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Whether an answer says part of what follows the host of an address, in whatever spelling: letters and digits are themselves in all of them.
fn repeats(said: &str, url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
    let mut words = path.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word.len() >= SECRET_CHARS_MIN && said.contains(word))
}

/// What a file with a secret holds, blanks around it left out.
pub(crate) fn secret(file: &Path) -> Result<String, PostError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(PostError::Failed(format!(
            "cannot read {}: {error}",
            file.display()
        ))),
    }
}

/// The value of `Authorization` by the token in a file.
pub(crate) fn bearer(file: &Path) -> Result<String, PostError> {
    let token = secret(file)?;
    match is_token(&token) {
        true => Ok(format!("Bearer {token}")),
        false => Err(PostError::Failed(format!(
            "{} holds no token; ASCII letters, digits and signs on one line, without blanks, would be right",
            file.display()
        ))),
    }
}

/// The certificates (PEM) in a file, to trust instead of the usual ones.
pub(crate) fn authorities(file: &Path) -> Result<RootCerts, PostError> {
    let failed = |why: String| PostError::Failed(format!("ca_file {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|error| failed(error.to_string()))?
        {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(failed("holds no certificate".to_owned())),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}
