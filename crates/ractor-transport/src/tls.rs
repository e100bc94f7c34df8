use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use crate::certified::{self, CLUSTER_DNS_NAME};
use crate::files::{FileError, read_certificates, read_key};
use crate::node_name::NodeName;

/// File with the authority's certificate, in a node's directory and in that of [`certificates`](crate::certificates).
pub(crate) const CA_CERTIFICATE: &str = "ca.pem";
/// File with a node's certificate, in its directory.
pub(crate) const NODE_CERTIFICATE: &str = "node.pem";
/// File with a node's private key, in its directory.
pub(crate) const NODE_KEY: &str = "node.key";

/// Versions of TLS that are spoken: nothing older.
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Certificate and key of a node, and the cluster's authority.
///
/// Both ends of a connection present a certificate with their name that this authority has signed. No other authority
/// is trusted.
pub struct Identity {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// Error of [`Identity::load`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// One of the files in the node's directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority's certificate cannot be used.
    #[error("{} is not the certificate of an authority", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Error of the verifier.
        #[source]
        source: VerifierBuilderError,
    },
    /// The certificate is not valid now, not signed by the authority, or not for the key.
    #[error("{} is not valid now, not by the authority beside it, or not for the key beside it", path.display())]
    Rejected {
        /// The certificate.
        path: PathBuf,
        /// Error of TLS.
        #[source]
        source: rustls::Error,
    },
    /// The certificate names no node.
    #[error("the certificate {} names no node: make new certificates", path.display())]
    NoNode {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificate is for another node.
    #[error("the certificate {} is for node {certified}, not for {name}", path.display())]
    OtherNode {
        /// The certificate.
        path: PathBuf,
        /// The name in the certificate.
        certified: NodeName,
        /// The name of this node.
        name: NodeName,
    },
}

impl Identity {
    /// Reads `ca.pem`, `node.pem` and `node.key` of a node from a directory, such as
    /// [`certificates`](crate::certificates) makes for each node.
    ///
    /// The files are read once. To use renewed ones, start the node again.
    ///
    /// # Errors
    ///
    /// If one of them is missing or malformed, users other than its owner have any permission on the key, or others
    /// would not accept the certificate of this node.
    pub fn load(directory: impl AsRef<Path>, name: &NodeName) -> Result<Self, IdentityError> {
        let path = |name| directory.as_ref().join(name);
        let authority = read_certificates(path(CA_CERTIFICATE))?;
        let chain = read_certificates(path(NODE_CERTIFICATE))?;
        let key = read_key(path(NODE_KEY))?;

        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authority);
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .build()
            .map_err(|source| IdentityError::Authority { path: path(CA_CERTIFICATE), source })?;
        let rejected = |source| IdentityError::Rejected { path: path(NODE_CERTIFICATE), source };
        let (own, intermediates) =
            chain.split_first().ok_or(rustls::Error::NoCertificatesPresented).map_err(rejected)?;
        verifier.verify_client_cert(own, intermediates, UnixTime::now()).map_err(rejected)?;
        match certified::name(own) {
            Some(certified) if certified == *name => {}
            Some(certified) => {
                let (path, name) = (path(NODE_CERTIFICATE), name.clone());
                return Err(IdentityError::OtherNode { path, certified, name });
            }
            None => return Err(IdentityError::NoNode { path: path(NODE_CERTIFICATE) }),
        }
        let acceptor = server_config(verifier, chain.clone(), key.clone_key()).map_err(rejected)?;
        let connector = client_config(roots, chain, key).map_err(rejected)?;
        Ok(Self { acceptor: Arc::new(acceptor).into(), connector: Arc::new(connector).into() })
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(CLUSTER_DNS_NAME).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Returns the cryptography, independently of the process's default, which another part of the process may set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Configures the accepting end. No connection is resumed from an earlier one.
fn server_config(
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Configures the dialling end. No connection is resumed from an earlier one.
fn client_config(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}
