//! Commands about the connection and the server.

use super::super::commands::{self, Descriptions, Kind, Spec};
use super::super::decode::{Request, integer};
use super::super::encode::Reply;
use super::super::glob;
use super::{Command, NOT_AN_INTEGER, Refusal, SYNTAX, fixed, wrong_number};

/// Command that reads or changes the state of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionCommand {
    Multi,
    Exec,
    Discard,
    Watch,
    Reset,
    Quit,
    Hello {
        version: Option<i64>,
        /// User and password.
        auth: Option<(Vec<u8>, Vec<u8>)>,
        name: Option<Vec<u8>>,
    },
    Auth {
        /// User; without one, the default user.
        user: Option<Vec<u8>>,
        password: Vec<u8>,
    },
    Id,
    Name,
    SetName(Vec<u8>),
    SetLibrary {
        is_version: bool,
        value: Vec<u8>,
    },
    Mode(ReplyMode),
    /// Describes all connections, or this one.
    List {
        all: bool,
    },
}

/// Argument of `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    On,
    Off,
    Skip,
}

/// Settings that clients ask for. The answers are fixed: they are about Redis, and say nothing of this server.
const SETTINGS: [(&str, &str); 9] = [
    ("appendfsync", "everysec"),
    ("appendonly", "yes"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("proto-max-bulk-len", "1048576"),
    ("save", ""),
    ("timeout", "0"),
];

pub(super) fn parse(spec: &Spec, request: &Request<'_>) -> Result<Command, Refusal> {
    let argument = |index| request.get(index).unwrap_or_default();
    let connection = |command| Ok(Command::Connection(Box::new(command)));
    match spec.kind {
        Kind::Multi => connection(ConnectionCommand::Multi),
        Kind::Exec => connection(ConnectionCommand::Exec),
        Kind::Discard => connection(ConnectionCommand::Discard),
        Kind::Watch => connection(ConnectionCommand::Watch),
        Kind::Unwatch => Ok(Command::Reply(Reply::OK)),
        Kind::Reset => connection(ConnectionCommand::Reset),
        Kind::Quit => connection(ConnectionCommand::Quit),
        Kind::Hello => connection(hello(request)?),
        Kind::Auth => match request.len() {
            2 => connection(ConnectionCommand::Auth { user: None, password: argument(1).to_vec() }),
            3 => connection(ConnectionCommand::Auth {
                user: Some(argument(1).to_vec()),
                password: argument(2).to_vec(),
            }),
            _ => Err(SYNTAX),
        },
        Kind::Client => client(request),
        Kind::Ping => Ok(Command::Reply(match request.len() {
            1 => Reply::Simple("PONG"),
            2 => Reply::bulk(argument(1)),
            _ => return Err(wrong_number(spec.name)),
        })),
        Kind::Echo => Ok(Command::Reply(Reply::bulk(argument(1)))),
        Kind::Select => match integer(argument(1)) {
            Some(0) => Ok(Command::Reply(Reply::OK)),
            Some(_) => Err(fixed("ERR DB index is out of range")),
            None => Err(NOT_AN_INTEGER),
        },
        Kind::Config => config(request),
        Kind::Command => Ok(command(request)),
        // There are no functions to remove.
        _ => Ok(Command::Reply(Reply::OK)),
    }
}

fn hello(request: &Request<'_>) -> Result<ConnectionCommand, Refusal> {
    let (mut version, mut auth, mut name) = (None, None, None);
    let mut arguments = request.arguments().skip(1);
    if let Some(argument) = arguments.next() {
        let not_an_integer = fixed("ERR Protocol version is not an integer or out of range");
        version = Some(integer(argument).ok_or(not_an_integer)?);
    }
    while let Some(option) = arguments.next() {
        match (option.to_ascii_lowercase().as_slice(), arguments.next()) {
            (b"auth", Some(user)) if arguments.len() > 0 => {
                auth = arguments.next().map(|password| (user.to_vec(), password.to_vec()));
            }
            (b"setname", Some(value)) => name = Some(checked(value)?),
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Reply::error(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
    }
    Ok(ConnectionCommand::Hello { version, auth, name })
}

fn client(request: &Request<'_>) -> Result<Command, Refusal> {
    let argument = |index| request.get(index).unwrap_or_default();
    let command = match argument(1).to_ascii_lowercase().as_slice() {
        b"id" => ConnectionCommand::Id,
        b"getname" => ConnectionCommand::Name,
        b"setname" => ConnectionCommand::SetName(checked(argument(2))?),
        b"setinfo" => {
            let is_version = match argument(2).to_ascii_lowercase().as_slice() {
                b"lib-name" => false,
                b"lib-ver" => true,
                _ => {
                    let option = String::from_utf8_lossy(argument(2));
                    return Err(Reply::error(format!("ERR Unrecognized option '{option}'")));
                }
            };
            let bad = |_| fixed("ERR lib-name cannot contain spaces, newlines or special characters.");
            ConnectionCommand::SetLibrary { is_version, value: checked(argument(3)).map_err(bad)? }
        }
        b"list" => ConnectionCommand::List { all: true },
        b"info" => ConnectionCommand::List { all: false },
        b"reply" => ConnectionCommand::Mode(match argument(2).to_ascii_lowercase().as_slice() {
            b"on" => ReplyMode::On,
            b"off" => ReplyMode::Off,
            b"skip" => ReplyMode::Skip,
            _ => return Err(SYNTAX),
        }),
        _ => return Err(fixed("ERR client side caching is not supported")),
    };
    Ok(Command::Connection(Box::new(command)))
}

/// Returns a name of a client, if it has no characters that would break its line in a list.
fn checked(name: &[u8]) -> Result<Vec<u8>, Refusal> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(name.to_vec())
    } else {
        Err(fixed("ERR Client names cannot contain spaces, newlines or special characters."))
    }
}

fn config(request: &Request<'_>) -> Result<Command, Refusal> {
    match request.get(1).unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"get" => {
            let asked = |(setting, _): &&(&str, &str)| {
                let mut patterns = request.arguments().skip(2).map(<[u8]>::to_ascii_lowercase);
                patterns.any(|pattern| glob::matches(&pattern, setting.as_bytes()))
            };
            let settings = SETTINGS.iter().filter(asked);
            let pairs = settings.map(|(setting, value)| (Reply::bulk(*setting), Reply::bulk(*value)));
            Ok(Command::Reply(Reply::Map(pairs.collect())))
        }
        b"resetstat" => Ok(Command::Reply(Reply::OK)),
        _ => Err(fixed("ERR settings are given when the server starts")),
    }
}

fn command(request: &Request<'_>) -> Command {
    let names: Vec<_> = request.arguments().skip(2).collect();
    let subcommand = request.get(1).map(<[u8]>::to_ascii_lowercase);
    Command::Reply(match subcommand.as_deref() {
        Some(b"count") => Reply::Integer(commands::count()),
        subcommand => {
            let are_docs = subcommand == Some(b"docs");
            Reply::Commands(Descriptions::new(are_docs, names.into_iter()))
        }
    })
}
