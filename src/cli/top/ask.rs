//! Asking instances how they are, over HTTP or HTTPS, with what they ask for: a token, a password, a certificate.
//!
//! Secrets come from files, read again for every look, so that they may rotate; they go to the named instances only (no redirect is followed), and no
//! error has one in it. Every instance is asked at the same time, and has so long to answer.

use super::look::{Look, Outcome};
use crate::runtime::alerts::http::{authorities, bearer, secret};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, TlsConfig, parse_pem};

/// An answer that is larger is not one of ours.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The longest that an instance has to answer.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// The least, however often it is asked.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// What instances want to see of who asks.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Login {
    /// File of the token of `Authorization: Bearer` (http.auth.bearer_token_file).
    #[arg(long, value_name = "FILE", conflicts_with = "basic_user")]
    bearer_token_file: Option<PathBuf>,
    /// User of `Authorization: Basic` (http.auth.basic_user).
    #[arg(long, value_name = "USER", requires = "basic_password_file")]
    basic_user: Option<String>,
    /// File of its password.
    #[arg(long, value_name = "FILE", requires = "basic_user")]
    basic_password_file: Option<PathBuf>,
    /// Authorities (PEM) to trust instead of those that browsers trust.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where one is asked for (http.tls.client_ca_file).
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_cert_file: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "client_cert_file")]
    client_key_file: Option<PathBuf>,
}

/// Asks.
pub(super) struct Asker {
    urls: Vec<String>,
    login: Login,
    agent: ureq::Agent,
}

impl Asker {
    /// An error if an address is none, or a file does not hold what it should.
    pub(super) fn new(urls: &[String], login: &Login, interval: Duration) -> anyhow::Result<Asker> {
        for text in urls {
            let url = url::Url::parse(text).ok();
            let has_login = |url: &url::Url| !url.username().is_empty() || url.password().is_some();
            anyhow::ensure!(
                !url.as_ref().is_some_and(has_login),
                // Neither this nor a frame, which names the instances, shows it.
                "--url: an address with a user in it; say --basic-user and --basic-password-file instead"
            );
            let is_right = url.is_some_and(|url| ["http", "https"].contains(&url.scheme()));
            anyhow::ensure!(
                is_right,
                "--url {text}: not an address such as http://127.0.0.1:9600"
            );
        }
        let mut tls = TlsConfig::builder();
        if let Some(file) = &login.ca_file {
            tls = tls.root_certs(authorities(file)?);
        }
        if let (Some(cert), Some(key)) = (&login.client_cert_file, &login.client_key_file) {
            tls = tls.client_cert(Some(client_cert(cert, key)?));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(interval.clamp(TIMEOUT_MIN, TIMEOUT_MAX)))
            .http_status_as_error(false)
            // A credential goes nowhere else.
            .max_redirects(0)
            .user_agent(concat!("tidewatch/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        let asker = Asker {
            urls: urls
                .iter()
                .map(|url| url.trim_end_matches('/').to_owned())
                .collect(),
            login: login.clone(),
            agent,
        };
        asker.authorization().map_err(anyhow::Error::msg)?;
        Ok(asker)
    }

    /// How every instance is, in the order that they were named in.
    pub(super) fn look(&self) -> Vec<Look> {
        thread::scope(|scope| {
            let asked: Vec<_> = self
                .urls
                .iter()
                .map(|url| scope.spawn(|| self.look_at(url)))
                .collect();
            let answers = asked.into_iter().zip(&self.urls);
            answers
                .map(|(answer, url)| {
                    answer.join().unwrap_or_else(|_| Look {
                        url: url.clone(),
                        at: now(),
                        outcome: Err("asking has failed".to_owned()),
                    })
                })
                .collect()
        })
    }

    fn look_at(&self, url: &str) -> Look {
        let health = self.get(&format!("{url}/healthz"));
        let at = now();
        let outcome = health.and_then(|health| {
            // Without metrics the rest is worth seeing.
            let metrics = self.get(&format!("{url}/metrics")).unwrap_or_default();
            Outcome::read(&health, &metrics)
        });
        Look {
            url: url.to_owned(),
            at,
            outcome,
        }
    }

    fn authorization(&self) -> Result<Option<String>, String> {
        let Login {
            bearer_token_file,
            basic_user,
            basic_password_file,
            ..
        } = &self.login;
        let value = match (bearer_token_file, basic_user, basic_password_file) {
            (Some(file), ..) => bearer(file),
            (_, Some(user), Some(file)) => secret(file).map(|password| {
                let pair = format!("{user}:{password}");
                format!("Basic {}", STANDARD.encode(pair))
            }),
            _ => return Ok(None),
        };
        value.map(Some).map_err(|error| error.to_string())
    }

    fn get(&self, url: &str) -> Result<String, String> {
        let mut request = self.agent.get(url);
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", &value);
        }
        let mut answer = request.call().map_err(|error| match error {
            // These may quote the address, which may hold a password.
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                "the address is not one that can be asked".to_owned()
            }
            other => other.to_string(),
        })?;
        match answer.status().as_u16() {
            200 => {}
            status @ (401 | 403) => {
                return Err(format!(
                    "{status}: it wants to know who asks; say --bearer-token-file, --basic-user or --client-cert-file"
                ));
            }
            404 => return Err("404: no /healthz there; is it a tidewatch?".to_owned()),
            _ => return Err(answer.status().to_string()),
        }
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string().map_err(|error| error.to_string())
    }
}

fn client_cert(cert: &Path, key: &Path) -> anyhow::Result<ClientCert> {
    let read = |file: &Path| {
        let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
        parse_pem(&pem)
            .collect::<Result<Vec<PemItem<'static>>, _>>()
            .with_context(|| file.display().to_string())
    };
    let certificates = read(cert)?.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    anyhow::ensure!(
        !certificates.is_empty(),
        "--client-cert-file {}: holds no certificate",
        cert.display()
    );
    let private: Option<PrivateKey<'static>> = read(key)?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    let private = private
        .with_context(|| format!("--client-key-file {}: holds no private key", key.display()))?;
    Ok(ClientCert::new_with_certs(&certificates, private))
}

#[allow(
    clippy::disallowed_methods,
    reason = "a person's clock: rates are of time that has passed"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::{Http, HttpAuth, HttpTls, SecretFile};
    use crate::runtime::clock::ManualClock;
    use crate::runtime::http::HttpServer;
    use crate::runtime::telemetry::Telemetry;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use std::fs;
    use std::sync::Arc;
    use tempfile::TempDir;

    fn served(http: &Http) -> HttpServer {
        let telemetry = Telemetry::new(Arc::new(ManualClock::at(5)), &[]);
        HttpServer::start(http, Arc::new(telemetry)).unwrap()
    }

    fn open() -> Http {
        Http::open("127.0.0.1:0".parse().unwrap())
    }

    /// The first instance, asked with this login.
    fn ask(url: String, login: Login) -> Result<i64, String> {
        let asker = Asker::new(&[url], &login, Duration::from_secs(5)).unwrap();
        let outcome = asker.look().remove(0).outcome?;
        assert!(outcome.resident_bytes.is_some(), "no metrics");
        Ok(outcome.health.timestamp_ms)
    }

    #[test]
    fn a_token_or_a_password_from_a_file_opens_and_is_not_told() {
        let files = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (token, password) = (file("token", "t0ken\n"), file("password", "pass:word"));
        let server = served(&Http {
            auth: HttpAuth {
                bearer_token: Some(SecretFile::at(token.clone())),
                basic: Some(("ops".to_owned(), SecretFile::at(password.clone()))),
                ..HttpAuth::default()
            },
            ..open()
        });
        let url = || format!("http://{}/", server.address());
        let bearer = |file| Login {
            bearer_token_file: Some(file),
            ..Login::default()
        };
        assert_eq!(ask(url(), bearer(token)), Ok(5));
        let basic = Login {
            basic_user: Some("ops".to_owned()),
            basic_password_file: Some(password),
            ..Login::default()
        };
        assert_eq!(ask(url(), basic), Ok(5));
        let refused = ask(url(), Login::default()).unwrap_err();
        assert!(refused.contains("--bearer-token-file"), "{refused}");
        let refused = ask(url(), bearer(file("wrong", "s3cret"))).unwrap_err();
        assert!(
            refused.starts_with("401") && !refused.contains("s3cret"),
            "{refused}"
        );
    }

    #[test]
    fn over_tls_the_authority_is_checked_and_a_certificate_of_ours_is_shown() {
        let files = TempDir::new().unwrap();
        let path = |name: &str| files.path().join(name);
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = Issuer::new(params.clone(), KeyPair::generate().unwrap());
        let root = params.self_signed(authority.key()).unwrap();
        fs::write(path("ca.pem"), root.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(path(&format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        let server = served(&Http {
            tls: Some(HttpTls {
                cert_file: path("server.pem"),
                key_file: path("server.key"),
                client_ca_file: Some(path("ca.pem")),
            }),
            ..open()
        });
        let url = || format!("https://{}", server.address());
        let trusting = Login {
            ca_file: Some(path("ca.pem")),
            ..Login::default()
        };
        let known = Login {
            client_cert_file: Some(path("client.pem")),
            client_key_file: Some(path("client.key")),
            ..trusting.clone()
        };
        assert_eq!(ask(url(), known), Ok(5));
        assert!(ask(url(), trusting).unwrap_err().starts_with("403"));
        assert!(
            ask(url(), Login::default()).is_err(),
            "an authority that nobody knows"
        );
    }

    #[test]
    fn what_is_no_address_or_no_certificate_is_said_at_once() {
        let refused = |url: &str, login: Login| {
            let asker = Asker::new(&[url.to_owned()], &login, Duration::from_secs(5));
            format!("{:#}", asker.err().unwrap())
        };
        let none = Login::default;
        assert!(refused("localhost:9600", none()).contains("--url localhost:9600"));
        assert!(refused("ftp://x", none()).contains("http://127.0.0.1:9600"));
        for url in [
            "http://ops:pa55word@x",
            "ftp://ops:pa55word@x",
            "http://:pa55word@x",
        ] {
            let said = refused(url, none());
            assert!(
                said.contains("--basic-password-file") && !said.contains("pa55word"),
                "{said}"
            );
        }
        let missing = Login {
            bearer_token_file: Some("/nowhere/token".into()),
            ..none()
        };
        assert!(refused("http://x", missing).contains("/nowhere/token"));
        let files = TempDir::new().unwrap();
        let lines = files.path().join("lines");
        fs::write(&lines, "t0ken\nt0ken\n").unwrap();
        let lines = Login {
            bearer_token_file: Some(lines),
            ..none()
        };
        let said = refused("http://x", lines);
        assert!(
            said.contains("on one line") && !said.contains("t0ken"),
            "{said}"
        );
        let empty = Login {
            ca_file: Some("/dev/null".into()),
            ..none()
        };
        assert!(refused("http://x", empty).contains("holds no certificate"));
    }
}
