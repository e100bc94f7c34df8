//! Random commands.

use fastrand::Rng;

/// Commands that are sent together.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Replies are the same.
    Commands(Vec<u8>),
    /// Replies are times, which are nearly the same.
    Time(Vec<u8>),
    /// Replies list names, in any order.
    Names(Vec<u8>),
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Commands(bytes) | Self::Time(bytes) | Self::Names(bytes) => bytes,
        }
    }
}

/// Generates commands, by seed.
#[derive(Debug)]
pub(crate) struct Generator {
    random: Rng,
    is_in_transaction: bool,
}

const NAMES: [&str; 7] = ["a", "b", "c", "", "d:e", "a name longer than 16 bytes", "\u{e9}\0\r\n"];
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "-9",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4611686018427387904",
    "-4611686018427387905",
    "007",
    "-0",
    "+5",
    "",
    " 1",
    "1.5",
    "x",
    "1e3",
    "-",
    "00",
];
/// Stands for a time to live that is far away.
const SOME_SECONDS: &str = "SECONDS";
const SOME_MILLISECONDS: &str = "MILLISECONDS";
/// Times to live that are over at once, far away, or wrong.
const SECONDS: [&str; 8] =
    ["0", "-1", SOME_SECONDS, SOME_SECONDS, "9223372036854775807", "-9223372036854775808", "x", "1.0"];
/// The same for `SET`, without what Redis keeps in its count of names after it has expired.
const SET_SECONDS: [&str; 7] =
    ["0", "-1", SOME_SECONDS, "9223372036854775807", "x", SOME_SECONDS, "9223372036854775"];
const UNIX_SECONDS: [&str; 5] = ["0", "-5", "1", "4102444800", "4202444800"];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), is_in_transaction: false }
    }

    /// Returns the next commands.
    pub(crate) fn chunk(&mut self) -> Chunk {
        let mut bytes = Vec::new();
        match self.random.u8(..12) {
            0 => {
                for _ in 0..self.random.usize(1..5) {
                    let command = self.one_of(&["TTL", "PTTL", "pttl"]);
                    put(&mut bytes, &[command, self.name()]);
                }
                return Chunk::Time(bytes);
            }
            1 => {
                let pattern = self.one_of(&["*", "a*", "?", "[a-c]", "[^a]", "*:*", "x", "\\a"]);
                let kind = self.one_of(&["string", "STRING", "list"]);
                put(&mut bytes, &["SCAN", "0", "MATCH", pattern, "COUNT", "1000", "TYPE", kind]);
                return Chunk::Names(bytes);
            }
            _ => {}
        }
        for _ in 0..self.random.usize(1..20) {
            let command: Vec<_> = self.command().into_iter().map(|word| self.word(word)).collect();
            if self.random.u8(..10) == 0
                && !command.iter().any(|word| word.contains(['\r', ' ', '\0']) || word.is_empty())
            {
                bytes.extend(command.join(" ").bytes().chain(*b"\r\n"));
            } else {
                put(&mut bytes, &command);
            }
        }
        if self.is_in_transaction {
            self.is_in_transaction = false;
            put(&mut bytes, &["EXEC"]);
        }
        // Its reply may be the one that is skipped.
        put(&mut bytes, &["PING"]);
        Chunk::Commands(bytes)
    }

    fn command(&mut self) -> Vec<&'static str> {
        match self.random.u8(..24) {
            0..6 => self.addition(),
            6..9 => self.reading(),
            9..12 => self.setting(),
            12..15 => self.expiry(),
            15..17 => self.removal(),
            17..19 => self.transaction(),
            19..21 => self.connection(),
            21 => self.broken(),
            _ => vec![self.one_of(&["DBSIZE", "PING", "ping", "UNWATCH"])],
        }
    }

    fn addition(&mut self) -> Vec<&'static str> {
        let name = self.name();
        match self.random.u8(..4) {
            0 => vec!["INCR", name],
            1 => vec!["decr", name],
            2 => vec!["INCRBY", name, self.number()],
            _ => vec!["DecrBy", name, self.number()],
        }
    }

    fn reading(&mut self) -> Vec<&'static str> {
        match self.random.u8(..4) {
            0 => vec!["GET", self.name()],
            1 => vec!["TYPE", self.name()],
            2 => vec!["EXISTS", self.name(), self.name(), self.name()],
            _ => vec!["MGET", self.name(), self.name()],
        }
    }

    fn setting(&mut self) -> Vec<&'static str> {
        let (name, number) = (self.name(), self.integer());
        match self.random.u8(..6) {
            0 => vec!["SETNX", name, number],
            1 => vec!["SETEX", name, self.one_of(&SET_SECONDS), number],
            2 => vec!["GETSET", name, number],
            _ => {
                let mut command = vec!["SET", name, number];
                for _ in 0..self.random.usize(..3) {
                    match self.random.u8(..6) {
                        0 => command.push("NX"),
                        1 => command.push("xx"),
                        2 => command.push("GET"),
                        3 => command.push("KEEPTTL"),
                        4 => command.extend(["EX", self.one_of(&SET_SECONDS)]),
                        _ => command.extend(["PXAT", self.one_of(&["4102444800000", "0", "-1"])]),
                    }
                }
                command
            }
        }
    }

    fn expiry(&mut self) -> Vec<&'static str> {
        let name = self.name();
        if self.random.u8(..5) == 0 {
            return vec!["PERSIST", name];
        }
        let (command, times) = match self.random.u8(..4) {
            0 => ("EXPIRE", &SECONDS[..]),
            1 => ("PEXPIRE", &["0", "-7", SOME_MILLISECONDS, "9223372036854775807", SOME_MILLISECONDS][..]),
            2 => ("EXPIREAT", &UNIX_SECONDS[..]),
            _ => ("PEXPIREAT", &["0", "1", "4102444800000", "-9223372036854775808", "4202444800000"][..]),
        };
        let mut command = vec![command, name, self.one_of(times)];
        for _ in 0..self.random.usize(..3) {
            command.push(self.one_of(&["NX", "XX", "GT", "lt", "foo"]));
        }
        command
    }

    fn removal(&mut self) -> Vec<&'static str> {
        match self.random.u8(..4) {
            0 => vec!["GETDEL", self.name()],
            1 => vec!["UNLINK", self.name()],
            _ => vec!["DEL", self.name(), self.name(), self.name()],
        }
    }

    fn transaction(&mut self) -> Vec<&'static str> {
        let command = self.one_of(&["MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD"]);
        self.is_in_transaction = command == "MULTI";
        vec![command]
    }

    fn connection(&mut self) -> Vec<&'static str> {
        match self.random.u8(..12) {
            0 => vec!["ECHO", self.name()],
            1 => vec!["PING", self.name()],
            2 => vec!["CLIENT", "SETNAME", self.one_of(&["x", "", "a b", "y"])],
            3 | 4 => vec!["CLIENT", "GETNAME"],
            5 => vec!["SELECT", self.one_of(&["0", "1000", "x"])],
            6 if !self.is_in_transaction => vec!["CLIENT", "REPLY", self.one_of(&["SKIP", "ON", "x"])],
            7 => vec!["HELLO", self.one_of(&["4", "x", "1"])],
            8 => vec!["WAIT", self.one_of(&["0", "0", "x"]), self.one_of(&["0", "1", "x", "-1"])],
            9 => vec!["FUNCTION", "FLUSH"],
            10 => vec!["CONFIG", "GET", "save"],
            _ => vec!["AUTH", self.one_of(&["default", "other"]), "x"],
        }
    }

    fn broken(&mut self) -> Vec<&'static str> {
        match self.random.u8(..6) {
            0 => vec!["NOSUCH", self.name(), self.number()],
            1 => vec!["INCR"],
            2 => vec!["GET", self.name(), self.name()],
            3 => vec!["CLIENT", "FOO"],
            4 => vec!["CONFIG", "FOO", "x"],
            _ => vec!["SCAN", self.one_of(&["x", "1x", ""]), "COUNT"],
        }
    }

    /// Replaces a time to live by one that is used once: of two that are equal, either may end first.
    fn word(&mut self, word: &'static str) -> String {
        match word {
            SOME_SECONDS => (self.random.u64(10..1 << 40) * 100).to_string(),
            SOME_MILLISECONDS => (self.random.u64(10..1 << 40) * 100_000).to_string(),
            word => word.to_owned(),
        }
    }

    fn name(&mut self) -> &'static str {
        self.one_of(&NAMES)
    }

    fn number(&mut self) -> &'static str {
        self.one_of(&NUMBERS)
    }

    /// Returns a number that Redis accepts as a value, as this server does.
    fn integer(&mut self) -> &'static str {
        self.one_of(&NUMBERS[..9])
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.random.usize(..choices.len())]
    }
}

fn put(bytes: &mut Vec<u8>, words: &[impl AsRef<str>]) {
    bytes.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
}
