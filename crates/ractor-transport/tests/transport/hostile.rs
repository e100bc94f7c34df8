//! Strangers, who get nothing, hold little, and disturb nobody.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ractor_transport::{CLUSTER_DNS_NAME, Cookie, Limits};
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use tcp_proxy::TcpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::logs::Logs;
use super::node::{Event, LOCAL, MAX_FRAME_BYTES, Setup, TestNode, patient, soon};

/// Greeting of a node that is called `x`.
pub(super) fn greeting() -> Vec<u8> {
    [&b"ractor-transport/1"[..], &[7; 16], &[1], b"x"].concat()
}

/// A stranger that is about to speak to `ractor_cluster`, without TLS.
async fn introduced(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&greeting()).await.unwrap();
    // The node is called `a`, which is as long.
    let mut answer = greeting();
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"ractor-transport/1") && answer.ends_with(b"\x01a"), "{answer:?}");
    stream
}

/// Reads until the other end closes the connection, in whatever manner.
pub(super) async fn closed(stream: &mut TcpStream) -> usize {
    let mut heard = Vec::new();
    let _ = soon(stream.read_to_end(&mut heard)).await;
    heard.len()
}

/// The node lets a peer in that has what it takes.
async fn still_welcomes(friends: &Setup, node: &mut TestNode) {
    let mut friend = friends.node("friend", &[node.addr()]).await;
    node.proved("friend").await;
    friend.proved(node.name.as_str()).await;
}

#[tokio::test]
async fn a_wrong_cookie_never_proves_anything() {
    let setup = patient(Setup::plain());
    let mut a = setup.node("a", &[]).await;
    let proxy = TcpProxy::start().await.unwrap();
    proxy.set_target(a.addr());
    let liar = Setup { cookie: Cookie::generate(), ..setup.clone() }.node("liar", &[proxy.address()]).await;
    // It is turned away, tries again, and is turned away again.
    for _ in 0..3 {
        assert_eq!(a.next().await, Event::Opened);
        assert!(matches!(a.next().await, Event::Ended(_)));
    }
    soon(proxy.wait_for_accepted(3)).await;
    assert!(a.peers().await.is_empty() && liar.peers().await.is_empty());
    drop(liar);
    drop(proxy);
    still_welcomes(&setup, &mut a).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_worth_nothing() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plain = patient(Setup::plain());
    let setup = plain.clone().with_tls(ours.path(), "a");
    let proxy = TcpProxy::start().await.unwrap();
    let mut a = setup.node("a", &[]).await;
    proxy.set_target(a.addr());
    let mut stranger = plain.with_tls(theirs.path(), "b").node("b", &[proxy.address()]).await;
    soon(proxy.wait_for_accepted(3)).await;
    assert!(a.events.try_recv().is_err() && stranger.events.try_recv().is_err());
    still_welcomes(&setup.with_tls(ours.path(), "friend"), &mut a).await;
}

/// A client that trusts the authority in a directory.
fn client(directory: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// Makes a certificate of the authority in a directory that names no node.
fn old_certificate(directory: &Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "ractor cluster authority");
    let authority_key = std::fs::read_to_string(directory.join("ca.key")).unwrap();
    let issuer = Issuer::new(authority, KeyPair::from_pem(&authority_key).unwrap());
    let (params, key) =
        (CertificateParams::new([CLUSTER_DNS_NAME.to_owned()]).unwrap(), KeyPair::generate().unwrap());
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Connects and greets like a node, and returns the number of bytes that it receives.
async fn greet_by_tls(addr: SocketAddr, config: ClientConfig) -> io::Result<usize> {
    let name = ServerName::try_from(CLUSTER_DNS_NAME).unwrap();
    let stream = TcpStream::connect(addr).await?;
    // By TLS 1.3 the client's part is over before the server has looked at it.
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(&greeting()).await?;
    match stream.read_to_end(&mut Vec::new()).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        heard => heard,
    }
}

#[tokio::test]
async fn a_certificate_that_names_no_node_is_refused_and_to_be_made_anew() {
    let (directory, logs) = (tempfile::tempdir().unwrap(), Logs::capture());
    let setup = patient(Setup::plain()).with_tls(directory.path(), "a");
    let mut a = setup.node("a", &[]).await;
    let (certificate, key) = old_certificate(directory.path());
    let old = client(directory.path()).with_client_auth_cert(vec![certificate], key).unwrap();
    assert_eq!(soon(greet_by_tls(a.addr(), old)).await.unwrap(), 0);
    assert_eq!(logs.with(&["names no node: make new certificates"]).len(), 1);
    assert!(a.events.try_recv().is_err());
    still_welcomes(&setup.with_tls(directory.path(), "friend"), &mut a).await;
}

#[tokio::test]
async fn no_certificate_and_no_tls_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let setup = patient(Setup::plain()).with_tls(directory.path(), "a");
    let mut a = setup.node("a", &[]).await;

    let nobody = client(directory.path()).with_no_client_auth();
    let refused = soon(greet_by_tls(a.addr(), nobody)).await.unwrap_err();
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");

    let mut plaintext = TcpStream::connect(a.addr()).await.unwrap();
    plaintext.write_all(b"GET / HTTP/1.1\r\nHost: counter\r\n\r\n").await.unwrap();
    closed(&mut plaintext).await;

    assert!(a.events.try_recv().is_err());
    still_welcomes(&setup.with_tls(directory.path(), "friend"), &mut a).await;
}

#[tokio::test]
async fn bytes_that_are_no_message_close_the_connection() {
    let setup = patient(Setup::plain());
    let mut a = setup.node("a", &[]).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise: Vec<u8> = std::iter::repeat_with(|| random.u8(1..)).take(4096).collect();
    let huge = u64::MAX.to_be_bytes().to_vec();
    let over = (MAX_FRAME_BYTES + 1).to_be_bytes().to_vec();
    let malformed = [4096_u64.to_be_bytes().as_slice(), &noise].concat();
    noise.truncate(100);
    for bytes in [noise, huge, over, malformed] {
        let mut stream = introduced(a.addr()).await;
        stream.write_all(&bytes).await.unwrap();
        closed(&mut stream).await;
        assert_eq!(a.next().await, Event::Opened);
        assert_eq!(a.next().await, Event::Ended(None));
        // Without a greeting it is not even read.
        let mut stream = TcpStream::connect(a.addr()).await.unwrap();
        let _ = stream.write_all(&bytes.repeat(3)).await;
        assert_eq!(closed(&mut stream).await, 0);
        assert!(a.events.try_recv().is_err());
    }
    still_welcomes(&setup, &mut a).await;
}

#[tokio::test]
async fn a_frame_without_end_is_cut_off_by_the_deadline() {
    let setup = Setup::plain();
    let limits = Limits { handshake: Duration::from_millis(200), ..setup.limits };
    let mut a = Setup { limits, ..setup.clone() }.node("a", &[]).await;
    let mut stream = introduced(a.addr()).await;
    stream.write_all(&MAX_FRAME_BYTES.to_be_bytes()).await.unwrap();
    let endless = async { while stream.write_all(&[0; 1024]).await.is_ok() {} };
    soon(endless).await;
    assert_eq!(a.next().await, Event::Opened);
    assert_eq!(a.next().await, Event::Ended(None));
}

#[tokio::test]
async fn seeds_that_are_no_nodes_are_left_alone_after_the_deadline() {
    let setup = Setup::plain();
    let limits = Limits { handshake: Duration::from_millis(200), ..setup.limits };
    let setup = Setup { limits, ..setup };
    let (silent, noisy) = (TcpListener::bind(LOCAL).await.unwrap(), TcpListener::bind(LOCAL).await.unwrap());
    let seeds = [silent.local_addr().unwrap(), noisy.local_addr().unwrap()];
    let mut a = setup.node("a", &seeds).await;
    for _ in 0..2 {
        let (mut stream, _) = soon(silent.accept()).await.unwrap();
        closed(&mut stream).await;
        let (mut stream, _) = soon(noisy.accept()).await.unwrap();
        let _ = stream.write_all(&[b'x'; 64 * 1024]).await;
        closed(&mut stream).await;
    }
    assert!(a.events.try_recv().is_err());
    still_welcomes(&setup, &mut a).await;
}
