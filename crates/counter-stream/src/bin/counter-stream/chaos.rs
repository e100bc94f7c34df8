//! The command `chaos`: members are killed, frozen and stopped in random order, by seed, while brokers become slow now
//! and then.

use std::time::Duration;

use anyhow::Context;
use counter_cli::{Completion, Failure, Stop};
use fastrand::Rng;

use crate::cli::ChaosArguments;
use crate::rehearsal::{BROKERS, Brokers, MEMBERS, Rehearsal, Scene, say};

/// Number of faults, on average, after which the group may recover before the next one.
const RESTS: u8 = 4;
/// Interval between looks at how many records there are, once all faults are over.
const LOOK: Duration = Duration::from_secs(1);

/// Fails unless the counts are exact. After a signal there are no more faults and no more records.
pub(crate) async fn run(arguments: ChaosArguments, stop: Stop) -> Result<Completion, Failure> {
    let ChaosArguments { faults, records, partitions, topic, .. } = arguments;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{faults} faults, --seed {seed}"))?;
    let (addresses, own) = match arguments.brokers {
        Some(brokers) => (brokers, None),
        None => {
            let brokers = Brokers::start(&topic, partitions).await?;
            (brokers.addresses().to_owned(), Some(brokers))
        }
    };
    let directory = tempfile::tempdir()?;
    let scene = Scene { brokers: addresses, topic, partitions, session: arguments.session_timeout };
    let mut chaos = Chaos {
        rehearsal: Rehearsal::start(&scene, directory.path()).await?,
        brokers: own,
        random: Rng::with_seed(seed),
        session: scene.session,
        leave_at_rest: arguments.leave_at_rest,
        tally: Tally::default(),
    };
    for number in 1..=faults {
        if stop.requested().is_some() {
            break;
        }
        chaos.disturb_once(number).await?;
        // Often enough the next fault comes while the group has yet to recover from this one.
        if chaos.random.u8(..RESTS) == 0 {
            chaos.rehearsal.shared(&MEMBERS).await?;
        }
    }
    while chaos.rehearsal.produced() < records && stop.requested().is_none() {
        chaos.rehearsal.watch(LOOK).await?;
    }
    chaos.rehearsal.shared(&MEMBERS).await?;
    let Tally { kills, freezes, leaves, delays } = chaos.tally;
    let tally = format!("{kills} kills, {freezes} freezes, {leaves} leaves, {delays} delays of a broker");
    say(&tally)?;
    chaos.rehearsal.finish().await?;
    Ok(stop.requested().map_or(Completion::Complete, |signal| Completion::Partial(signal, tally)))
}

struct Chaos {
    rehearsal: Rehearsal,
    /// Brokers of this run.
    brokers: Option<Brokers>,
    random: Rng,
    session: Duration,
    leave_at_rest: bool,
    tally: Tally,
}

/// Number of faults of each kind.
#[derive(Default)]
struct Tally {
    kills: u32,
    freezes: u32,
    leaves: u32,
    delays: u32,
}

impl Chaos {
    async fn disturb_once(&mut self, number: u32) -> anyhow::Result<()> {
        let Self { rehearsal, brokers, random, session, leave_at_rest, tally } = self;
        let victim = MEMBERS[random.usize(..MEMBERS.len())];
        // Most of them are over before the group has noticed.
        let time = session.mul_f64(2.0 * random.f64().powi(2));
        let seconds = time.as_secs_f64();
        match random.u8(..if brokers.is_some() { 4 } else { 3 }) {
            0 => {
                say(&format!("fault {number}: {victim} is killed, and starts again after {seconds:.1} s"))?;
                tally.kills += 1;
                rehearsal.kill(victim).await?;
                rehearsal.watch(time).await?;
                rehearsal.start_again(victim).await
            }
            1 => {
                say(&format!("fault {number}: {victim} is frozen for {seconds:.1} s"))?;
                tally.freezes += 1;
                rehearsal.freeze(victim)?;
                rehearsal.watch(time).await?;
                rehearsal.resume(victim)
            }
            2 => {
                say(&format!("fault {number}: {victim} leaves, and comes back after {seconds:.1} s"))?;
                tally.leaves += 1;
                if *leave_at_rest {
                    rehearsal.shared(&MEMBERS).await?;
                    // Whoever is gone and still counts as a member is expelled within a session, and the rebalance that
                    // follows takes no longer.
                    rehearsal.watch(2 * *session).await?;
                }
                rehearsal.stop(victim).await?;
                rehearsal.watch(time).await?;
                rehearsal.start_again(victim).await
            }
            _ => {
                // Long enough for a producer to give up.
                let seconds = session.as_secs_f64();
                let (brokers, broker) = (brokers.as_mut().context("no brokers")?, random.i32(1..=BROKERS));
                say(&format!("fault {number}: broker {broker} is slow for {seconds:.1} s"))?;
                tally.delays += 1;
                brokers.slow_down(broker).await?;
                rehearsal.watch(*session).await?;
                brokers.speed_up(broker).await
            }
        }
    }
}
