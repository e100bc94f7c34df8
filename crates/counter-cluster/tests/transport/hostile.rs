//! Strangers: they get nothing, hold little, and disturb nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use counter_cluster::transport::{CLUSTER_DNS_NAME, Cookie, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::node::{Event, LOCAL, MAX_FRAME_BYTES, Setup, TestNode, patient, soon};
use super::proxy::Proxy;

/// Reads until the other end closes the connection, in whatever manner.
async fn closed(stream: &mut TcpStream) -> usize {
    let mut heard = Vec::new();
    let _ = soon(stream.read_to_end(&mut heard)).await;
    heard.len()
}

/// The node lets a peer in that has what it takes.
async fn still_welcomes(setup: &Setup, node: &mut TestNode) {
    let mut friend = setup.node("friend", &[node.addr()]).await;
    node.proved("friend").await;
    friend.proved(node.name.as_str()).await;
}

#[tokio::test]
async fn a_wrong_cookie_never_proves_anything() {
    let setup = patient(Setup::plain());
    let mut a = setup.node("a", &[]).await;
    let mut proxy = Proxy::new().await;
    proxy.lead_to(a.addr());
    let liar = Setup { cookie: Cookie::generate(), ..setup.clone() }.node("liar", &[proxy.addr()]).await;
    // It is turned away, tries again, and is turned away again.
    for _ in 0..3 {
        assert_eq!(a.next().await, Event::Opened);
        assert!(matches!(a.next().await, Event::Ended(_)));
    }
    proxy.dialled(3).await;
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
    let mut proxy = Proxy::new().await;
    let mut a = setup.node("a", &[]).await;
    proxy.lead_to(a.addr());
    let mut stranger = plain.with_tls(theirs.path(), "b").node("b", &[proxy.addr()]).await;
    proxy.dialled(3).await;
    assert!(a.events.try_recv().is_err() && stranger.events.try_recv().is_err());
    still_welcomes(&setup, &mut a).await;
}

/// Connects like a node that trusts the authority, but has no certificate.
async fn without_certificate(addr: SocketAddr, authority: CertificateDer<'static>) -> io::Result<usize> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(CLUSTER_DNS_NAME).unwrap();
    let stream = TcpStream::connect(addr).await?;
    // By TLS 1.3 the client's part is over before the server has looked at it.
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.read_to_end(&mut Vec::new()).await
}

#[tokio::test]
async fn no_certificate_and_no_tls_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let setup = patient(Setup::plain()).with_tls(directory.path(), "a");
    let mut a = setup.node("a", &[]).await;

    let authority = CertificateDer::from_pem_file(directory.path().join("ca.pem")).unwrap();
    let refused = soon(without_certificate(a.addr(), authority)).await.unwrap_err();
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");

    let mut plaintext = TcpStream::connect(a.addr()).await.unwrap();
    plaintext.write_all(b"GET / HTTP/1.1\r\nHost: counter\r\n\r\n").await.unwrap();
    closed(&mut plaintext).await;

    assert!(a.events.try_recv().is_err());
    still_welcomes(&setup, &mut a).await;
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
        let mut stream = TcpStream::connect(a.addr()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        closed(&mut stream).await;
        assert_eq!(a.next().await, Event::Opened);
        assert_eq!(a.next().await, Event::Ended(None));
    }
    still_welcomes(&setup, &mut a).await;
}

#[tokio::test]
async fn a_frame_without_end_is_cut_off_by_the_deadline() {
    let setup = Setup::plain();
    let limits = Limits { handshake: Duration::from_millis(200), ..setup.limits };
    let mut a = Setup { limits, ..setup.clone() }.node("a", &[]).await;
    let mut stream = TcpStream::connect(a.addr()).await.unwrap();
    stream.write_all(&MAX_FRAME_BYTES.to_be_bytes()).await.unwrap();
    let endless = async { while stream.write_all(&[0; 1024]).await.is_ok() {} };
    soon(endless).await;
    assert_eq!(a.next().await, Event::Opened);
    assert_eq!(a.next().await, Event::Ended(None));
}

#[tokio::test]
async fn of_300_idle_sockets_64_are_held_and_only_until_the_deadline() {
    let setup = Setup::plain();
    let limits = Limits { handshake: Duration::from_secs(2), ..setup.limits };
    let mut a = Setup { limits, ..setup.clone() }.node("a", &[]).await;
    let mut old = setup.node("old", &[a.addr()]).await;
    a.proved("old").await;
    old.proved("a").await;

    let mut idle = JoinSet::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(a.addr()).await.unwrap();
        // Only those that are held hear the node's name.
        idle.spawn(async move { closed(&mut stream).await > 0 });
    }
    let mut new = setup.node("new", &[a.addr()]).await;
    a.proved("new").await;
    new.proved("a").await;
    let held = idle.join_all().await.into_iter().filter(|&held| held).count();
    assert_eq!(held, limits.connections - 1);
    assert!(old.events.try_recv().is_err());
    assert_eq!(a.peers().await.len(), 2);
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
