//! Commands that the server knows, and what it says of them.

use super::encode::{self, Reply, Version};

/// Command, by its name in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Incr,
    Get,
    Set,
    IncrBy,
    Decr,
    DecrBy,
    Del,
    Unlink,
    MGet,
    Expire,
    PExpire,
    ExpireAt,
    PExpireAt,
    Ttl,
    PTtl,
    Persist,
    Exists,
    Type,
    SetNx,
    SetEx,
    GetSet,
    GetDel,
    IncrEx,
    Scan,
    DbSize,
    FlushAll,
    FlushDb,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Wait,
    WaitAof,
    Ping,
    Echo,
    Hello,
    Auth,
    Select,
    Reset,
    Quit,
    Client,
    Info,
    Config,
    Command,
    Function,
    CountSession,
    CountAdd,
    CountTop,
    CountStats,
    CountLag,
    CountWritten,
    CountAwait,
}

/// Effect of a command on counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: it is about the connection or the server.
    None,
    /// It reads them.
    Read,
    /// It may change them.
    Write,
}

/// Description of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The command.
    pub(crate) kind: Kind,
    /// Its name in lower case.
    pub(crate) name: &'static str,
    /// Number of its arguments, the name included; negative if there may be more.
    pub(crate) arity: i64,
    /// Its effect on counters.
    pub(crate) access: Access,
    /// Index of the last argument that names a counter; negative if counted from the end. 0 if there is none.
    pub(crate) last_key: i64,
    summary: &'static str,
}

const fn spec(
    kind: Kind,
    name: &'static str,
    arity: i64,
    access: Access,
    last_key: i64,
    summary: &'static str,
) -> Spec {
    Spec { kind, name, arity, access, last_key, summary }
}

use Access::{None as Nothing, Read, Write};

/// All commands, the most frequent first.
pub(crate) static COMMANDS: [Spec; 53] = [
    spec(Kind::Incr, "incr", 2, Write, 1, "Adds 1"),
    spec(Kind::Get, "get", 2, Read, 1, "Returns the value"),
    spec(Kind::Set, "set", -3, Write, 1, "Sets the value"),
    spec(Kind::IncrBy, "incrby", 3, Write, 1, "Adds an amount"),
    spec(Kind::Decr, "decr", 2, Write, 1, "Subtracts 1"),
    spec(Kind::DecrBy, "decrby", 3, Write, 1, "Subtracts an amount"),
    spec(Kind::Del, "del", -2, Write, -1, "Removes counters"),
    spec(Kind::Unlink, "unlink", -2, Write, -1, "Removes counters"),
    spec(Kind::MGet, "mget", -2, Read, -1, "Returns several values"),
    spec(Kind::Expire, "expire", -3, Write, 1, "Sets the time to live in seconds"),
    spec(Kind::PExpire, "pexpire", -3, Write, 1, "Sets the time to live in milliseconds"),
    spec(Kind::ExpireAt, "expireat", -3, Write, 1, "Sets the deadline in Unix seconds"),
    spec(Kind::PExpireAt, "pexpireat", -3, Write, 1, "Sets the deadline in Unix milliseconds"),
    spec(Kind::Ttl, "ttl", 2, Read, 1, "Returns the time to live in seconds"),
    spec(Kind::PTtl, "pttl", 2, Read, 1, "Returns the time to live in milliseconds"),
    spec(Kind::Persist, "persist", 2, Write, 1, "Removes the deadline"),
    spec(Kind::Exists, "exists", -2, Read, -1, "Returns how many of the names are there"),
    spec(Kind::Type, "type", 2, Read, 1, "Returns string if there is such a counter"),
    spec(Kind::SetNx, "setnx", 3, Write, 1, "Sets the value if there is no such counter"),
    spec(Kind::SetEx, "setex", 4, Write, 1, "Sets the value and the time to live in seconds"),
    spec(Kind::GetSet, "getset", 3, Write, 1, "Sets the value and returns the one before"),
    spec(Kind::GetDel, "getdel", 2, Write, 1, "Removes the counter and returns its value"),
    spec(Kind::IncrEx, "increx", -2, Write, 1, "Adds an amount within bounds, with a deadline"),
    spec(Kind::Scan, "scan", -2, Read, 0, "Returns a page of all names"),
    spec(Kind::DbSize, "dbsize", 1, Read, 0, "Returns the number of counters"),
    spec(Kind::FlushAll, "flushall", -1, Write, 0, "Removes all counters, if allowed"),
    spec(Kind::FlushDb, "flushdb", -1, Write, 0, "Removes all counters, if allowed"),
    spec(Kind::Multi, "multi", 1, Nothing, 0, "Begins to queue commands"),
    spec(Kind::Exec, "exec", 1, Nothing, 0, "Carries out the queued commands in order"),
    spec(Kind::Discard, "discard", 1, Nothing, 0, "Forgets the queued commands"),
    spec(Kind::Watch, "watch", -2, Nothing, -1, "Is refused"),
    spec(Kind::Unwatch, "unwatch", 1, Nothing, 0, "Has no effect"),
    spec(Kind::Wait, "wait", 3, Nothing, 0, "Waits until other nodes have received the writes"),
    spec(Kind::WaitAof, "waitaof", 4, Nothing, 0, "Waits until the writes are on disk"),
    spec(Kind::Ping, "ping", -1, Nothing, 0, "Answers"),
    spec(Kind::Echo, "echo", 2, Nothing, 0, "Returns its argument"),
    spec(Kind::Hello, "hello", -1, Nothing, 0, "Chooses the version of the protocol"),
    spec(Kind::Auth, "auth", -2, Nothing, 0, "Identifies the client"),
    spec(Kind::Select, "select", 2, Nothing, 0, "Accepts database 0"),
    spec(Kind::Reset, "reset", 1, Nothing, 0, "Returns the connection to its first state"),
    spec(Kind::Quit, "quit", -1, Nothing, 0, "Ends the connection"),
    spec(Kind::Client, "client", -2, Nothing, 0, "Describes connections"),
    spec(Kind::Info, "info", -1, Nothing, 0, "Describes the server"),
    spec(Kind::Config, "config", -2, Nothing, 0, "Returns settings"),
    spec(Kind::Command, "command", -1, Nothing, 0, "Describes the commands"),
    spec(Kind::Function, "function", -2, Nothing, 0, "Accepts FLUSH"),
    spec(Kind::CountSession, "count.session", -1, Write, 0, "Opens a session, or closes it"),
    spec(Kind::CountAdd, "count.add", -5, Write, 0, "Adds amounts once, however often it is sent"),
    spec(Kind::CountTop, "count.top", 2, Read, 0, "Returns the counters with the largest values"),
    spec(Kind::CountStats, "count.stats", 1, Read, 0, "Returns the totals of all counters"),
    spec(Kind::CountLag, "count.lag", 1, Read, 0, "Returns how far counts are behind the log"),
    spec(Kind::CountWritten, "count.written", 1, Read, 0, "Returns the positions of the writes in the log"),
    spec(Kind::CountAwait, "count.await", -3, Read, 0, "Waits until the log is counted up to positions"),
];

/// Subcommands with the number of their arguments, both names included.
static SUBCOMMANDS: [(Kind, &str, i64); 17] = [
    (Kind::Client, "id", 2),
    (Kind::Client, "getname", 2),
    (Kind::Client, "setname", 3),
    (Kind::Client, "setinfo", 4),
    (Kind::Client, "list", -2),
    (Kind::Client, "info", 2),
    (Kind::Client, "reply", 3),
    (Kind::Client, "tracking", -3),
    (Kind::Client, "caching", 3),
    (Kind::Config, "get", -3),
    (Kind::Config, "set", -4),
    (Kind::Config, "resetstat", 2),
    (Kind::Config, "rewrite", 2),
    (Kind::Command, "count", 2),
    (Kind::Command, "info", -2),
    (Kind::Command, "docs", -2),
    (Kind::Function, "flush", -2),
];

/// Returns the name and the number of arguments of a subcommand, in capitals or not.
pub(crate) fn find_subcommand(kind: Kind, name: &[u8]) -> Option<(&'static str, i64)> {
    let is_it = |(of, subcommand, _): &&(Kind, &str, i64)| {
        *of == kind && subcommand.as_bytes().eq_ignore_ascii_case(name)
    };
    SUBCOMMANDS.iter().find(is_it).map(|(_, subcommand, arity)| (*subcommand, *arity))
}

/// Returns true if a number of arguments is what is expected: at least so many if that is negative.
pub(crate) fn accepts(arity: i64, arguments: usize) -> bool {
    let arguments = i64::try_from(arguments).unwrap_or(i64::MAX);
    if arity < 0 { arguments >= -arity } else { arguments == arity }
}

impl Spec {
    /// Returns the command of this name, in capitals or not.
    #[must_use]
    pub(crate) fn find(name: &[u8]) -> Option<&'static Self> {
        COMMANDS.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Returns true if the second argument is the name of a subcommand.
    pub(crate) const fn has_subcommands(&self) -> bool {
        matches!(self.kind, Kind::Client | Kind::Config | Kind::Command | Kind::Function)
    }

    /// Returns true if the command needs no counters, and so is carried out while they are being loaded.
    #[must_use]
    pub(crate) const fn works_while_loading(&self) -> bool {
        matches!(
            self.kind,
            Kind::Multi
                | Kind::Exec
                | Kind::Discard
                | Kind::Watch
                | Kind::Unwatch
                | Kind::Hello
                | Kind::Auth
                | Kind::Select
                | Kind::Reset
                | Kind::Quit
                | Kind::Client
                | Kind::Info
                | Kind::Config
                | Kind::Command
        )
    }

    /// Returns true if the command needs no token.
    #[must_use]
    pub(crate) const fn works_without_login(&self) -> bool {
        matches!(self.kind, Kind::Hello | Kind::Auth | Kind::Reset | Kind::Quit)
    }

    /// Returns true if the command is carried out at once also while commands are being queued.
    #[must_use]
    pub(crate) const fn is_never_queued(&self) -> bool {
        matches!(self.kind, Kind::Multi | Kind::Exec | Kind::Discard | Kind::Watch | Kind::Reset | Kind::Quit)
    }

    /// Returns what `COMMAND INFO` says.
    fn info(&self) -> Reply {
        let mut flags = match self.access {
            Write => vec![Reply::Simple("write"), Reply::Simple("denyoom")],
            Read => vec![Reply::Simple("readonly")],
            Nothing => Vec::new(),
        };
        flags.push(Reply::Simple("fast"));
        let first_key = i64::from(self.last_key != 0);
        Reply::Array(vec![
            Reply::bulk(self.name),
            Reply::Integer(self.arity),
            Reply::Array(flags),
            Reply::Integer(first_key),
            Reply::Integer(self.last_key),
            Reply::Integer(first_key),
        ])
    }

    /// Returns what `COMMAND DOCS` says.
    fn docs(&self) -> (Reply, Reply) {
        let group = match self.kind {
            Kind::Multi | Kind::Exec | Kind::Discard | Kind::Watch | Kind::Unwatch => "transactions",
            _ if self.last_key != 0 => "string",
            _ if self.access == Nothing => "connection",
            _ => "server",
        };
        let docs = [("summary", self.summary), ("since", "1.0.0"), ("group", group)];
        let docs = docs.map(|(key, value)| (Reply::bulk(key), Reply::bulk(value)));
        (Reply::bulk(self.name), Reply::Map(docs.into()))
    }
}

/// Descriptions of some commands, as in `COMMAND INFO` or `COMMAND DOCS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptions {
    are_docs: bool,
    /// The commands, `None` for those that do not exist.
    commands: Vec<Option<&'static Spec>>,
}

impl Descriptions {
    /// Creates the descriptions of the commands of these names, or of all if there are none.
    pub(crate) fn new<'a>(are_docs: bool, names: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let commands = if names.len() == 0 {
            COMMANDS.iter().map(Some).collect()
        } else {
            names.map(Spec::find).collect()
        };
        Self { are_docs, commands }
    }

    /// Appends the descriptions.
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let known = || self.commands.iter().flatten();
        if self.are_docs {
            encode::map(known().count(), version, out);
            for (name, docs) in known().map(|spec| spec.docs()) {
                name.encode(version, out);
                docs.encode(version, out);
            }
        } else {
            encode::array(self.commands.len(), out);
            for command in &self.commands {
                command.map_or(Reply::Null, Spec::info).encode(version, out);
            }
        }
    }
}

/// Returns the number of commands.
pub(crate) const fn count() -> i64 {
    COMMANDS.len() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_described_by_name_or_all() {
        let describe = |are_docs, names: &[&str], version| {
            let mut out = Vec::new();
            Descriptions::new(are_docs, names.iter().map(|name| name.as_bytes())).encode(version, &mut out);
            String::from_utf8(out).unwrap()
        };
        let info = describe(false, &["GET", "nosuch"], Version::Two);
        assert_eq!(
            info,
            "*2\r\n*6\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n$-1\r\n"
        );
        assert!(describe(true, &["get", "nosuch"], Version::Three).starts_with("%1\r\n$3\r\nget\r\n%3\r\n"));
        assert!(describe(true, &[], Version::Two).starts_with("*106\r\n$4\r\nincr\r\n*6\r\n"));
    }

    #[test]
    fn a_command_is_found_in_capitals_or_not_and_its_arguments_are_counted() {
        assert_eq!(Spec::find(b"iNcR").map(|spec| spec.kind), Some(Kind::Incr));
        assert!(Spec::find(b"incr ").is_none());
        let set = Spec::find(b"SET").unwrap();
        assert_eq!([2, 3, 9].map(|arguments| accepts(set.arity, arguments)), [false, true, true]);
        assert_eq!(find_subcommand(Kind::Client, b"ID"), Some(("id", 2)));
        assert_eq!(find_subcommand(Kind::Config, b"id"), None);
        let mut names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
