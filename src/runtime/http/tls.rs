//! TLS of the HTTP side: certificates from files, followed as they rotate.
//!
//! Holds: a file that does not load leaves the last good configuration in use, and is said once; the handshake takes clients without a certificate also
//! where certificates are wanted (it is the guard who turns them away, because probes have none), but never one with a wrong certificate.
//! Source: RFC 8446; defaults of rustls with ring. Checked by: the tests of the parent module.

use crate::config::service::HttpTls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use xxhash_rust::xxh3::Xxh3;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not hold what it should.
    #[error("{key}: {file}: {why}")]
    File {
        /// The configuration's key.
        key: &'static str,
        /// Which file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The files do not fit together.
    #[error("http.tls: {0}; a certificate and the private key that belongs to it would be right")]
    Pair(rustls::Error),
}

/// Makes TLS of accepted connections.
pub(super) struct Certificates {
    files: HttpTls,
    seen: u64,
    acceptor: TlsAcceptor,
}

impl Certificates {
    pub(super) fn load(files: &HttpTls) -> Result<Certificates, TlsError> {
        Ok(Certificates {
            seen: fingerprint(files),
            acceptor: acceptor(files)?,
            files: files.clone(),
        })
    }

    /// For the next connection, by the files as they are now.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        let seen = fingerprint(&self.files);
        if seen != self.seen {
            self.seen = seen;
            match acceptor(&self.files) {
                Ok(renewed) => {
                    tracing::info!("http.tls: the certificates have changed");
                    self.acceptor = renewed;
                }
                Err(error) => {
                    tracing::warn!(%error, "the new certificates do not load; the old ones stay in use");
                }
            }
        }
        self.acceptor.clone()
    }
}

/// Changes whenever a file does.
fn fingerprint(files: &HttpTls) -> u64 {
    let mut hash = Xxh3::new();
    let paths = [&files.cert_file, &files.key_file].into_iter();
    for path in paths.chain(&files.client_ca_file) {
        let bytes = std::fs::read(path).unwrap_or_default();
        hash.update(&bytes.len().to_le_bytes());
        hash.update(&bytes);
    }
    hash.digest()
}

fn acceptor(files: &HttpTls) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates("http.tls.cert_file", &files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| broken("http.tls.key_file", &files.key_file, &error))?;
    let verifier: Arc<dyn ClientCertVerifier> = match &files.client_ca_file {
        None => Arc::new(NoClientAuth),
        Some(file) => {
            let name = "http.tls.client_ca_file";
            let mut roots = RootCertStore::empty();
            for certificate in certificates(name, file)? {
                roots
                    .add(certificate)
                    .map_err(|error| broken(name, file, &error))?;
            }
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| broken(name, file, &error))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| broken(key, file, &error))?;
    match found.is_empty() {
        true => Err(broken(key, file, &"holds no PEM certificate")),
        false => Ok(found),
    }
}

fn broken(key: &'static str, file: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        key,
        file: file.display().to_string(),
        why: why.to_string(),
    }
}
