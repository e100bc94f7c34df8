use super::*;
use crate::auth::{Access, Tokens};
use crate::counters::CountersError;
use crate::resp::decode::Decoder;

const MOMENT: Moment = Moment { now_ms: 1_000_000, is_loading: false, refusal: None };

/// Plans inline commands, one a line.
fn plan(client: &mut Client, moment: Moment, lines: &str) -> Plan {
    let (mut decoder, mut plan, mut input) = (Decoder::new(1 << 20), Plan::default(), lines.as_bytes());
    while let Some(request) = decoder.decode(input).unwrap() {
        client.plan(&request, moment, &mut plan);
        input = &input[request.len_bytes()..];
    }
    plan
}

/// Returns what is replied at once; `?` stands for replies that depend on counters.
fn replies(plan: &Plan) -> String {
    let mut out = Vec::new();
    for step in plan.steps.iter().filter(|step| !step.is_silent) {
        match &step.action {
            Action::Reply(reply) => reply.encode(step.version, &mut out),
            Action::Array(len) => out.extend(format!("*{len}\r\n").bytes()),
            _ => out.extend(b"?\r\n"),
        }
    }
    String::from_utf8(out).unwrap().replace("\r\n", " ")
}

fn ask(client: &mut Client, lines: &str) -> String {
    replies(&plan(client, MOMENT, lines))
}

#[test]
fn a_transaction_becomes_consecutive_operations_of_one_batch() {
    let mut client = Client::new(1, Login::default());
    let plan = plan(&mut client, MOMENT, "INCR a\nMULTI\nINCR b\nGET a\nECHO x\nEXEC\nINCR c\n");
    assert_eq!(replies(&plan), "? +OK +QUEUED +QUEUED +QUEUED *3 ? ? $1 x ? ");
    let names: Vec<_> = plan.batch.range(0..plan.batch.len()).map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [b"a", b"b", b"a", b"c"]);
}

#[test]
fn an_error_while_queueing_discards_the_transaction_and_its_operations() {
    let mut client = Client::new(1, Login::default());
    for error in [
        "GET",
        "NOSUCH",
        "CLIENT FOO",
        "CLIENT ID x",
        "COUNT.SESSION",
        "COUNT.ADD 1.1 1 a 1",
        "CLIENT REPLY OFF",
    ] {
        let plan = plan(&mut client, MOMENT, &format!("MULTI\nINCR a\n{error}\nEXEC\n"));
        let replies = replies(&plan);
        assert!(replies.starts_with("+OK +QUEUED -ERR "), "{replies}");
        assert!(
            replies.ends_with("-EXECABORT Transaction discarded because of previous errors. "),
            "{replies}"
        );
        assert_eq!(plan.batch.len(), 0);
    }
    assert_eq!(
        ask(&mut client, "MULTI\nSET a x\nINCR b\nEXEC\n"),
        "+OK +QUEUED +QUEUED *2 -ERR value is not an integer or out of range ? "
    );
    assert_eq!(ask(&mut client, "EXEC\nDISCARD\n"), "-ERR EXEC without MULTI -ERR DISCARD without MULTI ");
    assert_eq!(
        ask(&mut client, "MULTI\nMULTI\nWATCH a\nDISCARD\nWATCH a\n"),
        "+OK -ERR MULTI calls can not be nested -ERR WATCH inside MULTI is not allowed +OK \
         -ERR WATCH is not supported "
    );
}

#[test]
fn each_reply_is_encoded_by_the_protocol_and_the_reply_mode_at_its_position() {
    let mut client = Client::new(1, Login::default());
    assert_eq!(
        ask(&mut client, "CLIENT GETNAME\nHELLO 3\nCLIENT GETNAME\nHELLO 2\nCLIENT GETNAME\n")
            .matches("$-1")
            .count(),
        2
    );
    assert_eq!(
        ask(
            &mut client,
            "ECHO a\nCLIENT REPLY SKIP\nECHO b\nECHO c\nCLIENT REPLY OFF\nECHO d\nCLIENT REPLY SKIP\n"
        ),
        "$1 a $1 c "
    );
    assert_eq!(ask(&mut client, "ECHO e\nCLIENT REPLY ON\nECHO f\n"), "+OK $1 f ");
    assert_eq!(ask(&mut client, "CLIENT REPLY OFF\nRESET\nECHO g\n"), "+RESET $1 g ");
}

#[test]
fn a_loading_server_refuses_what_needs_counters() {
    let mut client = Client::new(1, Login::default());
    let loading = Moment { is_loading: true, ..MOMENT };
    let lines = "INCR a\nDBSIZE\nPING\nHELLO 2\nMULTI\nINCR a\nEXEC\n";
    let replies = replies(&plan(&mut client, loading, lines));
    assert_eq!(replies.matches("-LOADING ").count(), 4, "{replies}");
    assert!(replies.contains("$5 proto :2 ") && replies.contains("-EXECABORT"), "{replies}");
}

#[test]
fn what_needs_one_owner_is_refused_by_itself_where_counters_are_replicated() {
    let mut client = Client::new(1, Login::default());
    let refusal: Refusal = |command| CountersError::NeedsOneOwner { command };
    let replicated = Moment { refusal: Some(refusal), ..MOMENT };
    let plan = plan(
        &mut client,
        replicated,
        "INCR a\nSET a 1\nDEL a b\nEXPIRE a 9\nINCREX a\nGET a\nTTL a\nPERSIST a\n",
    );
    let replies = replies(&plan);
    for command in ["set", "remove", "expire", "add within bounds"] {
        let refused = format!("-ERR {command} needs one owner; this store is replicated ");
        assert!(replies.contains(&refused), "{refused} is not in {replies}");
    }
    assert_eq!(plan.batch.len(), 4);
}

#[test]
fn a_transaction_is_bounded() {
    let mut client = Client::new(1, Login::default());
    let lines = format!("MULTI\n{}", "PING\n".repeat(QUEUED_COMMANDS + 1));
    assert!(ask(&mut client, &lines).ends_with("-ERR transaction is too long "));
    assert!(ask(&mut client, "EXEC\n").starts_with("-EXECABORT"));
    let long = format!("ECHO {}\n", "x".repeat(60_000));
    assert!(
        ask(&mut client, &format!("MULTI\n{}", long.repeat(80))).ends_with("-ERR transaction is too long ")
    );
}

#[test]
fn errors_are_those_of_redis() {
    let mut client = Client::new(1, Login::default());
    for (line, error) in [
        ("NOSUCH a b", "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
        ("get", "ERR wrong number of arguments for 'get' command"),
        ("CLIENT ID x", "ERR wrong number of arguments for 'client|id' command"),
        ("CONFIG X", "ERR unknown subcommand 'X'. Try CONFIG HELP."),
        ("SET a 007", "ERR value is not an integer or out of range"),
        ("SET a -0", "ERR value is not an integer or out of range"),
        ("SETNX a +5", "ERR value is not an integer or out of range"),
        ("SET a 1 EX 5 KEEPTTL", "ERR syntax error"),
        ("SET a 1 NX XX", "ERR syntax error"),
        ("SET a 1 EX 0", "ERR invalid expire time in 'set' command"),
        ("SETEX a 9223372036854775807 1", "ERR invalid expire time in 'setex' command"),
        ("INCRBY a 1.5", "ERR value is not an integer or out of range"),
        ("DECRBY a -9223372036854775808", "ERR decrement would overflow"),
        ("EXPIRE a 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("EXPIRE a 1 NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 1 LT GT", "ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE a 1 YY", "ERR Unsupported option YY"),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        ("SELECT 1", "ERR DB index is out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
        ("CLIENT SETNAME \"a b\"", "ERR Client names cannot contain spaces, newlines or special characters."),
        ("CLIENT TRACKING on", "ERR client side caching is not supported"),
        ("WAIT 1 -1", "ERR timeout is negative"),
        ("INCREX a EX 5 PERSIST", "ERR syntax error"),
        ("INCREX a ENX", "ERR syntax error"),
        ("INCREX a LBOUND 5 UBOUND 4", "ERR LBOUND is greater than UBOUND"),
    ] {
        assert_eq!(
            ask(&mut client, &format!("{line}\n")).trim_end(),
            format!("-{error}").trim_end(),
            "{line}"
        );
    }
}

#[test]
fn a_client_without_a_token_may_only_identify_itself() {
    let tokens = Tokens::parse("read-only 0123456789abcdef\nread-write abcdef0123456789").unwrap();
    let mut client = Client::new(1, Login::new(Access::by_token(tokens)));
    for command in ["PING", "GET a", "INCR a", "MULTI", "CLIENT ID", "COUNT.STATS", "CONFIG GET a"] {
        assert_eq!(
            ask(&mut client, &format!("{command}\n")),
            "-NOAUTH Authentication required. ",
            "{command}"
        );
    }
    assert!(ask(&mut client, "HELLO 3\n").starts_with("-NOAUTH HELLO must be called"));
    for wrong in ["AUTH x", "AUTH default x", "AUTH other 0123456789abcdef", "HELLO 3 AUTH default x"] {
        let refused = "-WRONGPASS invalid username-password pair or user is disabled. ";
        assert_eq!(ask(&mut client, &format!("{wrong}\n")), refused, "{wrong}");
    }
    assert_eq!(ask(&mut client, "AUTH 0123456789abcdef\nGET a\nPING\n"), "+OK ? +PONG ");
    for command in ["INCR a", "SET a 1", "FLUSHALL", "COUNT.SESSION"] {
        let name = command.split(' ').next().unwrap().to_lowercase();
        let refused = format!("-NOPERM this user has no permissions to run the '{name}' command ");
        assert_eq!(ask(&mut client, &format!("{command}\n")), refused);
    }
    assert_eq!(
        ask(&mut client, "AUTH default abcdef0123456789\nINCR a\nRESET\nGET a\n"),
        "+OK ? +RESET -NOAUTH Authentication required. "
    );
    assert!(ask(&mut client, "HELLO 2 AUTH default 0123456789abcdef\nGET a\n").ends_with("modules *0 ? "));
}
