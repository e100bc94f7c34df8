use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Model of a shard as a list, the entry used last at its end. Slow, and easy to verify.
struct Model {
    capacity: usize,
    list: Vec<(Key, Entry)>,
    counts: Stats,
}

impl Model {
    fn take(&mut self, key: &Key) -> Option<Entry> {
        let at = self.list.iter().position(|(other, _)| other == key)?;
        Some(self.list.remove(at).1)
    }

    fn remove(&mut self, key: &Key, now: Instant) -> Option<Entry> {
        let entry = self.take(key)?;
        if entry.1 > now {
            return Some(entry);
        }
        self.counts.expired += 1;
        None
    }

    fn get(&mut self, key: &Key, now: Instant) -> Option<Value> {
        let Some(entry) = self.remove(key, now) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        self.list.push((Key::clone(key), entry.clone()));
        Some(entry.0)
    }

    fn insert(&mut self, key: &Key, entry: Entry, now: Instant) {
        self.remove(key, now);
        if self.list.len() == self.capacity {
            let (_, (_, expires_at)) = self.list.remove(0);
            if expires_at > now {
                self.counts.evicted += 1;
            } else {
                self.counts.expired += 1;
            }
        }
        self.list.push((Key::clone(key), entry));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u8, u64),
    Get(u8),
    Remove(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..8_u8;
    prop_oneof![
        4 => (key.clone(), any::<u8>(), 0..20_u64).prop_map(|(key, value, ttl)| Step::Insert(key, value, ttl)),
        4 => key.clone().prop_map(Step::Get),
        1 => key.prop_map(Step::Remove),
        2 => (1..5_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn it_agrees_with_a_list(capacity in 1..6_usize, steps in prop::collection::vec(step(), 0..200)) {
        let mut shard = Shard::new(NonZeroUsize::new(capacity).unwrap());
        let mut model = Model { capacity, list: Vec::new(), counts: Stats::default() };
        let mut now = Instant::now();
        let name = |key: u8| Key::from(key.to_string());
        for step in steps {
            match step {
                Step::Insert(key, value, ttl) => {
                    let entry = (Value::from([value]), now + Duration::from_secs(ttl));
                    model.insert(&name(key), entry.clone(), now);
                    shard.insert(name(key), entry, now);
                }
                Step::Get(key) => prop_assert_eq!(shard.get(&name(key), now), model.get(&name(key), now)),
                Step::Remove(key) => {
                    let expected = model.remove(&name(key), now).map(|(value, _)| value);
                    prop_assert_eq!(shard.remove(&name(key), now), expected);
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            prop_assert_eq!(shard.stats(), Stats { entries: model.list.len(), ..model.counts });
            let order: Vec<_> = shard.entries.iter().rev().map(|(key, _)| key).collect();
            prop_assert_eq!(order, model.list.iter().map(|(key, _)| key).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_hit_rate_is_of_all_shards_lookups_together() {
    let shards = [(1, 0), (0, 3), (0, 0)].map(|(hits, misses)| Stats { hits, misses, ..Stats::default() });
    let rates = shards.map(|stats| stats.hit_rate_percent());
    assert_eq!((rates, shards.into_iter().sum::<Stats>().hit_rate_percent()), ([100.0, 0.0, 0.0], 25.0));
}
