use std::time::Duration;

use counter_keyspace::{Clock, Reading};

use crate::coverage::Kind;
use crate::world::{Life, World};

/// Time of day at which every simulation begins, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_800_000_000_000;

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
            let panics = is_shard && std::mem::take(&mut state.nodes[self.life.node].panics);
            if panics {
                state.coverage.fired(Kind::ShardPanicked);
                state.note(format_args!("n{} shard panics", self.life.node));
            }
            let wall = Duration::from_millis(BEGINNING_MS) + state.elapsed();
            let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
            let offset_ms = state.nodes[self.life.node].clock_offset_ms;
            (
                Reading { wall_ms: wall_ms.saturating_add_signed(offset_ms), monotonic: state.elapsed() },
                panics,
            )
        };
        if panics {
            // Without a message from the panic hook.
            std::panic::resume_unwind(Box::new("planned panic"));
        }
        now
    }
}
