//! The run without arguments: brokers and three members as processes of their own, one of which is killed and another
//! one frozen beyond its session, while increments are produced.

use std::time::Duration;

use counter_cli::{Completion, Failure, Stop};

use crate::rehearsal::{Brokers, MEMBERS, Rehearsal, Scene, say};

const TOPIC: &str = "visits";
const PARTITIONS: usize = 6;
/// Time without a sign of life after which a member is expelled. The brokers wait for a second less before they give
/// partitions to those who have joined.
const SESSION: Duration = Duration::from_secs(4);

/// Fails unless the counts are exact.
pub(crate) async fn run(mut stop: Stop) -> Result<Completion, Failure> {
    tokio::select! {
        rehearsed = rehearse() => { rehearsed?; Ok(Completion::Complete) }
        signal = stop.wait() => Ok(Completion::Partial(signal, "members are killed".into())),
    }
}

async fn rehearse() -> anyhow::Result<()> {
    let brokers = Brokers::start(TOPIC, PARTITIONS).await?;
    let directory = tempfile::tempdir()?;
    let scene = Scene {
        brokers: brokers.addresses().into(),
        topic: TOPIC.into(),
        partitions: PARTITIONS,
        session: SESSION,
    };
    say("three members share 6 partitions")?;
    let mut rehearsal = Rehearsal::start(&scene, directory.path()).await?;

    say("b is killed (SIGKILL); the others take its partitions over, from what they hold")?;
    rehearsal.kill("b").await?;
    let took = rehearsal.shared(&["a", "c"]).await?;
    say(&format!("taken over after {:.1} s, of which the group waits for b for 4.0", took.as_secs_f64()))?;

    say("b starts again, from what it has on disk and what the others tell it")?;
    rehearsal.start_again("b").await?;
    rehearsal.shared(&MEMBERS).await?;

    say("c is frozen (SIGSTOP) beyond its session")?;
    rehearsal.freeze("c")?;
    rehearsal.shared(&["a", "b"]).await?;
    say("c goes on (SIGCONT), does not know yet that its partitions are gone, and joins again")?;
    rehearsal.resume("c")?;
    rehearsal.shared(&MEMBERS).await?;
    rehearsal.finish().await
}
