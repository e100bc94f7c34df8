use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::{certified, files};
use crate::NodeName;

/// The DNS name in every node's certificate, and the only one that a dialler accepts. It stands for "a node of this
/// cluster", so a node may have any address, and a certificate does not change with it. What keeps strangers out is the
/// authority, which signs for nobody else. It is the scheme, too, of the URI that names the node.
pub const CLUSTER_DNS_NAME: &str = "counter-node";

/// The certificate of the authority, in a node's directory and in that of [`certificates`](super::certificates).
pub(super) const CA_CERTIFICATE: &str = "ca.pem";
/// The certificate of a node, in its directory.
pub(super) const NODE_CERTIFICATE: &str = "node.pem";
/// The private key of a node, in its directory.
pub(super) const NODE_KEY: &str = "node.key";

/// Nothing older is spoken.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// How a node proves by TLS that it belongs to the cluster and what it is called, and has others prove it: both ends of a
/// connection show a certificate with their name that the cluster's own authority has signed. No other authority counts.
pub struct Identity {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// Why a directory gives no [`Identity`].
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is missing or cannot be read.
    #[error("{} cannot be read: a node's directory has {CA_CERTIFICATE}, {NODE_CERTIFICATE} and {NODE_KEY}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read the key.
    #[error("the key {} is open to other users: run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate or key in the file.
    #[error("{} is not a PEM file with what its name says", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The authority's certificate is of no use.
    #[error("{} is not the certificate of an authority", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// The key is not that of the certificate, or the authority has not signed it, or it is not valid now.
    #[error("{} is not valid now, not by the authority beside it, or not for the key beside it", path.display())]
    Rejected {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The certificate does not say which node it is for, as those of earlier versions.
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
        /// The name in it.
        certified: NodeName,
        /// This node.
        name: NodeName,
    },
}

impl Identity {
    /// Reads `ca.pem`, `node.pem` and `node.key` of a node from a directory, such as
    /// [`certificates`](super::certificates) makes for each. The connections that exist keep their certificates; for a new
    /// one, start the node again.
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

    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(CLUSTER_DNS_NAME).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// The cryptography, without a global default that another part of the process might set.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Every connection proves itself anew: none is resumed from an earlier one.
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

/// The other side of [`server_config`].
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

fn read_certificates(path: PathBuf) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(IdentityError::Unreadable { path, source }),
    };
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(IdentityError::Malformed { path }),
    }
}

fn read_key(path: PathBuf) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let read = |path: &Path| {
        let mut file = File::open(path)?;
        let mut pem = Vec::new();
        file.read_to_end(&mut pem)?;
        Ok((files::open_to_others(&file)?, pem))
    };
    match read(&path) {
        Err(source) => Err(IdentityError::Unreadable { path, source }),
        Ok((true, _)) => Err(IdentityError::Exposed { path }),
        Ok((false, pem)) => {
            PrivateKeyDer::from_pem_slice(&pem).map_err(|_| IdentityError::Malformed { path })
        }
    }
}
