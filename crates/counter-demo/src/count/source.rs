//! Files and the standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use super::decode::decode;

/// Source of lines. Its `Display` is its name in messages.
#[derive(Debug)]
pub(super) enum Source {
    Stdin,
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    pub(super) fn open(&self) -> io::Result<Box<dyn Read>> {
        match self {
            // Not `io::stdin`, whose buffer is small and would be copied.
            Self::Stdin => decode(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
            Self::File(path) => decode(File::open(path)?),
        }
    }
}

/// Sources that the arguments name. A file that cannot be opened is an error now, not after the files before it.
pub(super) fn sources(files: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    if files.is_empty() {
        return Ok(vec![Source::Stdin]);
    }
    let source = |path: &PathBuf| {
        if path.as_os_str() == "-" {
            return Ok(Source::Stdin);
        }
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(anyhow!("{}: expected a file, this is a directory", path.display()));
        }
        Ok(Source::File(path.clone()))
    };
    files.iter().map(source).collect()
}

/// Total size of all sources, if all are regular files.
pub(super) fn total_bytes(sources: &[Source]) -> Option<u64> {
    let size = |source: &Source| match source {
        Source::Stdin => None,
        Source::File(path) => path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len()),
    };
    sources.iter().map(size).sum()
}
