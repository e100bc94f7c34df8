//! The part of a connection before `ractor_cluster`: TLS, if there is TLS, and the greetings.
//!
//! After it, each end knows the name of the other, and has a ticket from it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::certified;
use crate::greeting::{self, Greeting};
use crate::node_name::NodeName;
use crate::peers::Peer;
use crate::secured::Secured;
use crate::security::Security;
use crate::shared::Shared;
use crate::ticket::Ticket;

/// A stream whose ends have exchanged greetings.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) stream: Secured,
    pub(crate) peer: Peer,
    /// Ticket that the peer has from this node.
    pub(crate) issued: Ticket,
}

/// Error of the part of a connection before `ractor_cluster`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error("the peer's certificate names no node: make new certificates for it")]
    Uncertified,
    #[error("the peer has the certificate of node {certified}, and calls itself {claimed}")]
    OtherName { certified: NodeName, claimed: NodeName },
}

/// Does the accepting end's part. It says nothing of itself before it knows the peer.
pub(crate) async fn accept(mut stream: TcpStream, shared: &Shared) -> Result<Introduced, HandshakeError> {
    stream.set_nodelay(true)?;
    match &shared.security {
        Security::Tls(identity) => {
            let mut stream = TlsStream::from(identity.acceptor().accept(stream).await?);
            let certified = certified_name(&stream)?;
            let (peer, issued) = answer(&mut stream, Some(certified), shared).await?;
            Ok(Introduced { stream: Secured::Tls(Box::new(stream)), peer, issued })
        }
        Security::Plain => {
            let (peer, issued) = answer(&mut stream, None, shared).await?;
            Ok(Introduced { stream: Secured::Plain(stream), peer, issued })
        }
    }
}

/// Does the dialling end's part.
pub(crate) async fn connect(mut stream: TcpStream, shared: &Shared) -> Result<Introduced, HandshakeError> {
    stream.set_nodelay(true)?;
    match &shared.security {
        Security::Tls(identity) => {
            let mut stream = TlsStream::from(identity.connect(stream).await?);
            let certified = certified_name(&stream)?;
            let (peer, issued) = greet(&mut stream, Some(certified), shared).await?;
            Ok(Introduced { stream: Secured::Tls(Box::new(stream)), peer, issued })
        }
        Security::Plain => {
            let (peer, issued) = greet(&mut stream, None, shared).await?;
            Ok(Introduced { stream: Secured::Plain(stream), peer, issued })
        }
    }
}

/// Returns the name in the certificate that the peer has proved.
fn certified_name(stream: &TlsStream<TcpStream>) -> Result<NodeName, HandshakeError> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.first().and_then(certified::name).ok_or(HandshakeError::Uncertified)
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    certified: Option<NodeName>,
    shared: &Shared,
) -> Result<(Peer, Ticket), HandshakeError> {
    let issued = Ticket::issue();
    greeting::send(stream, &Greeting { name: shared.name.clone(), ticket: issued }).await?;
    let peer = verified(greeting::receive(stream).await?, certified)?;
    Ok((peer, issued))
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    certified: Option<NodeName>,
    shared: &Shared,
) -> Result<(Peer, Ticket), HandshakeError> {
    let peer = verified(greeting::receive(stream).await?, certified)?;
    let issued = Ticket::issue();
    greeting::send(stream, &Greeting { name: shared.name.clone(), ticket: issued }).await?;
    Ok((peer, issued))
}

/// Returns the peer, if its greeting has the name in its certificate. Without a certificate its claim stands.
fn verified(greeting: Greeting, certified: Option<NodeName>) -> Result<Peer, HandshakeError> {
    let Greeting { name: claimed, ticket } = greeting;
    match certified {
        Some(certified) if certified != claimed => Err(HandshakeError::OtherName { certified, claimed }),
        Some(_) | None => Ok(Peer { name: claimed, ticket }),
    }
}
