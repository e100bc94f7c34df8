//! Children that are told before they are stopped for good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_supervision::{ChildSpec, Intensity, Options, SupervisorHandle};

type Log = Arc<Mutex<Vec<String>>>;

fn log(log: &Log, line: String) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

/// Actor that writes down that it has stopped.
struct Stopping(&'static str, Log);

struct Nothing;

impl Message for Nothing {}

impl Actor for Stopping {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Nothing>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        log(&self.1, format!("{} stopped", self.0));
        Ok(())
    }
}

fn child(id: &'static str, lines: &Log) -> ChildSpec {
    let (started, retired) = (Arc::clone(lines), Arc::clone(lines));
    let start = move |supervisor| {
        let lines = Arc::clone(&started);
        async move {
            let (actor, _task) = Actor::spawn_linked(None, Stopping(id, lines), (), supervisor).await?;
            Ok(actor.get_cell())
        }
    };
    ChildSpec::new(id, start).on_retire(move || log(&retired, format!("{id} retires")))
}

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut sorted: Vec<_> = lines.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}

/// Returns the log of two children whose supervisor ends like this.
async fn end(options: Options, end: impl AsyncFnOnce(&SupervisorHandle)) -> Vec<String> {
    let lines = Log::default();
    let children = vec![child("a", &lines), child("b", &lines)];
    let supervisor = SupervisorHandle::start(options, children).await.expect("they start");
    end(&supervisor).await;
    lines.lock().expect("nobody panics").clone()
}

#[tokio::test(start_paused = true)]
async fn all_children_retire_before_the_first_is_stopped() {
    let lines = end(Options::default(), async |supervisor| supervisor.shutdown().await).await;
    assert_eq!(sorted(&lines[..2]), ["a retires", "b retires"]);
    assert_eq!(lines[2..], ["b stopped", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn children_retire_when_restarts_are_given_up() {
    let intensity = Intensity { restarts: 0, within: Duration::from_secs(60) };
    let options = Options { intensity, ..Options::default() };
    let give_up = async |supervisor: &SupervisorHandle| {
        supervisor.actor().get_children()[0].kill();
        supervisor.actor().wait(None).await.unwrap();
    };
    let lines = end(options, give_up).await;
    assert_eq!(sorted(&lines[..2]), ["a retires", "b retires"]);
    assert_eq!(lines.len(), 3, "one was killed, the other stopped: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_removed_retires_first_and_the_others_do_not() {
    let lines = Log::default();
    let children = vec![child("a", &lines), child("b", &lines)];
    let supervisor = SupervisorHandle::start(Options::default(), children).await.unwrap();
    assert!(supervisor.remove_child("a").await.unwrap());
    assert_eq!(*lines.lock().unwrap(), ["a retires", "a stopped"]);
    supervisor.shutdown().await;
}
