//! A process that is killed again and again, each time at another moment, or whose file system loses its power.
//!
//! The process is this test executable itself, started to run [`a_process_that_counts_until_it_is_killed`] alone.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use counter_keyspace::{KeyspaceHandle, Operation, SessionId};
use counter_store::{Durability, DurabilityError, Store, StoreHandle, StoreOptions};

/// Directory of the store of the process that is killed.
const DIR: &str = "COUNTER_STORE_KILLED_DIR";

/// Number of kills, 20 unless given.
const KILLS: &str = "COUNTER_STORE_KILLS";

/// Number of power failures, 5 unless given.
const POWER_FAILURES: &str = "COUNTER_STORE_POWER_FAILURES";

const CLIENTS: u64 = 8;

/// Counter that all clients increment.
const ALL: &str = "all";

/// Options with which segments end, and snapshots happen, all the time.
fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 64 << 10, min_snapshot_bytes: 32 << 10, ..StoreOptions::default() }
}

/// Request of a client: it increments its own counter and the common one, which are on any shards.
fn request(client: u64) -> [(String, Operation); 2] {
    [(format!("client {client}"), Operation::Add(1)), (ALL.to_owned(), Operation::Add(1))]
}

/// Sends a client's requests, one at a time, and reports each that is acknowledged.
async fn send(handle: StoreHandle, session: SessionId, client: u64) {
    for sequence in 1.. {
        let applied = handle.apply_in_session_at(session, sequence, request(client), Durability::Fsync);
        // The disk has failed, or the test will.
        applied.await.unwrap_or_else(|error| fail(&error));
        writeln!(std::io::stdout(), "acknowledged {client} {sequence}").expect("somebody reads");
    }
}

/// Reports an error, and ends the process.
fn fail<T>(error: &dyn Error) -> T {
    writeln!(std::io::stdout(), "failed {error}").expect("somebody reads");
    std::process::exit(1)
}

/// Increments many counters that nobody waits for, so that rounds are large.
async fn add_load(keyspace: KeyspaceHandle) {
    for n in 0_u64.. {
        keyspace.increment(format!("load {}", n % 5_000), 1).await.expect("it runs");
    }
}

#[test]
fn a_process_that_counts_until_it_is_killed() {
    let Ok(dir) = env::var(DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (store, keyspace) =
            Store::open(Path::new(&dir), options()).await.unwrap_or_else(|error| fail(&error));
        tokio::spawn(add_load(keyspace.handle()));
        for client in 0..CLIENTS {
            let session = store.open_session(&client.to_string()).unwrap();
            let SessionId { incarnation, number } = session;
            // The process runs with `--nocapture`, and somebody reads this.
            writeln!(std::io::stdout(), "session {client} {incarnation} {number}").unwrap();
            tokio::spawn(send(store.handle(), session, client));
        }
        std::future::pending::<()>().await;
    });
}

/// Reports of a process until it was killed.
#[derive(Debug, Default)]
struct Reported {
    sessions: BTreeMap<u64, SessionId>,
    /// Last sequence number that was acknowledged, by client.
    acknowledged: BTreeMap<u64, u64>,
    /// Failure, in one line.
    failure: Option<String>,
}

/// Returns the command that runs the process.
fn process(dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "kills::a_process_that_counts_until_it_is_killed", "--nocapture"]).env(DIR, dir);
    command
}

/// Runs a process until it has reported this many requests, and has it ended.
fn run(mut command: Command, requests: usize, end: impl Fn(&mut Child)) -> Reported {
    let mut process: Child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut reported, mut read) = (Reported::default(), 0);
    // What it has written before it is killed can still be read behind it.
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let numbers: Vec<u64> = line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
        match (line.split(' ').next(), &numbers[..]) {
            (Some("session"), &[client, incarnation, number]) => {
                reported.sessions.insert(client, SessionId { incarnation, number });
            }
            (Some("acknowledged"), &[client, sequence]) => {
                reported.acknowledged.insert(client, sequence);
                read += 1;
            }
            (Some("failed"), _) => reported.failure = line.strip_prefix("failed ").map(str::to_owned),
            // From the test runner.
            _ => {}
        }
        if read == requests {
            end(&mut process);
        }
    }
    process.wait().unwrap();
    assert!(read >= requests, "the process ended by itself");
    reported
}

/// Returns the number in an environment variable.
fn number(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Runs processes on a store and ends each of them, checks what is there, and sends the last requests again.
fn end_again_and_again(times: usize, dir: &Path, run: impl Fn(usize) -> Reported) {
    let mut random = fastrand::Rng::with_seed(ractor_faults::seed());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut expected, mut unreported) = (BTreeMap::<u64, i64>::new(), 0);
    for time in 0..times {
        let reported = run(random.usize(1..150));
        unreported += runtime.block_on(check(dir, &reported, &mut expected, time));
    }
    let mut log = std::io::stderr();
    writeln!(log, "{times} times, {unreported} requests were durable but not reported").unwrap();
}

/// Returns the number of requests that had been applied and not reported.
async fn check(dir: &Path, reported: &Reported, expected: &mut BTreeMap<u64, i64>, time: usize) -> usize {
    let (store, keyspace) = Store::open(dir, options()).await.unwrap();
    let (handle, mut unreported) = (store.handle(), 0);
    for (&client, &session) in &reported.sessions {
        let acknowledged = reported.acknowledged.get(&client).copied().unwrap_or(0);
        let before = expected.entry(client).or_default();
        let least = *before + i64::try_from(acknowledged).unwrap();
        let value = handle.keyspace().value(format!("client {client}")).await.unwrap().unwrap_or(0);
        assert!((least..=least + 1).contains(&value), "client {client}, time {time}: {value}, not {least}");
        unreported += usize::from(value > least);
        // The client does not know whether its next request has been applied, and sends it again.
        let again = handle.apply_in_session_at(session, acknowledged + 1, request(client), Durability::Fsync);
        again.await.unwrap();
        let value = handle.keyspace().value(format!("client {client}")).await.unwrap();
        assert_eq!(value, Some(least + 1), "client {client}, time {time}");
        *before = least + 1;
    }
    let all = handle.keyspace().value(ALL).await.unwrap();
    assert_eq!(all.unwrap_or(0), expected.values().sum::<i64>(), "time {time}");
    store.end_earlier_sessions().await.unwrap();
    store.shutdown().await.unwrap();
    keyspace.shutdown().await;
    unreported
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_retried_is_applied_twice_in_a_process_that_is_killed() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("store");
    end_again_and_again(number(KILLS, 20), &dir, |requests| {
        run(process(&dir), requests, |process| process.kill().unwrap())
    });
}

/// File system in a file, whose power can fail.
struct Machine {
    image: PathBuf,
    root: PathBuf,
}

impl Machine {
    /// Returns `None` where nobody may mount a file system, or the tools for it are missing.
    fn start(dir: &Path) -> Option<Self> {
        let machine = Self { image: dir.join("image"), root: dir.join("root") };
        std::fs::create_dir(&machine.root).unwrap();
        std::fs::File::create(&machine.image).unwrap().set_len(256 << 20).unwrap();
        let is_there = succeeds("xfs_io", &["-V".as_ref()])
            && succeeds("mkfs.ext4", &["-q".as_ref(), &machine.image])
            && machine.mount();
        is_there.then_some(machine)
    }

    fn mount(&self) -> bool {
        succeeds("mount", &["-o".as_ref(), "loop".as_ref(), &self.image, &self.root])
    }

    /// Loses everything that was not synced, and lets every write fail from now on.
    fn fail(&self) {
        assert!(succeeds("xfs_io", &["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), &self.root]));
    }

    fn restart(&self) {
        assert!(succeeds("umount", &[&self.root]) && self.mount());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        succeeds("umount", &[&self.root]);
    }
}

fn succeeds(program: &str, arguments: &[&Path]) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Starts a machine, or says that there is none.
fn machine(dir: &Path) -> Option<Machine> {
    let machine = Machine::start(dir);
    if machine.is_none() {
        let mut log = std::io::stderr();
        let missing = "SKIPPED: failures of a real file system need root, loop devices, ext4 and xfs_io";
        writeln!(log, "{missing}").unwrap();
    }
    machine
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let outer = tempfile::tempdir().unwrap();
    let Some(machine) = machine(outer.path()) else { return };
    let dir = machine.root.join("store");
    end_again_and_again(number(POWER_FAILURES, 5), &dir, |requests| {
        let reported = run(process(&dir), requests, |process| {
            machine.fail();
            process.kill().unwrap();
        });
        machine.restart();
        reported
    });
}

/// Returns true if a process can be traced here, and says so if not.
fn can_trace() -> bool {
    let can = succeeds("strace", &["-o".as_ref(), "/dev/null".as_ref(), "true".as_ref()]);
    if !can {
        writeln!(std::io::stderr(), "SKIPPED: failing syncs need strace, and the right to trace").unwrap();
    }
    can
}

/// Returns a command that runs the process with all syncs failing from the one with this number on.
fn with_failing_syncs(dir: &Path, number: usize) -> Command {
    let process = process(dir);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", &format!("inject=fdatasync:error=EIO:when={number}+")])
        .arg(process.get_program())
        .args(process.get_args())
        .env(DIR, dir);
    command
}

#[test]
fn nothing_acknowledged_is_lost_when_syncs_fail() {
    if !can_trace() {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("store");
    end_again_and_again(5, &dir, |number| {
        // The process ends with the first error: those who wait learn that the outcome is unknown, or the store, which
        // syncs what it reads and what it begins behind that, refuses to open.
        let reported = run(with_failing_syncs(&dir, 20 + number), 0, |_process| {});
        let failure = reported.failure.clone().unwrap();
        let unknown = DurabilityError::UnknownOutcome.to_string();
        let refused = ["failed to make the log durable", "failed to make the recovered log durable"];
        assert!(failure == unknown || refused.contains(&&*failure), "{failure}");
        reported
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_disk_is_full() {
    let outer = tempfile::tempdir().unwrap();
    let Some(machine) = machine(outer.path()) else { return };
    let (dir, filler) = (machine.root.join("store"), machine.root.join("filler"));
    end_again_and_again(3, &dir, |requests| {
        // The process goes on until the space that it has reserved is used up.
        let reported = run(process(&dir), requests, |_process| {
            let mut file = std::fs::File::create(&filler).unwrap();
            while file.write_all(&[0; 4096]).is_ok() {}
        });
        std::fs::remove_file(&filler).unwrap();
        reported
    });
}
