//! Every way to log in works a job end to end; a wrong one is told from its cause; what rotates is followed without a restart or a loss;
//! and no secret is ever said.

use crate::client::{produce_on, topic_on};
use crate::instance::{Deployment, Instance, PATIENCE};
use crate::secured::{Authority, PLAIN_PASSWORD, Secured, rights, secured, write};
use crate::service::{await_metric, reference};
use crate::turns::turn;
use crate::world::{Kind, Message, events, job, sentinel};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const BUCKETS: i64 = 60;
/// How long a token serves that is to end within a test.
const SHORT: Duration = Duration::from_secs(15);
const FINAL: &str = "tidewatch_buckets_closed_total{finality=\"final\",job_id=\"whole\"}";

/// One job on an input of its own, by a service that logs in as `principal` in the way that `kafka` says.
struct Case {
    secured: &'static Secured,
    input: String,
    job: String,
    deployment: Deployment,
    /// What must never be seen.
    secrets: Vec<String>,
}

impl Case {
    fn new(kafka: &str, principal: &str, secrets: &[&str]) -> Case {
        let secured = secured();
        let input = topic_on(&secured.broker, "secured", 2);
        let job = job(Kind::Whole, &input, "");
        let deployment = Deployment::on(&secured.broker, kafka, std::slice::from_ref(&job), "");
        for right in rights(&input, &deployment.prefix) {
            secured.grant(principal, &right);
        }
        Case {
            secured,
            input,
            job,
            deployment,
            secrets: secrets.iter().map(ToString::to_string).collect(),
        }
    }

    fn publish(&self, messages: &[Message]) {
        let texts = messages.iter().enumerate();
        produce_on(
            &self.secured.broker,
            &self.input,
            texts.map(|(at, message)| ((at % 2) as i32, message.text.clone())),
        );
    }

    fn close(&self) {
        let ends = (0..2).map(|partition| (partition, sentinel(BUCKETS)));
        produce_on(&self.secured.broker, &self.input, ends);
    }

    /// The service starts and works half of the events; `meanwhile` something changes; the other half comes. Nothing may be lost, nothing come
    /// twice, and nothing of the secrets be seen.
    fn work(&self, seed: u64, meanwhile: impl FnOnce(&Instance)) {
        let all = events(seed, BUCKETS);
        let (first, second) = all.split_at(all.len() / 2);
        self.publish(first);
        let instance = self.deployment.start_at_level("a", "trace");
        await_metric(&instance, FINAL, |count| count > 5.0);
        meanwhile(&instance);
        self.publish(second);
        self.close();
        let wanted = reference(std::slice::from_ref(&self.job), BUCKETS, seed);
        self.deployment.await_results(&wanted);
        let mut said = String::new();
        for path in ["/metrics", "/readyz", "/livez", "/healthz", "/nothing"] {
            said.push_str(&instance.get(path).expect("an answer").1);
        }
        assert_eq!(instance.stop(), Some(0), "{}", self.deployment.logs());
        self.deployment.assert_results(&wanted, "secured");
        said.push_str(&self.deployment.whole_log("a"));
        self.assert_nothing_secret_in(&said);
    }

    fn assert_nothing_secret_in(&self, said: &str) {
        assert!(said.len() > 1_000, "it has said something");
        for secret in &self.secrets {
            let line = said.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "a secret was said");
        }
    }
}

fn sasl(secured: &Secured, mechanism: &str, further: &str) -> String {
    format!(
        "  properties:\n    bootstrap.servers: {}\n    security.protocol: sasl_ssl\n    ssl.ca.location: {}\n    sasl.mechanism: {mechanism}\n{further}",
        secured.sasl_ssl,
        secured.ca_file().display()
    )
}

/// `secret_files`, and the properties after them.
fn with_secret(name: &str, file: &Path, properties: &str) -> String {
    format!(
        "  secret_files:\n    {name}: {}\n{properties}",
        file.display()
    )
}

/// A directory as Kubernetes mounts a secret: files lead through a link to a directory that is changed as a whole.
struct Mount(TempDir);

impl Mount {
    fn new(files: &[(&str, &str)]) -> Mount {
        let mount = Mount(TempDir::new().expect("a directory"));
        mount.swap("1", files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.0.path().join(name)).expect("a link");
        }
        mount
    }

    fn swap(&self, version: &str, files: &[(&str, &str)]) {
        let root = self.0.path();
        fs::create_dir(root.join(version)).expect("a directory");
        for (name, text) in files {
            write(&root.join(version), name, text);
        }
        symlink(version, root.join("..new")).expect("a link");
        fs::rename(root.join("..new"), root.join("..data")).expect("swapped");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

/// A token as the broker's unsecured validator takes it: no signature, a subject, a life.
fn token(subject: &str, seconds: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    let (begin, end) = (now.as_secs(), now.as_secs() + seconds);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.",
        part(r#"{"alg":"none"}"#),
        part(&format!(
            r#"{{"sub":"{subject}","iat":{begin},"exp":{end}}}"#
        ))
    )
}

#[test]
fn a_plain_login_works_a_job() {
    let mount = Mount::new(&[("password", &format!("{PLAIN_PASSWORD}\n"))]);
    let properties = sasl(secured(), "PLAIN", "    sasl.username: all");
    let kafka = with_secret("sasl.password", &mount.path("password"), &properties);
    Case::new(&kafka, "all", &[PLAIN_PASSWORD]).work(11, |_| {});
}

#[test]
fn a_scram_password_that_rotates_is_followed_and_nothing_is_lost() {
    let (old, new) = ("old-secret-5512", "new-secret-8821");
    secured().set_scram_password("rotating", old);
    let mount = Mount::new(&[("password", old)]);
    let properties = sasl(secured(), "SCRAM-SHA-512", "    sasl.username: rotating");
    let kafka = with_secret("sasl.password", &mount.path("password"), &properties);
    let case = Case::new(&kafka, "rotating", &[old, new]);
    case.work(12, |_| {
        secured().set_scram_password("rotating", new);
        mount.swap("2", &[("password", new)]);
        case.await_log("secret files have changed");
        // Connections must prove themselves again by now, with the new one.
        std::thread::sleep(Duration::from_secs(4));
    });
}

#[test]
fn oauth_tokens_come_from_a_file_and_are_brought_again_before_they_end() {
    // All that has to be waited for before: from here on the token's time runs.
    let (_turn, secured) = (turn(), secured());
    // A token serves for seconds, and connections end with it: only the next one can have carried the second half.
    let minted = Instant::now();
    let short = token("oauth", SHORT.as_secs());
    let long = token("oauth", 3_600);
    let mount = Mount::new(&[("token", &short)]);
    let properties = sasl(secured, "OAUTHBEARER", "");
    let kafka = with_secret(
        "sasl.oauthbearer.token",
        &mount.path("token"),
        properties.trim_end(),
    );
    let case = Case::new(&kafka, "oauth", &[&short, &long]);
    case.work(13, |_| {
        mount.swap("2", &[("token", &long)]);
        case.await_log("secret files have changed");
        std::thread::sleep((SHORT + Duration::from_secs(1)).saturating_sub(minted.elapsed()));
    });
}

#[test]
fn a_client_certificate_that_rotates_takes_new_clients_and_nothing_is_lost() {
    let secured = secured();
    let (certificate, key) = secured.ca.sign("mutual");
    let (next_certificate, next_key) = secured.ca.sign("mutual");
    let mount = Mount::new(&[("tls.crt", &certificate), ("tls.key", &key)]);
    let kafka = format!(
        "  properties:\n    bootstrap.servers: {}\n    security.protocol: ssl\n    ssl.ca.location: {}\n    ssl.certificate.location: {}\n    ssl.key.location: {}",
        secured.ssl,
        secured.ca_file().display(),
        mount.path("tls.crt").display(),
        mount.path("tls.key").display()
    );
    let lines = |key: &str| key.lines().nth(1).expect("a key").to_owned();
    let (one, other) = (lines(&key), lines(&next_key));
    let case = Case::new(&kafka, "CN=mutual", &[&one, &other]);
    case.work(14, |_| {
        // A key that fits no certificate is no reason to leave.
        mount.swap("2", &[("tls.crt", &certificate), ("tls.key", &next_key)]);
        case.await_log("do not load; the old ones stay in use");
        mount.swap(
            "3",
            &[("tls.crt", &next_certificate), ("tls.key", &next_key)],
        );
        case.await_log("joined again with new certificates");
    });
}

#[test]
fn a_wrong_login_certificate_or_address_is_told_from_its_cause() {
    let secured = secured();
    secured.set_scram_password("known", "right-4411");
    let files = TempDir::new().expect("a directory");
    write(files.path(), "wrong", "wrong-9931");
    write(files.path(), "token", "wrong-token-77.x.y");
    write(files.path(), "other-ca.pem", &Authority::new("another").pem);
    let file = |name: &str| files.path().join(name);
    let login = |mechanism: &str| {
        let properties = sasl(secured, mechanism, "    sasl.username: known");
        with_secret("sasl.password", &file("wrong"), &properties)
    };
    let scram = login("SCRAM-SHA-512");
    let ca = secured.ca_file().display().to_string();
    let cases = [
        (
            scram.clone(),
            "look_at=\"the login",
            "Authentication failed",
        ),
        (
            login("PLAIN"),
            "look_at=\"the login",
            "Invalid username or password",
        ),
        (
            with_secret(
                "sasl.oauthbearer.token",
                &file("token"),
                sasl(secured, "OAUTHBEARER", "").trim_end(),
            ),
            "look_at=\"the login",
            "invalid_token",
        ),
        (
            scram.replace(&ca, &file("other-ca.pem").display().to_string()),
            "look_at=\"the certificates",
            "certificate could not be verified",
        ),
        (
            format!(
                "  properties:\n    bootstrap.servers: {}\n    security.protocol: ssl\n    ssl.ca.location: {ca}",
                secured.ssl
            ),
            "look_at=\"the certificates",
            "alert bad certificate",
        ),
        (
            "  properties:\n    bootstrap.servers: 127.0.0.1:1".to_string(),
            "look_at=\"the address",
            "Connection refused",
        ),
        (
            "  properties:\n    bootstrap.servers: nowhere.invalid:9092".to_string(),
            "look_at=\"the address",
            "Failed to resolve",
        ),
    ];
    let running: Vec<_> = cases
        .iter()
        .map(|(kafka, ..)| {
            let case = Case::new(kafka, "known", &["wrong-9931", "wrong-token-77"]);
            let instance = case.deployment.start_at_level("a", "trace");
            (case, instance)
        })
        .collect();
    for ((case, instance), (_, look_at, reason)) in running.into_iter().zip(&cases) {
        case.await_log(look_at);
        case.await_log(reason);
        instance.kill();
        case.assert_nothing_secret_in(&case.deployment.whole_log("a"));
    }
}

impl Case {
    fn await_log(&self, text: &str) {
        self.deployment
            .await_log("a", text, Instant::now() + PATIENCE);
    }
}
