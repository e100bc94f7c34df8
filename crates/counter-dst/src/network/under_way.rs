//! Messages under way between nodes.

use counter_cluster::{MAX_FRAME_BYTES, WINDOW};

use super::SimulatedConnection;
use crate::message::Message;
use crate::world::{Life, World};

/// Counts requests of a node that are under way, as long as it waits for them.
pub(super) struct UnderWay {
    world: World,
    key: Option<(Life, u64, u64)>,
}

impl UnderWay {
    pub(super) fn begin(connection: &SimulatedConnection, request: &Message) -> Self {
        let world = connection.world.clone();
        let kept = if request.bytes().len() > MAX_FRAME_BYTES {
            Err(format!("a message has {} bytes", request.bytes().len()))
        } else {
            Ok(())
        };
        world.check(kept);
        let key = request.is_batch().then_some((connection.from, connection.endpoint, connection.epoch));
        if let Some(key) = key {
            let under_way = world.lock().links.batches(key, 1);
            let kept = (under_way <= WINDOW).then_some(());
            world.check(kept.ok_or_else(|| format!("{under_way} batches are under way to one node")));
        }
        Self { world, key }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.world.lock().links.batches(key, -1);
        }
    }
}

/// Counts messages of a life of a node until they have arrived or are lost. Some arrive when it is over.
pub(super) struct OnItsWay {
    world: World,
    of: Life,
}

impl OnItsWay {
    pub(super) fn begin(world: &World, of: Life) -> Self {
        world.lock().links.messages(of, 1);
        Self { world: world.clone(), of }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.world.lock().links.messages(self.of, -1);
    }
}
