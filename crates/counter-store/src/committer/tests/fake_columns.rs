use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use counter_keyspace::{Entry, EntryPage, KeyspaceError};
use counter_protocol::Count;

use crate::replicas::{ColumnEnds, ColumnPage, ColumnSink, Columns, ReplicaKey, SortedColumns};

type Place = (ReplicaKey, Box<[u8]>);

/// Columns of other replicas, without actors. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeColumns(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    columns: SortedColumns,
    dirty: BTreeSet<Place>,
    handed_out: BTreeSet<Place>,
}

/// Returns one of a few replicas.
pub(super) fn replica(n: u8) -> ReplicaKey {
    ReplicaKey { node: format!("node-{}", n % 3).into(), incarnation: u64::from(n % 3) << 40 }
}

impl FakeColumns {
    /// Creates columns that the store has already.
    pub(super) fn new(columns: SortedColumns) -> Self {
        Self(Arc::new(Mutex::new(State { columns, ..State::default() })))
    }

    pub(super) fn columns(&self) -> SortedColumns {
        self.state().columns.clone()
    }

    /// Sets an entry, or corrects it away.
    pub(super) fn set(&self, name: u8, operations: u64) {
        let (replica, name) = (replica(name), Box::from(vec![name; usize::from(name % 5) * 9 + 1]));
        let mut state = self.state();
        state.columns.set(&replica, &name, Count { value: -7, operations });
        state.dirty.insert((replica, name));
    }

    /// Forgets all entries, and tells nobody.
    pub(super) fn forget(&self) {
        self.state().columns = SortedColumns::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn take(&mut self, most: usize) -> ColumnPage {
        let mut page = ColumnPage::default();
        for _ in 0..most {
            let Some(place) = self.dirty.pop_first() else { break };
            let (replica, name) = &place;
            let count = self.columns.0.get(replica).and_then(|column| column.get(name)).copied();
            let mut entries = EntryPage::default();
            entries.push(Entry { name, count: count.unwrap_or_default(), deadline_ms: None });
            page.columns.push((replica.clone(), entries));
            self.handed_out.insert(place);
        }
        page.left = self.dirty.len();
        page
    }
}

impl Columns for FakeColumns {
    async fn pull(&mut self, most: usize) -> Result<ColumnPage, KeyspaceError> {
        Ok(self.state().take(most.min(3)))
    }

    async fn finish(&mut self) -> Result<(ColumnPage, ColumnEnds), KeyspaceError> {
        let mut state = self.state();
        let page = state.take(usize::MAX);
        let changed: BTreeSet<_> = state.handed_out.iter().map(|(replica, _)| replica.clone()).collect();
        let totals = |replica: ReplicaKey| (replica.clone(), state.columns.totals(&replica));
        Ok((page, changed.into_iter().map(totals).collect()))
    }

    fn confirm(&mut self) {
        self.state().handed_out.clear();
    }

    fn retry(&mut self) {
        let mut state = self.state();
        let mut handed_out = mem::take(&mut state.handed_out);
        state.dirty.append(&mut handed_out);
    }

    fn reset(&mut self) {
        let mut state = self.state();
        state.handed_out.clear();
        let places = state.columns.0.iter().flat_map(|(replica, column)| {
            column.keys().map(|name| (replica.clone(), name.clone())).collect::<Vec<_>>()
        });
        let places = places.collect();
        state.dirty = places;
    }

    async fn snapshot_page(
        &mut self,
        from: u64,
        _: usize,
    ) -> Result<(ColumnPage, Option<u64>), KeyspaceError> {
        let state = self.state();
        // Positions are first bytes of names, so that others may come and go.
        let end = from + 64;
        let mut page = ColumnPage::default();
        for (replica, column) in &state.columns.0 {
            let mut entries = EntryPage::default();
            for (name, &count) in column.iter().filter(|(name, _)| (from..end).contains(&name[0].into())) {
                entries.push(Entry { name, count, deadline_ms: None });
            }
            page.columns.push((replica.clone(), entries));
        }
        Ok((page, (end < 256).then_some(end)))
    }
}
