//! The name of a node in its certificate: a URI among the subject's alternative names, such as `ractor-node:eu-1`.
//!
//! A node's name cannot be a DNS name there, because not every name of a node is a valid one.

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::node_name::NodeName;

/// DNS name in every node's certificate, and the only one that a dialler accepts.
///
/// It stands for "a node of this cluster", so a node may have any address, and its certificate does not change with the
/// address. Strangers are kept out by the authority, which signs for nobody else.
pub const CLUSTER_DNS_NAME: &str = "ractor-node";

/// Scheme of the URI that names the node.
const URI_SCHEME: &str = "ractor-node";

/// Returns the URI that binds a certificate to a node.
pub(crate) fn uri(name: &NodeName) -> String {
    format!("{URI_SCHEME}:{name}")
}

/// Returns the name of the one node that a certificate is for, without verifying the certificate.
pub(crate) fn name(certificate: &CertificateDer<'_>) -> Option<NodeName> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate
        .valid_uri_names()
        .filter_map(|uri| uri.strip_prefix(URI_SCHEME)?.strip_prefix(':'))
        .map(str::parse);
    match (names.next(), names.next()) {
        (Some(name), None) => name.ok(),
        (None | Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn name_among(uris: &[&str]) -> Option<String> {
        let mut params = CertificateParams::new([CLUSTER_DNS_NAME.to_owned()]).unwrap();
        let uri = |&uri: &&str| SanType::URI(Ia5String::try_from(uri).unwrap());
        params.subject_alt_names.extend(uris.iter().map(uri));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        name(certificate.der()).map(|name| name.to_string())
    }

    #[test]
    fn every_name_of_a_node_fits_into_a_certificate() {
        for node in ["a", "eu-1.example.org", "_.-", &"Z9".repeat(32)] {
            assert_eq!(name_among(&[&uri(&node.parse().unwrap())]).as_deref(), Some(node));
        }
        assert_eq!(name_among(&["https://example.org", "ractor-node:a"]).as_deref(), Some("a"));
    }

    #[test]
    fn a_certificate_for_no_node_or_for_two_names_none() {
        for uris in [
            &[][..],
            &["https://example.org"],
            &["ractor-node:"],
            &["ractor-node"],
            &["ractor-nodea"],
            &["ractor-node:no spaces"],
            &["ractor-node:a", "ractor-node:b"],
        ] {
            assert_eq!(name_among(uris), None, "{uris:?}");
        }
        assert_eq!(name(&CertificateDer::from_slice(b"no certificate")), None);
    }
}
