//! Commands about the connection and the server.

use super::super::commands::{self, Kind, Spec};
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
    /// User and password.
    Auth(Vec<u8>, Vec<u8>),
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

/// Settings that clients ask for, with what is true here.
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
            2 => connection(ConnectionCommand::Auth(b"default".to_vec(), argument(1).to_vec())),
            3 => connection(ConnectionCommand::Auth(argument(1).to_vec(), argument(2).to_vec())),
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
        Kind::Command => command(request),
        _ => match argument(1).to_ascii_lowercase().as_slice() {
            b"flush" => Ok(Command::Reply(Reply::OK)),
            _ => Err(unknown_subcommand(spec, request)),
        },
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
    let command = match (argument(1).to_ascii_lowercase().as_slice(), request.len()) {
        (b"id", 2) => ConnectionCommand::Id,
        (b"getname", 2) => ConnectionCommand::Name,
        (b"setname", 3) => ConnectionCommand::SetName(checked(argument(2))?),
        (b"setinfo", 4) => {
            let option = argument(2).to_ascii_lowercase();
            let is_version = match option.as_slice() {
                b"lib-name" => false,
                b"lib-ver" => true,
                _ => {
                    let option = String::from_utf8_lossy(argument(2));
                    return Err(Reply::error(format!("ERR Unrecognized option '{option}'")));
                }
            };
            let bad = |_| Reply::error("ERR lib-name cannot contain spaces, newlines or special characters.");
            ConnectionCommand::SetLibrary { is_version, value: checked(argument(3)).map_err(bad)? }
        }
        (b"list", 2..) => ConnectionCommand::List { all: true },
        (b"info", 2) => ConnectionCommand::List { all: false },
        (b"reply", 3) => ConnectionCommand::Mode(match argument(2).to_ascii_lowercase().as_slice() {
            b"on" => ReplyMode::On,
            b"off" => ReplyMode::Off,
            b"skip" => ReplyMode::Skip,
            _ => return Err(SYNTAX),
        }),
        (b"tracking" | b"caching", _) => {
            return Err(fixed("ERR client side caching is not supported"));
        }
        (subcommand @ (b"id" | b"getname" | b"setname" | b"setinfo" | b"info" | b"reply"), _) => {
            return Err(wrong_number(&format!("client|{}", String::from_utf8_lossy(subcommand))));
        }
        _ => return Err(subcommand_of("CLIENT", argument(1))),
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
        b"get" if request.len() > 2 => {
            let asked = |(setting, _): &&(&str, &str)| {
                let mut patterns = request.arguments().skip(2).map(<[u8]>::to_ascii_lowercase);
                patterns.any(|pattern| glob::matches(&pattern, setting.as_bytes()))
            };
            let settings = SETTINGS.iter().filter(asked);
            let pairs = settings.map(|(setting, value)| (Reply::bulk(*setting), Reply::bulk(*value)));
            Ok(Command::Reply(Reply::Map(pairs.collect())))
        }
        b"get" => Err(wrong_number("config|get")),
        b"resetstat" if request.len() == 2 => Ok(Command::Reply(Reply::OK)),
        b"set" | b"rewrite" => Err(fixed("ERR settings are given when the server starts")),
        _ => Err(subcommand_of("CONFIG", request.get(1).unwrap_or_default())),
    }
}

fn command(request: &Request<'_>) -> Result<Command, Refusal> {
    let names: Vec<_> = request.arguments().skip(2).collect();
    let subcommand = request.get(1).map(<[u8]>::to_ascii_lowercase);
    Ok(Command::Reply(match (subcommand.as_deref(), names.len()) {
        (None, _) => commands::info([].into_iter()),
        (Some(b"count"), 0) => Reply::Integer(commands::count()),
        (Some(b"info"), _) => commands::info(names.into_iter()),
        (Some(b"docs"), _) => commands::docs(names.into_iter()),
        _ => return Err(subcommand_of("COMMAND", request.get(1).unwrap_or_default())),
    }))
}

fn unknown_subcommand(spec: &Spec, request: &Request<'_>) -> Refusal {
    subcommand_of(&spec.name.to_ascii_uppercase(), request.get(1).unwrap_or_default())
}

fn subcommand_of(command: &str, subcommand: &[u8]) -> Refusal {
    let subcommand = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    Reply::error(format!("ERR unknown subcommand '{subcommand}'. Try {command} HELP."))
}
