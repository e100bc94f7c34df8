//! TLS of the TCP front ends, with a certificate that can be renewed while the server runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use ractor_transport::{FileError, read_certificates, read_key};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// Paths of a certificate, with those of its issuers behind it, and of its private key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Error of a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// One of the files cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate cannot be used, or the key is that of another one.
    #[error("{} cannot be used with the key {}", files.certificate.display(), files.key.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// Error of TLS.
        #[source]
        source: rustls::Error,
    },
}

/// Certificate of the server, for TLS 1.2 and 1.3. Clones are the same.
#[derive(Clone)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// Certificate that new connections see.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads a certificate and its key, which must be open to its owner only.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current(RwLock::new(read(&files)?)));
        let unusable = |source| TlsError::Unusable { files: files.clone(), source };
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        Ok(Self { files, current, acceptor: Arc::new(config).into() })
    }

    /// Reads the files again. New connections see the new certificate; if it cannot be used, still the old one.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let renewed = read(&self.files)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn read(files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(&files.certificate)?;
    let key = read_key(&files.key)?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|source| TlsError::Unusable { files: files.clone(), source })
}
