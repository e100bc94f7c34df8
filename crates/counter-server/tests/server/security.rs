//! TLS, tokens, and who may listen where.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counter_server::{SecurityOptions, ServeOptions, Server, TlsFiles};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::setup::options;

const READER: &str = "reader-0123456789";
const WRITER: &str = "writer-0123456789";

/// Files of a server with TLS and tokens.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().expect("there is a place for files") };
        files.write_tokens(&format!("read-only {READER}\nread-write {WRITER}\n"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_tokens(&self, text: &str) {
        write_private(&self.path("tokens"), text);
    }

    /// Writes a new certificate and its key, and returns the certificate.
    fn write_certificate(&self) -> CertificateDer<'static> {
        let made = generate_simple_self_signed(["localhost".to_owned()]);
        let CertifiedKey { cert, signing_key } = made.expect("the name is valid");
        fs::write(self.path("cert.pem"), cert.pem()).expect("there is space");
        write_private(&self.path("key.pem"), &signing_key.serialize_pem());
        cert.der().clone()
    }

    fn options(&self) -> ServeOptions {
        let tls = TlsFiles { certificate: self.path("cert.pem"), key: self.path("key.pem") };
        let security =
            SecurityOptions { tokens: Some(self.path("tokens")), tls: Some(tls), insecure: Vec::new() };
        ServeOptions { security, ..options() }
    }
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("there is space");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the file is ours");
}

/// Connects by TLS. Fails unless the server has this certificate.
async fn connect(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Sends a request, after which the server closes the connection, and returns the answer.
async fn ask(address: SocketAddr, certificate: &CertificateDer<'static>, request: &str) -> String {
    let mut stream = connect(address, certificate).await.expect("the certificate is right");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the server answers");
    answer
}

/// Returns the status of an HTTP request.
async fn status(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    line: &str,
    token: Option<&str>,
) -> String {
    let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
    let answer = ask(address, certificate, &request).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_front_end_over_tcp_has_tls_and_tokens_have_roles() {
    let files = Files::new();
    let certificate = files.write_certificate();
    let server = Server::start(files.options()).await.unwrap();
    let (resp, http) = (server.resp_addr().unwrap(), server.http_addr().unwrap());

    assert!(ask(resp, &certificate, "INCR a\r\nQUIT\r\n").await.starts_with("-NOAUTH "));
    let reader = format!("AUTH {READER}\r\nGET a\r\nINCR a\r\nQUIT\r\n");
    assert!(ask(resp, &certificate, &reader).await.starts_with("+OK\r\n$-1\r\n-NOPERM "));
    let writer = format!("AUTH {WRITER}\r\nINCR a\r\nQUIT\r\n");
    assert_eq!(ask(resp, &certificate, &writer).await, "+OK\r\n:1\r\n+OK\r\n");

    assert_eq!(status(http, &certificate, "GET /readyz", None).await, "200");
    assert_eq!(status(http, &certificate, "GET /v1/nothing", None).await, "401");
    assert_eq!(status(http, &certificate, "GET /v1/nothing", Some("unknown-0123456789")).await, "401");
    assert_eq!(status(http, &certificate, "GET /v1/nothing", Some(READER)).await, "404");
    assert_eq!(status(http, &certificate, "DELETE /v1/nothing", Some(READER)).await, "403");
    assert_eq!(status(http, &certificate, "DELETE /v1/nothing", Some(WRITER)).await, "404");

    let mut statsd = connect(server.statsd_tcp_addr().unwrap(), &certificate).await.unwrap();
    statsd.write_all(b"a:2|c\n").await.unwrap();
    statsd.shutdown().await.unwrap();
    let counters = server.service().counters().unwrap();
    while counters.count("a").await.unwrap().unwrap().value != 3 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_without_tls_does_not_hold_up_others() {
    let files = Files::new();
    let certificate = files.write_certificate();
    let server = Server::start(files.options()).await.unwrap();
    let resp = server.resp_addr().unwrap();
    let silent = TcpStream::connect(resp).await.unwrap();
    let mut plain = TcpStream::connect(resp).await.unwrap();
    plain.write_all(b"PING\r\nPING\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    // An alert of TLS, or nothing.
    assert!(!answer.starts_with(b"-"), "{answer:?}");
    assert_eq!(ask(resp, &certificate, "QUIT\r\n").await, "+OK\r\n");
    drop(silent);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reload_replaces_tokens_and_certificate_unless_they_cannot_be_used() {
    let files = Files::new();
    let first = files.write_certificate();
    let server = Server::start(files.options()).await.unwrap();
    let resp = server.resp_addr().unwrap();
    let mut open = connect(resp, &first).await.unwrap();
    open.write_all(format!("AUTH {READER}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 5];
    open.read_exact(&mut answer).await.unwrap();

    files.write_tokens("nonsense");
    let second = files.write_certificate();
    assert!(server.reload().unwrap_err().to_string().contains("line 1 of "));
    assert!(connect(resp, &first).await.is_ok());
    assert!(connect(resp, &second).await.is_err());

    files.write_tokens(&format!("read-write {WRITER}\n"));
    server.reload().unwrap();
    assert!(connect(resp, &first).await.is_err());
    assert!(connect(resp, &second).await.is_ok());
    // The connection stays, but not what it was allowed to do.
    open.write_all(b"GET a\r\nQUIT\r\n").await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "-NOAUTH Authentication required.\r\n+OK\r\n");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_and_addresses_that_others_reach_are_refused() {
    let files = Files::new();
    files.write_certificate();
    let refused = async |options: ServeOptions| {
        assert!(options.check().is_err());
        Server::start(options).await.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let key = files.path("key.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert!(refused(files.options()).await.contains("chmod 600"));
    let other = files.path("other");
    fs::rename(&key, &other).unwrap();
    assert!(refused(files.options()).await.contains("cannot be read"));
    write_private(&key, &fs::read_to_string(files.path("cert.pem")).unwrap());
    assert!(refused(files.options()).await.contains("private key"));
    let old = fs::read_to_string(&other).unwrap();
    files.write_certificate();
    write_private(&key, &old);
    assert!(refused(files.options()).await.contains("cannot be used with the key"));

    let everywhere = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut exposed = options();
    exposed.http = everywhere;
    assert!(refused(exposed).await.contains("--insecure http"));
    let mut exposed = options();
    exposed.statsd.tcp = everywhere;
    assert!(refused(exposed).await.contains("--insecure statsd"));
    files.write_certificate();
    let mut secure = files.options();
    (secure.resp, secure.http) = (everywhere, everywhere);
    Server::start(secure).await.unwrap().shutdown().await.unwrap();
}
