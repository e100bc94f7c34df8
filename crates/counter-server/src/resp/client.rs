//! State of one client's connection, and what its requests come to. Pure: time is an argument.

use super::batch::Batch;
use super::commands::{Access, Spec};
use super::decode::Request;
use super::encode::{Reply, Version};
use super::errors;
use super::parse::{self, Command, ConnectionCommand, ReplyMode};
use super::query::Query;
use super::shape::Shape;
use crate::auth::{Login, Role};
use crate::counters::Refusal;

/// Maximum number of commands that a transaction queues.
const QUEUED_COMMANDS: usize = 16 * 1024;

/// Maximum length of the commands that a transaction queues, in bytes.
const QUEUED_BYTES: usize = 4 << 20;

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    id: i64,
    version: Version,
    replies: Replies,
    queue: Option<Queue>,
    identity: Identity,
    login: Login,
}

/// Description that a client gives of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Vec<u8>,
    pub(crate) library: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
}

/// Which commands are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    All,
    /// None.
    Off,
    /// All but the next one.
    SkipNext,
}

/// Commands since `MULTI`.
#[derive(Debug, Default)]
struct Queue {
    /// Operations of the commands, in order.
    batch: Batch,
    commands: Vec<Command>,
    len_bytes: usize,
    /// A command was refused, so none is to be carried out.
    is_aborted: bool,
}

/// Circumstances that commands depend on besides the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Time in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
    /// Counters are still being loaded.
    pub(crate) is_loading: bool,
    /// Refusal of operations that need one owner, if they are refused.
    pub(crate) refusal: Option<Refusal>,
}

/// Steps that several requests come to, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Operations of the steps, in order.
    pub(crate) batch: Batch,
    pub(crate) steps: Vec<Step>,
    /// The connection ends behind these steps.
    pub(crate) ends: bool,
}

/// Step of a plan, with how its reply is encoded at this position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) version: Version,
    /// There is no reply.
    pub(crate) is_silent: bool,
    pub(crate) action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Replies.
    Reply(Reply),
    /// Begins a list of so many replies.
    Array(usize),
    /// Applies the next operations, so many, and replies to their outcomes.
    Counters(Shape, usize),
    /// Carries out a query, behind everything before and ahead of everything after it.
    Query(Box<Query>),
    /// Replies with a description of all clients, or of this one.
    Clients { all: bool },
}

impl Plan {
    /// Forgets the steps, but keeps the memory of a usual pipeline.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.steps.clear();
        self.steps.shrink_to(64);
        self.ends = false;
    }

    /// Appends an error behind which the connection ends.
    pub(crate) fn end_with(&mut self, error: Reply) {
        let action = Action::Reply(error);
        self.steps.push(Step { version: Version::Two, is_silent: false, action });
        self.ends = true;
    }
}

impl Client {
    /// Creates the state of a new connection with this number.
    pub(crate) fn new(id: i64, login: Login) -> Self {
        let (version, replies) = (Version::Two, Replies::All);
        Self { id, version, replies, queue: None, identity: Identity::default(), login }
    }

    /// Returns what the client has said of itself.
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the version of the protocol in force.
    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// Appends what a request comes to.
    pub(crate) fn plan(&mut self, request: &Request<'_>, moment: Moment, plan: &mut Plan) {
        if request.is_empty() {
            return;
        }
        let is_silent = match self.replies {
            Replies::All => false,
            Replies::Off => true,
            Replies::SkipNext => {
                self.replies = Replies::All;
                true
            }
        };
        match parse::spec_of(request).and_then(|spec| self.check(spec, moment).map(|()| spec)) {
            Ok(spec) if spec.is_never_queued() => self.carry_out_next(spec, request, moment, is_silent, plan),
            Ok(spec) => match &mut self.queue {
                None => self.carry_out_next(spec, request, moment, is_silent, plan),
                Some(queue) => {
                    let reply = queue.push(spec, request, moment);
                    self.reply(
                        reply.map_or_else(|refusal| refusal, |()| Reply::Simple("QUEUED")),
                        is_silent,
                        plan,
                    );
                }
            },
            Err(refusal) => {
                self.abort_queue();
                self.reply(refusal, is_silent, plan);
            }
        }
    }

    fn check(&mut self, spec: &Spec, moment: Moment) -> Result<(), Reply> {
        match self.login.role() {
            None if !spec.works_without_login() => return Err(errors::NO_LOGIN),
            Some(Role::ReadOnly) if spec.access == Access::Write => {
                return Err(errors::no_permission(spec.name));
            }
            _ => {}
        }
        if moment.is_loading && !spec.works_while_loading() { Err(errors::LOADING) } else { Ok(()) }
    }

    fn carry_out_next(
        &mut self,
        spec: &Spec,
        request: &Request<'_>,
        moment: Moment,
        is_silent: bool,
        plan: &mut Plan,
    ) {
        let operations = plan.batch.len();
        match parse_at(spec, request, moment, &mut plan.batch) {
            Ok(command) => self.carry_out(command, is_silent, plan),
            Err(refusal) => {
                plan.batch.truncate(operations);
                self.reply(refusal, is_silent, plan);
            }
        }
    }

    fn carry_out(&mut self, command: Command, is_silent: bool, plan: &mut Plan) {
        match command {
            Command::Counters(shape, operations) => {
                self.push(Action::Counters(shape, operations), is_silent, plan)
            }
            Command::Query(query) => self.push(Action::Query(query), is_silent, plan),
            Command::Reply(reply) => self.reply(reply, is_silent, plan),
            Command::Connection(command) => self.connection(*command, is_silent, plan),
        }
    }

    fn connection(&mut self, command: ConnectionCommand, is_silent: bool, plan: &mut Plan) {
        let reply = match command {
            ConnectionCommand::Multi if self.queue.is_some() => {
                Reply::error("ERR MULTI calls can not be nested")
            }
            ConnectionCommand::Multi => {
                self.queue = Some(Queue::default());
                Reply::OK
            }
            ConnectionCommand::Exec => return self.exec(is_silent, plan),
            ConnectionCommand::Discard => match self.queue.take() {
                Some(_) => Reply::OK,
                None => Reply::error("ERR DISCARD without MULTI"),
            },
            ConnectionCommand::Watch if self.queue.is_some() => {
                Reply::error("ERR WATCH inside MULTI is not allowed")
            }
            ConnectionCommand::Watch => Reply::error("ERR WATCH is not supported"),
            ConnectionCommand::Reset => {
                let mut login = std::mem::take(&mut self.login);
                login.reset();
                *self = Self::new(self.id, login);
                // Also if replies were off.
                return self.reply(Reply::Simple("RESET"), false, plan);
            }
            ConnectionCommand::Quit => {
                plan.ends = true;
                Reply::OK
            }
            ConnectionCommand::Hello { version, auth, name } => self.hello(version, auth, name),
            ConnectionCommand::Auth { user, password } => self.authenticate(user.as_deref(), &password),
            ConnectionCommand::Id => Reply::Integer(self.id),
            ConnectionCommand::Name if self.identity.name.is_empty() => Reply::Null,
            ConnectionCommand::Name => Reply::bulk(self.identity.name.clone()),
            ConnectionCommand::SetName(name) => {
                self.identity.name = name;
                Reply::OK
            }
            ConnectionCommand::SetLibrary { is_version: false, value } => {
                self.identity.library = value;
                Reply::OK
            }
            ConnectionCommand::SetLibrary { is_version: true, value } => {
                self.identity.library_version = value;
                Reply::OK
            }
            ConnectionCommand::Mode(mode) => return self.set_replies(mode, plan),
            ConnectionCommand::List { all } => return self.push(Action::Clients { all }, is_silent, plan),
        };
        self.reply(reply, is_silent, plan);
    }

    fn exec(&mut self, is_silent: bool, plan: &mut Plan) {
        match self.queue.take() {
            None => self.reply(Reply::error("ERR EXEC without MULTI"), is_silent, plan),
            Some(Queue { is_aborted: true, .. }) => {
                let error = "EXECABORT Transaction discarded because of previous errors.";
                self.reply(Reply::error(error), is_silent, plan);
            }
            Some(Queue { batch, commands, .. }) => {
                self.push(Action::Array(commands.len()), is_silent, plan);
                plan.batch.append(&batch);
                for command in commands {
                    self.carry_out(command, is_silent, plan);
                }
            }
        }
    }

    fn hello(
        &mut self,
        version: Option<i64>,
        auth: Option<(Vec<u8>, Vec<u8>)>,
        name: Option<Vec<u8>>,
    ) -> Reply {
        let version = match version {
            None => self.version,
            Some(2) => Version::Two,
            Some(3) => Version::Three,
            Some(_) => return Reply::error("NOPROTO unsupported protocol version"),
        };
        if let Some((user, password)) = auth
            && let refused @ Reply::Error(_) = self.authenticate(Some(&user), &password)
        {
            return refused;
        }
        if self.login.role().is_none() {
            return errors::NO_LOGIN_FOR_HELLO;
        }
        self.version = version;
        if let Some(name) = name {
            self.identity.name = name;
        }
        let number = match version {
            Version::Two => 2,
            Version::Three => 3,
        };
        let pair = |key: &str, value| (Reply::bulk(key), value);
        Reply::Map(vec![
            pair("server", Reply::bulk("redis")),
            pair("version", Reply::bulk(super::REDIS_VERSION)),
            pair("proto", Reply::Integer(number)),
            pair("id", Reply::Integer(self.id)),
            pair("mode", Reply::bulk("standalone")),
            pair("role", Reply::bulk("master")),
            pair("modules", Reply::Array(Vec::new())),
        ])
    }

    /// Presents a password, which is a token of the default user. Without tokens, that user has any password.
    fn authenticate(&mut self, user: Option<&[u8]>, password: &[u8]) -> Reply {
        match user {
            None if self.login.is_open() => Reply::error(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
            None | Some(b"default") if self.login.present(password) => Reply::OK,
            _ => Reply::error("WRONGPASS invalid username-password pair or user is disabled."),
        }
    }

    fn set_replies(&mut self, mode: ReplyMode, plan: &mut Plan) {
        match (mode, self.replies) {
            (ReplyMode::On, _) => {
                self.replies = Replies::All;
                self.reply(Reply::OK, false, plan);
            }
            (ReplyMode::Off, _) => self.replies = Replies::Off,
            (ReplyMode::Skip, Replies::Off) => {}
            (ReplyMode::Skip, _) => self.replies = Replies::SkipNext,
        }
    }

    fn abort_queue(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_aborted = true;
        }
    }

    fn reply(&self, reply: Reply, is_silent: bool, plan: &mut Plan) {
        self.push(Action::Reply(reply), is_silent, plan);
    }

    fn push(&self, action: Action, is_silent: bool, plan: &mut Plan) {
        plan.steps.push(Step { version: self.version, is_silent, action });
    }
}

impl Queue {
    /// Queues a command, or aborts the transaction. Wrong arguments are an error of the command alone, as in Redis.
    fn push(&mut self, spec: &Spec, request: &Request<'_>, moment: Moment) -> Result<(), Reply> {
        let operations = self.batch.len();
        let command = parse_at(spec, request, moment, &mut self.batch);
        let command = command.unwrap_or_else(|refusal| {
            self.batch.truncate(operations);
            Command::Reply(refusal)
        });
        match self.room_for(request).and_then(|()| Self::check(command)) {
            Ok(command) => {
                self.commands.push(command);
                Ok(())
            }
            Err(refusal) => {
                self.batch.truncate(operations);
                self.is_aborted = true;
                Err(refusal)
            }
        }
    }

    fn room_for(&mut self, request: &Request<'_>) -> Result<(), Reply> {
        self.len_bytes += request.len_bytes();
        if self.commands.len() >= QUEUED_COMMANDS || self.len_bytes > QUEUED_BYTES {
            return Err(Reply::error("ERR transaction is too long"));
        }
        Ok(())
    }

    /// Refuses what has no place in a transaction, and lets nothing in it wait.
    fn check(command: Command) -> Result<Command, Reply> {
        match command {
            Command::Query(query) if query.is_refused_in_transactions() => Err(not_in_transactions()),
            Command::Query(query) => Ok(Command::Query(Box::new(query.without_waiting()))),
            Command::Connection(command) if matches!(*command, ConnectionCommand::Mode(_)) => {
                Err(not_in_transactions())
            }
            other => Ok(other),
        }
    }
}

/// Parses a command, and refuses it if it needs one owner and there is none.
fn parse_at(spec: &Spec, request: &Request<'_>, moment: Moment, batch: &mut Batch) -> Result<Command, Reply> {
    let before = batch.len();
    let command = parse::parse(spec, request, moment.now_ms, batch)?;
    let Some(refusal) = moment.refusal else { return Ok(command) };
    let mut operations = batch.range(before..batch.len());
    match operations.find_map(|(_, operation)| operation.needs_one_owner()) {
        Some(command) => Err(errors::reply(&refusal(command))),
        None => Ok(command),
    }
}

fn not_in_transactions() -> Reply {
    Reply::error("ERR Command not allowed inside a transaction")
}

#[cfg(test)]
mod tests;
