use counter_keyspace::{Clock, Reading};

use crate::coverage::Kind;
use crate::world::{Life, World};

/// Time of day at which every simulation begins, in milliseconds since the Unix epoch.
pub(crate) const BEGINNING_MS: u64 = 1_800_000_000_000;

/// Clock of a node, which may jump. A shard that looks at it may be made to panic.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    pub(crate) world: World,
    pub(crate) life: Life,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Reading {
        let (now, panics) = {
            let mut state = self.world.lock();
            // A node looks at its clock when it starts, too.
            let is_shard = state.lives(self.life) && state.nodes[self.life.node].serving.is_some();
            let panics_after = &mut state.nodes[self.life.node].panics_after;
            let panics = is_shard && *panics_after == Some(0);
            *panics_after = panics_after.and_then(|looks| looks.checked_sub(u32::from(is_shard)));
            if panics {
                state.coverage.fired(Kind::ShardPanicked);
                state.note(format_args!("n{} shard panics", self.life.node));
            }
            let (wall_ms, _) = state.clock_of(self.life.node);
            (Reading { wall_ms, monotonic: state.elapsed() }, panics)
        };
        if panics {
            // Without a message from the panic hook.
            std::panic::resume_unwind(Box::new("planned panic"));
        }
        now
    }
}
