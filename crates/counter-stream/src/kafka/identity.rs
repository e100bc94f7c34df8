//! Which topic a directory counts, and how: recorded once, and never changed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::record::PartitionId;

/// Name of the file in a node's directory.
const FILE: &str = "topic.json";

/// The common part of the identities of a topic's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicIdentity {
    /// Id of the cluster.
    pub cluster: Box<str>,
    /// Name of the topic.
    pub topic: Box<str>,
    /// Id of the topic; zero where brokers give topics none.
    pub topic_id: [u8; 16],
    /// Mapping, in words.
    pub mapping: Box<str>,
    /// Fingerprint of the mapping and the generation.
    pub fingerprint: u64,
    /// Number that an operator raises to count the topic anew.
    pub generation: u32,
}

/// Reason why a directory cannot count a topic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The directory counts something else.
    #[error(
        "directory that counts {recorded}, while this is {found}: to count anew, give every member an empty directory \
         and --generation {}",
        recorded.generation + 1
    )]
    Changed {
        /// Topic and mapping that the directory counts.
        recorded: Box<TopicIdentity>,
        /// Topic and mapping that it was asked to count.
        found: Box<TopicIdentity>,
    },
    /// The record cannot be read or written.
    #[error("failed to access {FILE}")]
    Io(#[from] io::Error),
    /// The record is damaged.
    #[error("damaged {FILE}")]
    Damaged(#[from] serde_json::Error),
}

impl TopicIdentity {
    /// Returns the identity of a partition's column.
    #[must_use]
    pub fn partition(&self, partition: u32) -> PartitionId {
        PartitionId {
            cluster: self.cluster.clone(),
            topic: self.topic_id,
            partition,
            mapping: self.fingerprint,
        }
    }

    /// Returns true if this is the identity of a partition's column.
    #[must_use]
    pub fn has(&self, partition: &PartitionId) -> bool {
        let PartitionId { cluster, topic, partition: _, mapping } = partition;
        *cluster == self.cluster && *topic == self.topic_id && *mapping == self.fingerprint
    }

    /// Compares it with what the directory has recorded, and records it durably if it is new.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn claim(&self, directory: &Path) -> Result<(), IdentityError> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let recorded: Self = serde_json::from_slice(&bytes)?;
                if *self == recorded {
                    return Ok(());
                }
                let (recorded, found) = (Box::new(recorded), Box::new(self.clone()));
                return Err(IdentityError::Changed { recorded, found });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let temporary = directory.join(format!("{FILE}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Ok(File::open(directory)?.sync_all()?)
    }
}

impl fmt::Display for TopicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.topic_id);
        let Self { cluster, topic, mapping, generation, .. } = self;
        write!(f, "topic {topic} (id {id:032x}, cluster {cluster}) by {mapping}, generation {generation}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(topic_id: u8, generation: u32) -> TopicIdentity {
        TopicIdentity {
            cluster: "c".into(),
            topic: "visits".into(),
            topic_id: [topic_id; 16],
            mapping: "name=key amount=1".into(),
            fingerprint: u64::from(generation),
            generation,
        }
    }

    #[test]
    fn a_directory_counts_what_it_counted_before_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        identity(1, 0).claim(directory.path()).unwrap();
        identity(1, 0).claim(directory.path()).unwrap();
        for other in [identity(2, 0), identity(1, 1)] {
            let changed = other.claim(directory.path()).unwrap_err();
            assert!(matches!(changed, IdentityError::Changed { .. }), "{changed}");
            assert!(changed.to_string().contains("--generation 1"), "{changed}");
        }
        identity(1, 1).claim(tempfile::tempdir().unwrap().path()).unwrap();
    }

    #[test]
    fn a_damaged_record_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert!(matches!(identity(1, 0).claim(directory.path()), Err(IdentityError::Damaged(_))));
    }
}
