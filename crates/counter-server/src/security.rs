//! Demands of a server on those who reach it: TLS, tokens, and that others than this machine need both.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth::{Access, Tokens, TokensError};
use crate::telemetry::Protocol;
use crate::tls::{Tls, TlsError, TlsFiles};

/// Security of the front ends.
#[derive(Clone, Debug, Default)]
pub struct SecurityOptions {
    /// File with the tokens of clients (see [`auth`](crate::auth)). Without it, every client may do everything.
    pub tokens: Option<PathBuf>,
    /// Certificate for TLS of all front ends over TCP. Without it, they are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Front ends that may listen beyond loopback although they have no TLS or no tokens.
    pub insecure: Vec<Protocol>,
}

/// Error of security that cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Others than this machine could reach a front end without TLS and tokens.
    #[error(
        "{address} of {front_end:?} is not a loopback address, and there are not both TLS and tokens: give a \
         certificate (`--tls-cert`, `--tls-key`) and tokens (`--tokens-file`), or allow it by name \
         (`--insecure {name}`) if nobody else can reach that network",
        name = format!("{front_end:?}").to_lowercase()
    )]
    Exposed {
        /// The front end.
        front_end: Protocol,
        /// Its address.
        address: SocketAddr,
    },
    /// Others than this machine could reach StatsD, which has neither TLS nor tokens.
    #[error(
        "{address} of StatsD is not a loopback address, and StatsD has no tokens: allow it by name \
         (`--insecure statsd`) if nobody else can reach that network"
    )]
    ExposedStatsd {
        /// Its address.
        address: SocketAddr,
    },
}

/// Security in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    options: SecurityOptions,
    access: Access,
    tls: Option<Tls>,
}

impl SecurityOptions {
    /// Checks that a front end may listen on an address.
    ///
    /// # Errors
    /// [`SecurityError::Exposed`], [`SecurityError::ExposedStatsd`].
    pub fn check(&self, front_end: Protocol, address: SocketAddr) -> Result<(), SecurityError> {
        let is_loopback = address.ip().to_canonical().is_loopback();
        if is_loopback || self.insecure.contains(&front_end) {
            return Ok(());
        }
        match front_end {
            Protocol::StatsD => Err(SecurityError::ExposedStatsd { address }),
            Protocol::Resp | Protocol::Http if self.tokens.is_some() && self.tls.is_some() => Ok(()),
            Protocol::Resp | Protocol::Http => Err(SecurityError::Exposed { front_end, address }),
        }
    }
}

impl Security {
    /// Reads the files.
    pub(crate) fn load(options: SecurityOptions) -> Result<Self, SecurityError> {
        let access = match &options.tokens {
            Some(path) => Access::by_token(Tokens::load(path)?),
            None => Access::open(),
        };
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        Ok(Self { options, access, tls })
    }

    /// Reads the files again. What cannot be used leaves everything as it is.
    pub(crate) fn reload(&self) -> Result<(), SecurityError> {
        let tokens = self.options.tokens.as_deref().map(Tokens::load).transpose()?;
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        if let Some(tokens) = tokens {
            self.access.replace(tokens);
        }
        Ok(())
    }

    pub(crate) const fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: [&str; 4] = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"];

    fn options(has_tokens: bool, has_tls: bool, insecure: &[Protocol]) -> SecurityOptions {
        let path = PathBuf::from("file");
        SecurityOptions {
            tokens: has_tokens.then(|| path.clone()),
            tls: has_tls.then(|| TlsFiles { certificate: path.clone(), key: path }),
            insecure: insecure.to_vec(),
        }
    }

    fn may_listen(options: &SecurityOptions, front_end: Protocol, address: &str) -> bool {
        options.check(front_end, address.parse().expect("it is an address")).is_ok()
    }

    #[test]
    fn others_than_this_machine_need_tls_and_tokens() {
        let all = [Protocol::Resp, Protocol::Http, Protocol::StatsD];
        for (has_tokens, has_tls) in [(false, false), (true, false), (false, true), (true, true)] {
            let options = options(has_tokens, has_tls, &[]);
            for front_end in all {
                assert!(may_listen(&options, front_end, "127.0.0.1:1"));
                assert!(may_listen(&options, front_end, "[::1]:1"));
                assert!(may_listen(&options, front_end, "[::ffff:127.0.0.1]:1"));
                let is_secure = has_tokens && has_tls && front_end != Protocol::StatsD;
                for address in OUTSIDE {
                    assert_eq!(
                        may_listen(&options, front_end, address),
                        is_secure,
                        "{front_end:?} {address}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_front_end_that_is_named_needs_neither() {
        let options = options(false, false, &[Protocol::StatsD]);
        for address in OUTSIDE {
            assert!(may_listen(&options, Protocol::StatsD, address));
            assert!(!may_listen(&options, Protocol::Resp, address));
        }
    }

    #[test]
    fn the_refusal_names_the_ways_out() {
        let refused = |front_end| {
            let address = "0.0.0.0:1".parse().expect("it is an address");
            options(true, false, &[]).check(front_end, address).unwrap_err().to_string()
        };
        let resp = refused(Protocol::Resp);
        assert!(resp.contains("--tls-cert") && resp.contains("--insecure resp"), "{resp}");
        assert!(refused(Protocol::StatsD).contains("--insecure statsd"));
    }
}
