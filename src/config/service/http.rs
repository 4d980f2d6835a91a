//! The `http` section: where the service answers, over TLS or not, and to whom.
//!
//! Holds: a certificate has its key, a user has a password, and a secret that is named can be read at the start. The files themselves are read again
//! as they rotate. Checked by the tests below and those of the parent module.

use super::reader::Reader;
use super::secret::SecretFile;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The `http` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The address and port to listen on.
    pub bind: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<HttpTls>,
    /// Who may ask.
    pub auth: HttpAuth,
}

/// The `http.tls` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTls {
    /// PEM: our certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: the authorities whose clients may ask; `None`: no certificate is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// The `http.auth` section: any of its ways will do; with none of them, everybody may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAuth {
    /// The token of `Authorization: Bearer`.
    pub bearer_token: Option<SecretFile>,
    /// The user, and the password's file, of `Authorization: Basic`.
    pub basic: Option<(String, SecretFile)>,
    /// Whether also `/livez` and `/readyz` are answered only to those who may ask. A kubelet has no credentials.
    pub guards_probes: bool,
}

impl Http {
    /// Plain HTTP at `bind`, open to everybody.
    pub fn open(bind: SocketAddr) -> Http {
        Http {
            bind,
            tls: None,
            auth: HttpAuth::default(),
        }
    }
}

/// `None` only when the reader has noted why.
pub(super) fn read_http(reader: &mut Reader, base: &Path) -> Option<Http> {
    let bind = reader.parsed(
        "http.bind",
        "127.0.0.1:9600",
        "an address and a port such as \"0.0.0.0:9600\"",
    );
    let tls = read_tls(reader, base);
    let auth = read_auth(reader, base);
    Some(Http {
        bind: bind?,
        tls,
        auth,
    })
}

fn read_tls(reader: &mut Reader, base: &Path) -> Option<HttpTls> {
    let mut file = |name: &str| {
        let path = format!("http.tls.{name}");
        let file = base.join(reader.text(&path)?);
        if let Err(error) = std::fs::File::open(&file) {
            reader.mistake(&path, format!("cannot read {}: {error}", file.display()));
        }
        Some(file)
    };
    let (cert, key, client_ca_file) = (file("cert_file"), file("key_file"), file("client_ca_file"));
    match (cert, key) {
        (Some(cert_file), Some(key_file)) => Some(HttpTls {
            cert_file,
            key_file,
            client_ca_file,
        }),
        (None, None) if client_ca_file.is_none() => None,
        (cert, _) => {
            let missing = if cert.is_some() {
                "key_file"
            } else {
                "cert_file"
            };
            reader.mistake(
                &format!("http.tls.{missing}"),
                "is missing; TLS takes a certificate and its key".into(),
            );
            None
        }
    }
}

/// Whether this can be sent as a bearer token: ASCII letters, digits and signs, without blanks.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_auth(reader: &mut Reader, base: &Path) -> HttpAuth {
    let mut secret = |name: &str, is_fit: fn(&str) -> bool, wanted: &str| {
        let path = format!("http.auth.{name}");
        let file = SecretFile::at(base.join(reader.text(&path)?));
        match file.read() {
            Ok(secret) if !is_fit(secret.reveal()) => {
                let place = file.path().display();
                reader.mistake(
                    &path,
                    format!("{place} holds what no client can send; {wanted}"),
                );
            }
            Ok(_) => {}
            Err(error) => reader.mistake(&path, error.to_string()),
        }
        Some(file)
    };
    let bearer_token = secret(
        "bearer_token_file",
        is_token,
        "a token of ASCII letters, digits and signs on one line, without blanks, would be right",
    );
    let password = secret(
        "basic_password_file",
        |password| !password.contains(char::is_control),
        "a password on one line would be right",
    );
    let basic = match (reader.text("http.auth.basic_user"), password) {
        (Some(user), Some(password)) if !user.contains(':') => Some((user, password)),
        (Some(user), Some(_)) => {
            reader.mistake(
                "http.auth.basic_user",
                format!(
                    "\"{user}\" has a colon, which ends a user name in HTTP; take another name"
                ),
            );
            None
        }
        (None, None) => None,
        (user, _) => {
            let missing = if user.is_some() {
                "basic_password_file"
            } else {
                "basic_user"
            };
            reader.mistake(
                &format!("http.auth.{missing}"),
                "is missing; basic authentication takes a user and a password's file".into(),
            );
            None
        }
    };
    HttpAuth {
        bearer_token,
        basic,
        guards_probes: reader.choice("http.auth.probes", &["open", "guarded"]) == Some("guarded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, base: &Path) -> Result<Http, Vec<String>> {
        let written = serde_yaml_ng::from_str(text).unwrap();
        let mut reader = Reader::new(written, []);
        let http = read_http(&mut reader, base);
        reader.refuse_the_rest();
        let mistakes: Vec<String> = reader.mistakes.iter().map(ToString::to_string).collect();
        http.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    #[test]
    fn half_a_certificate_half_a_user_and_a_secret_that_is_not_there_are_mistakes() {
        let base = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(base.path().join(name), "x\n").unwrap();
        }
        std::fs::write(base.path().join("empty"), "\n").unwrap();
        std::fs::write(base.path().join("lines"), "s3cret\nother\n").unwrap();
        std::fs::write(base.path().join("blank"), "s3cret \n").unwrap();
        let whole = "{http: {tls: {cert_file: a, key_file: b}, auth: {bearer_token_file: a, basic_user: u, basic_password_file: b, probes: guarded}}}";
        let http = read(whole, base.path()).unwrap();
        assert!(http.auth.guards_probes && http.tls.is_some() && http.auth.basic.is_some());
        for (text, expected) in [
            ("{tls: {cert_file: a}}", "http.tls.key_file: is missing"),
            ("{tls: {key_file: a}}", "http.tls.cert_file: is missing"),
            (
                "{tls: {client_ca_file: a}}",
                "http.tls.cert_file: is missing",
            ),
            (
                "{tls: {cert_file: none, key_file: a}}",
                "http.tls.cert_file: cannot read",
            ),
            ("{tls: on}", "http.tls: is a text; a map would be right"),
            (
                "{tls: {cert: a}}",
                "http.tls.cert: unknown key; did you mean \"http.tls.cert_file\"?",
            ),
            (
                "{auth: {basic_user: u}}",
                "http.auth.basic_password_file: is missing",
            ),
            (
                "{auth: {basic_password_file: a}}",
                "http.auth.basic_user: is missing",
            ),
            (
                "{auth: {basic_user: 'u:v', basic_password_file: a}}",
                "http.auth.basic_user: \"u:v\" has a colon",
            ),
            ("{auth: {bearer_token_file: empty}}", "is empty"),
            ("{auth: {bearer_token_file: lines}}", "on one line"),
            ("{auth: {bearer_token_file: blank}}", "without blanks"),
            (
                "{auth: {basic_user: u, basic_password_file: lines}}",
                "a password on one line",
            ),
            (
                "{auth: {bearer_token_file: none}}",
                "http.auth.bearer_token_file: cannot read",
            ),
            (
                "{auth: {probes: shut}}",
                "http.auth.probes: \"shut\" is none of open, guarded",
            ),
        ] {
            let mistakes = read(&format!("{{http: {text}}}"), base.path()).unwrap_err();
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(expected)),
                "{text}: {mistakes:?}"
            );
            assert!(!mistakes.concat().contains("s3cret"), "{mistakes:?}");
        }
    }
}
