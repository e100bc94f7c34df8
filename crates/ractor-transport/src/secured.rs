use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A TCP connection after the TLS handshake, or without TLS.
#[derive(Debug)]
pub(crate) enum Secured {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}
