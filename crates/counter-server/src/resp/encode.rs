//! Encodes replies in RESP2 and RESP3. Pure.

use std::borrow::Cow;

use super::commands::Descriptions;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// RESP2, which every connection begins with.
    #[default]
    Two,
    /// RESP3, which has maps and a null of its own.
    Three,
}

/// Reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Word of the protocol, such as `OK`.
    Simple(&'static str),
    /// Error, which begins with its kind in capitals.
    Error(Cow<'static, str>),
    /// Integer.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Text for people.
    Text(String),
    /// No value.
    Null,
    /// List.
    Array(Vec<Self>),
    /// Pairs; in RESP2 a list.
    Map(Vec<(Self, Self)>),
    /// Descriptions of commands, which are much longer than the question, and so are made when they are encoded.
    Commands(Descriptions),
}

impl Reply {
    /// Reply of a command that has nothing to say.
    pub(crate) const OK: Self = Self::Simple("OK");

    /// Creates a reply with the bytes of a text.
    #[must_use]
    pub(crate) fn bulk(text: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(text.into())
    }

    /// Creates an error. Line ends, which would end the reply, become spaces.
    #[must_use]
    pub(crate) fn error(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        if text.contains(['\r', '\n']) {
            Self::Error(text.replace(['\r', '\n'], " ").into())
        } else {
            Self::Error(text)
        }
    }

    /// Appends the reply in a version of the protocol.
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Self::Simple(word) => line(b'+', word.as_bytes(), out),
            Self::Error(text) => line(b'-', text.as_bytes(), out),
            Self::Integer(number) => integer(*number, out),
            Self::Bulk(bytes) => bulk(bytes, out),
            Self::Text(text) => match version {
                Version::Two => bulk(text.as_bytes(), out),
                Version::Three => {
                    length(b'=', text.len() + 4, out);
                    out.extend_from_slice(b"txt:");
                    out.extend_from_slice(text.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
            },
            Self::Null => null(version, out),
            Self::Array(items) => {
                array(items.len(), out);
                items.iter().for_each(|item| item.encode(version, out));
            }
            Self::Commands(descriptions) => descriptions.encode(version, out),
            Self::Map(pairs) => {
                map(pairs.len(), version, out);
                for (key, value) in pairs {
                    key.encode(version, out);
                    value.encode(version, out);
                }
            }
        }
    }
}

/// Appends an integer.
pub(super) fn integer(number: i64, out: &mut Vec<u8>) {
    line(b':', itoa::Buffer::new().format(number).as_bytes(), out);
}

/// Appends bytes.
pub(super) fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    length(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the beginning of a list.
pub(super) fn array(len: usize, out: &mut Vec<u8>) {
    length(b'*', len, out);
}

/// Appends the beginning of a list of pairs.
pub(super) fn map(len: usize, version: Version, out: &mut Vec<u8>) {
    match version {
        Version::Two => array(len * 2, out),
        Version::Three => length(b'%', len, out),
    }
}

/// Appends the absence of a value.
pub(super) fn null(version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(match version {
        Version::Two => b"$-1\r\n",
        Version::Three => b"_\r\n",
    });
}

fn length(kind: u8, len: usize, out: &mut Vec<u8>) {
    line(kind, itoa::Buffer::new().format(len).as_bytes(), out);
}

fn line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_nulls_maps_and_texts() {
        let reply = Reply::Array(vec![
            Reply::Null,
            Reply::Map(vec![(Reply::bulk("a"), Reply::Integer(-1))]),
            Reply::Text("b\r\n".into()),
            Reply::error("ERR a\r\nb"),
        ]);
        let encoded = |version| {
            let mut out = Vec::new();
            reply.encode(version, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            encoded(Version::Two),
            "*4\r\n$-1\r\n*2\r\n$1\r\na\r\n:-1\r\n$3\r\nb\r\n\r\n-ERR a  b\r\n"
        );
        assert_eq!(
            encoded(Version::Three),
            "*4\r\n_\r\n%1\r\n$1\r\na\r\n:-1\r\n=7\r\ntxt:b\r\n\r\n-ERR a  b\r\n"
        );
    }
}
