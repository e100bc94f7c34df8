use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::certified::{self, CLUSTER_DNS_NAME};
use crate::files;
use crate::node_name::NodeName;
use crate::tls::{CA_CERTIFICATE, Identity, IdentityError, NODE_CERTIFICATE, NODE_KEY};

/// File with the private key of the authority.
const CA_KEY: &str = "ca.key";

/// Name of the authority. The certificates of nodes contain it, so changing it invalidates them.
const CA_NAME: &str = "ractor cluster authority";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Validity of an authority: ten years.
const CA_VALIDITY: Duration = DAY.saturating_mul(3_652);
/// Validity of a node's certificate: a year.
const NODE_VALIDITY: Duration = DAY.saturating_mul(365);
/// Certificates are valid from an hour ago, for nodes whose clocks are behind.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60 * 60);

/// Error of [`certificates`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A directory of that name would be hidden, or elsewhere.
    #[error("{name} cannot name a directory: a name for certificates must not begin with a dot")]
    Name {
        /// The node.
        name: NodeName,
    },
    /// One of the authority's two files is missing.
    #[error(
        "{} has only one of {CA_CERTIFICATE} and {CA_KEY}: restore the other, or use an empty directory",
        directory.display()
    )]
    HalfAuthority {
        /// The directory.
        directory: PathBuf,
    },
    /// A file or directory cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Error of the file system.
        #[source]
        source: io::Error,
    },
    /// The authority's key is malformed, or no key can be generated.
    #[error("the certificates cannot be made with the authority in {}", directory.display())]
    Generation {
        /// The directory.
        directory: PathBuf,
        /// Error of the cryptography.
        #[source]
        source: rcgen::Error,
    },
    /// The authority's files do not belong together, are expired, or come from elsewhere.
    #[error("the authority in {} did not make a certificate that nodes accept", directory.display())]
    Authority {
        /// The directory.
        directory: PathBuf,
        /// Error of a node that loads the certificate.
        #[source]
        source: IdentityError,
    },
}

/// Makes the certificates of nodes, and their authority if there is none.
///
/// For each name it makes the directory `NAME` within `directory`, with the files that [`Identity::load`] reads:
/// `ca.pem`, `node.pem` and `node.key`. Copy each directory to its node; no other node can use it. A directory that
/// exists is left as it is: to renew a certificate, remove its directory first.
///
/// The authority is in `directory` itself: `ca.pem` and its key `ca.key`, which belongs on no node and is best kept
/// offline. It is valid for ten years, and a node's certificate for a year. Both are valid from an hour ago, in case
/// clocks differ.
///
/// # Errors
///
/// If a name cannot be a directory's, a file cannot be read or written, or the existing authority cannot be used. The
/// nodes before the one that failed are complete then, and the others have no directory.
pub fn certificates(directory: impl AsRef<Path>, names: &[NodeName]) -> Result<(), CertificateError> {
    let directory = directory.as_ref();
    if let Some(name) = names.iter().find(|name| name.as_str().starts_with('.')) {
        return Err(CertificateError::Name { name: name.clone() });
    }
    in_file(directory, fs::create_dir_all(directory))?;
    let generation = |source| CertificateError::Generation { directory: directory.into(), source };
    let (ca_pem, ca_key) = authority(directory)?;
    let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&ca_key).map_err(generation)?);
    for name in names {
        let home = directory.join(name.as_str());
        if !in_file(&home, fs::exists(&home))? {
            add_node(directory, name, &ca_pem, &issuer)?;
        }
    }
    Ok(())
}

/// Returns the authority's certificate and key, which are made if neither exists.
fn authority(directory: &Path) -> Result<(String, String), CertificateError> {
    let (pem_path, key_path) = (directory.join(CA_CERTIFICATE), directory.join(CA_KEY));
    let existing = (in_file(&pem_path, fs::exists(&pem_path))?, in_file(&key_path, fs::exists(&key_path))?);
    match existing {
        (true, true) => Ok((
            in_file(&pem_path, fs::read_to_string(&pem_path))?,
            in_file(&key_path, fs::read_to_string(&key_path))?,
        )),
        (false, false) => {
            let made = KeyPair::generate()
                .and_then(|key| Ok((authority_params().self_signed(&key)?.pem(), key.serialize_pem())));
            let (pem, key) =
                made.map_err(|source| CertificateError::Generation { directory: directory.into(), source })?;
            in_file(&key_path, files::write_new_private(&key_path, &key))?;
            in_file(&pem_path, fs::write(&pem_path, &pem))?;
            Ok((pem, key))
        }
        (true, false) | (false, true) => Err(CertificateError::HalfAuthority { directory: directory.into() }),
    }
}

/// Makes a node's directory completely, or not at all.
fn add_node(
    directory: &Path,
    name: &NodeName,
    ca_pem: &str,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(), CertificateError> {
    let made = KeyPair::generate()
        .and_then(|key| Ok((node_params(name)?.signed_by(&key, issuer)?.pem(), key.serialize_pem())));
    let (pem, key) =
        made.map_err(|source| CertificateError::Generation { directory: directory.into(), source })?;

    // No node's name begins with a dot, so this is what an earlier attempt has left, if it exists.
    let draft = directory.join(format!(".{name}.new"));
    if in_file(&draft, fs::exists(&draft))? {
        in_file(&draft, fs::remove_dir_all(&draft))?;
    }
    in_file(&draft, fs::create_dir(&draft))?;
    let path = |file| draft.join(file);
    in_file(&draft, fs::write(path(CA_CERTIFICATE), ca_pem))?;
    in_file(&draft, fs::write(path(NODE_CERTIFICATE), pem))?;
    in_file(&draft, files::write_new_private(&path(NODE_KEY), &key))?;
    Identity::load(&draft, name)
        .map_err(|source| CertificateError::Authority { directory: directory.into(), source })?;
    in_file(&draft, fs::rename(&draft, directory.join(name.as_str())))
}

fn in_file<T>(path: &Path, result: io::Result<T>) -> Result<T, CertificateError> {
    result.map_err(|source| CertificateError::File { path: path.into(), source })
}

/// Returns the parameters of an authority that signs certificates of nodes, and nothing else.
fn authority_params() -> CertificateParams {
    let mut params = valid_for(CA_VALIDITY);
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Returns the parameters of a certificate that proves a node's name in both directions.
fn node_params(name: &NodeName) -> Result<CertificateParams, rcgen::Error> {
    let mut params = valid_for(NODE_VALIDITY);
    params.subject_alt_names =
        vec![SanType::DnsName(CLUSTER_DNS_NAME.try_into()?), SanType::URI(certified::uri(name).try_into()?)];
    // For people who look at the certificate.
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn valid_for(validity: Duration) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = epoch + now.saturating_sub(CLOCK_TOLERANCE);
    params.not_after = epoch + now + validity;
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::FileError;

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn read(directory: &Path, file: &str) -> String {
        fs::read_to_string(directory.join(file)).unwrap()
    }

    #[test]
    fn a_second_run_keeps_everything_and_adds_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["ca.pem", "ca.key", "a/ca.pem", "a/node.pem", "a/node.key"];
        certificates(&directory, &names(&["a"])).unwrap();
        let before = files.map(|file| read(directory.path(), file));
        fs::create_dir(directory.path().join(".b.new")).unwrap();
        certificates(&directory, &names(&["a", "b"])).unwrap();
        assert_eq!(files.map(|file| read(directory.path(), file)), before);
        assert_eq!(read(directory.path(), "b/ca.pem"), before[0]);
        assert!(!directory.path().join(".b.new").exists());
        Identity::load(directory.path().join("b"), &names(&["b"])[0]).unwrap();
    }

    #[test]
    fn a_certificate_is_of_use_only_to_the_node_that_it_names() {
        let directory = tempfile::tempdir().unwrap();
        certificates(&directory, &names(&["a", "b"])).unwrap();
        let error = Identity::load(directory.path().join("a"), &names(&["b"])[0]).unwrap_err();
        assert!(matches!(error, IdentityError::OtherNode { .. }), "{error}");
        assert!(error.to_string().ends_with("is for node a, not for b"), "{error}");
    }

    #[test]
    fn a_certificate_that_names_no_node_is_to_be_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        certificates(&directory, &names(&["a"])).unwrap();
        let (key, authority) = (KeyPair::generate().unwrap(), read(directory.path(), "ca.key"));
        let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&authority).unwrap());
        let mut params = node_params(&names(&["a"])[0]).unwrap();
        params.subject_alt_names.truncate(1);
        let home = directory.path().join("a");
        fs::write(home.join("node.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(home.join("node.key"), key.serialize_pem()).unwrap();
        let error = Identity::load(&home, &names(&["a"])[0]).unwrap_err();
        assert!(matches!(error, IdentityError::NoNode { .. }), "{error}");
        assert!(error.to_string().contains("make new certificates"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        certificates(&directory, &names(&["a"])).unwrap();
        for file in ["ca.key", "a/node.key"] {
            let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let key = directory.path().join("a/node.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Identity::load(directory.path().join("a"), &names(&["a"])[0]).unwrap_err();
        assert!(matches!(error, IdentityError::File(FileError::Exposed { .. })), "{error}");
    }

    #[test]
    fn an_authority_that_is_not_whole_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        certificates(&directory, &[]).unwrap();
        fs::remove_file(directory.path().join("ca.key")).unwrap();
        let error = certificates(&directory, &names(&["a"])).unwrap_err();
        assert!(matches!(error, CertificateError::HalfAuthority { .. }), "{error}");
    }

    #[test]
    fn an_authority_with_the_key_of_another_makes_no_node() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for directory in &directories {
            certificates(directory, &[]).unwrap();
        }
        let [ours, theirs] = directories.each_ref().map(|directory| directory.path().join("ca.key"));
        fs::copy(theirs, ours).unwrap();
        let error = certificates(&directories[0], &names(&["a"])).unwrap_err();
        assert!(matches!(error, CertificateError::Authority { .. }), "{error}");
        assert!(!directories[0].path().join("a").exists());
    }

    #[test]
    fn a_name_is_no_path_to_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["..", ".", ".ssh"] {
            let error = certificates(directory.path().join("tls"), &names(&[name])).unwrap_err();
            assert!(matches!(error, CertificateError::Name { .. }), "{error}");
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
}
