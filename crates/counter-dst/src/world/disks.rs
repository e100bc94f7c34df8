//! The disks of simulated nodes: faults, crashes and replacement.

use counter_store::disk::{Disk, MemoryDisk};
use fastrand::Rng;
use tokio::time::Instant;

use super::State;
use crate::coverage::Kind;
use crate::random::mix;

impl State {
    /// Lets a disk be written again that was full for long enough.
    pub(super) fn add_space(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if node.disk_is_full_until.is_some_and(|until| until <= Instant::now()) {
            node.disk.add_space();
        }
    }

    /// Flips a bit of a file on a node's disk, if there is any.
    pub(crate) fn rot(&mut self, node: usize, place: u64) {
        let this = &mut self.nodes[node];
        let mut files = this.disk.list().unwrap_or_default();
        files.sort_unstable();
        let mut rng = Rng::with_seed(place);
        let Some(name) = rng.choice(&files) else { return };
        let Some(mut bytes) = this.disk.read(name).filter(|bytes| !bytes.is_empty()) else { return };
        // Most of a file is space that is reserved.
        let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let Some(&at) = rng.choice(&used) else { return };
        bytes[at] ^= 1 << rng.u8(..8);
        this.disk.put(name, bytes);
        this.has_rotted = true;
        self.coverage.fired(Kind::Rot);
        self.note(format_args!("n{node} byte {at} of {name} rots"));
    }

    /// Gives a node an empty disk.
    pub(crate) fn replace_disk(&mut self, node: usize) {
        let seed = mix(self.seed, self.number());
        let this = &mut self.nodes[node];
        (this.disk, this.has_rotted, this.disk_is_full_until) = (MemoryDisk::new(seed), false, None);
        let name = this.name.clone();
        self.oracle.lost_disk(&name);
        self.note(format_args!("n{node} gets a new disk"));
    }
}
