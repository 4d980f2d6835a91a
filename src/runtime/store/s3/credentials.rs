//! Where the keys to the object storage come from.
//!
//! Read anew for every operation, so that keys that rotate in their files are taken up without a restart. Holds: a key is in no message.

use crate::config::service::CredentialSource;
use rusty_s3::Credentials;
use std::env;
use std::fs;
use std::path::Path;

/// The credentials of now, or what is missing.
pub(super) fn read(source: &CredentialSource) -> Result<Credentials, String> {
    let (id, secret, token) = match source {
        CredentialSource::Environment => (
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN").ok(),
        ),
        CredentialSource::Files {
            access_key_id,
            secret_access_key,
            session_token,
        } => (
            content(access_key_id)?,
            content(secret_access_key)?,
            session_token.as_deref().map(content).transpose()?,
        ),
    };
    Ok(match token {
        Some(token) => Credentials::new_with_token(id, secret, token),
        None => Credentials::new(id, secret),
    })
}

fn variable(name: &str) -> Result<String, String> {
    match env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(format!(
            "no credentials: {name} is not set; set it, or say snapshots.s3_access_key_id_file and snapshots.s3_secret_access_key_file"
        )),
    }
}

fn content(path: &Path) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(format!("no credentials: {} is empty", path.display())),
        Err(error) => Err(format!(
            "no credentials: cannot read {}: {error}",
            path.display()
        )),
    }
}
