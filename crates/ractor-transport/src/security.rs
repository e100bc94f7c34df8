use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::node_name::NodeName;
use crate::tls::{Identity, IdentityError};

/// Authentication of peers, before they prove that they know the cookie.
#[derive(Clone, Debug)]
pub enum Security {
    /// Certificates of the cluster's own authority, in both directions.
    Tls(Arc<Identity>),
    /// None. Everything can be read and changed on the way, so this is for one machine only.
    Plain,
}

/// Refusal of an address beyond this machine without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "{address} is not a loopback address and there is no TLS: give the node certificates for TLS, \
     or allow plaintext (`--allow-plaintext`) if nobody else can reach that network"
)]
pub struct PlaintextRefused {
    /// The refused address.
    pub address: IpAddr,
}

impl Security {
    /// Reads the certificates of a node from its directory, as [`Identity::load`] does. Without one, there are none.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(dir: Option<&Path>, name: &NodeName) -> Result<Self, IdentityError> {
        Ok(match dir {
            Some(dir) => Self::Tls(Arc::new(Identity::load(dir, name)?)),
            None => Self::Plain,
        })
    }

    /// Checks that an address may be listened on, or dialled.
    ///
    /// # Errors
    ///
    /// For [`Security::Plain`] and an address that is not a loopback one, unless `allow_plaintext`.
    pub const fn check(&self, address: IpAddr, allow_plaintext: bool) -> Result<(), PlaintextRefused> {
        match self {
            Self::Tls(_) => Ok(()),
            Self::Plain if allow_plaintext || address.to_canonical().is_loopback() => Ok(()),
            Self::Plain => Err(PlaintextRefused { address }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_stays_on_this_machine_unless_forced() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Security::Plain.check(address, false).is_ok(), allowed, "{address}");
            assert_eq!(Security::Plain.check(address, true), Ok(()));
        }
    }

    #[test]
    fn the_refusal_names_both_ways_out() {
        let refused = Security::Plain.check("10.0.0.1".parse().unwrap(), false).unwrap_err().to_string();
        assert!(refused.contains("TLS") && refused.contains("--allow-plaintext"), "{refused}");
    }
}
