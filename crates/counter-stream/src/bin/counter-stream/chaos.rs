//! The command `chaos`: members are killed, frozen and stopped in random order, by seed.

use std::time::Duration;

use counter_cli::{Completion, Failure, Stop};
use fastrand::Rng;

use crate::cli::ChaosArguments;
use crate::rehearsal::{Brokers, MEMBERS, Rehearsal, Scene, say};

/// Fails unless the counts are exact.
pub(crate) async fn run(arguments: ChaosArguments, mut stop: Stop) -> Result<Completion, Failure> {
    tokio::select! {
        disturbed = disturb(arguments) => { disturbed?; Ok(Completion::Complete) }
        signal = stop.wait() => Ok(Completion::Partial(signal, "members are killed".into())),
    }
}

async fn disturb(arguments: ChaosArguments) -> anyhow::Result<()> {
    let ChaosArguments { brokers, topic, partitions, session_timeout: session, faults, seed } = arguments;
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{faults} faults, --seed {seed}"))?;
    let (addresses, _within) = match brokers {
        Some(brokers) => (brokers, None),
        None => {
            let within = Brokers::start(&topic, i32::try_from(partitions)?).await?;
            (within.addresses().to_owned(), Some(within))
        }
    };
    let directory = tempfile::tempdir()?;
    let scene = Scene { brokers: addresses, topic, partitions, session };
    let (mut random, mut rehearsal) =
        (Rng::with_seed(seed), Rehearsal::start(&scene, directory.path()).await?);
    for fault in 1..=faults {
        disturb_once(&mut rehearsal, &mut random, fault, session).await?;
        // Often enough the next fault comes while the group has yet to recover from this one.
        if random.bool() {
            rehearsal.shared(&MEMBERS).await?;
        }
    }
    rehearsal.shared(&MEMBERS).await?;
    rehearsal.finish().await
}

async fn disturb_once(
    rehearsal: &mut Rehearsal,
    random: &mut Rng,
    fault: u32,
    session: Duration,
) -> anyhow::Result<()> {
    let victim = MEMBERS[random.usize(..MEMBERS.len())];
    // Half of them are over before the group has noticed.
    let time = session.mul_f64(2.0 * random.f64());
    let seconds = time.as_secs_f64();
    match random.u8(..3) {
        0 => {
            say(&format!("fault {fault}: {victim} is killed, and starts again after {seconds:.1} s"))?;
            rehearsal.kill(victim).await?;
            rehearsal.watch(time).await?;
            rehearsal.start_again(victim).await
        }
        1 => {
            say(&format!("fault {fault}: {victim} is frozen for {seconds:.1} s"))?;
            rehearsal.freeze(victim)?;
            rehearsal.watch(time).await?;
            rehearsal.resume(victim)
        }
        _ => {
            say(&format!("fault {fault}: {victim} leaves, and comes back after {seconds:.1} s"))?;
            rehearsal.stop(victim).await?;
            rehearsal.watch(time).await?;
            rehearsal.start_again(victim).await
        }
    }
}
