use counter_protocol::Count;
use serde::{Deserialize, Serialize};

use super::page::{PAGE_ROWS, slots};
use super::{BUCKETS, Bucket, Digest, Digests, Ledger, Place, entry_digest, mix};

/// Number of parts that a part of a column is divided into.
pub const FAN_OUT: usize = 1 << FAN_OUT_BITS;

/// Number of entries up to which a part that differs is sent whole: they are hardly longer than the digests of its
/// divisions.
pub(crate) const LEAF_ENTRIES: usize = 8;

const FAN_OUT_BITS: u32 = 4;

/// Length of a bucket's path, in bits.
const BUCKET_BITS: u32 = BUCKETS.ilog2();

/// Level of the smallest parts. The path of one is the whole position of its names, which has 32 bits.
const LAST_LEVEL: u8 = 6;

const _: () = assert!(BUCKET_BITS + FAN_OUT_BITS * LAST_LEVEL as u32 == u32::BITS);

/// Salted digests of the parts that a part is divided into, each a little-endian number. A part without entries has
/// zero.
pub type PartDigests = [[u8; 4]; FAN_OUT];

/// Parts of a column on one level, whose divisions are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Number that the digests depend on.
    pub salt: u64,
    /// Level of the parts. That of buckets is 0.
    pub level: u8,
    /// Path of each part, sorted: the first bits of the positions of its names, 8 and 4 more for each level.
    pub paths: Vec<u32>,
}

/// Entries of a column that a comparison looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that the other ledger may lack.
    All,
    /// Those that were relayed. The other ledger is the replica's own: where both are equal, they are marked as sent
    /// by the replica.
    Relayed,
}

/// Decision about a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Equal,
    /// It differs, and its entries are to be sent.
    Send,
    /// It differs, and to divide it costs less than to send all of its entries.
    Divide,
}

/// Comparisons by parts of a column.
///
/// The hashes of names make a column a tree. Its root is divided into buckets, which are the parts of level 0, and
/// every other part into [`FAN_OUT`] parts of the next level. All positions in a part begin with the bits of its path.
/// The digests of buckets are maintained; those of smaller parts are computed when they are compared.
impl Ledger {
    /// Compares the buckets of a column with those of another ledger. Calls `found` for each entry that is to be sent,
    /// and returns the paths of buckets that are to be divided.
    ///
    /// # Panics
    /// If there is no such column.
    pub(crate) fn compare_buckets(
        &mut self,
        column: u32,
        theirs: &Digests,
        scope: Scope,
        mut found: impl FnMut(Place),
    ) -> Vec<u32> {
        let Self { buckets, pages, replicas, .. } = self;
        let mut divided = Vec::new();
        for (path, bucket) in (0..=u8::MAX).zip(buckets) {
            let Some(part) = bucket.columns.get(&column) else { continue };
            let theirs = theirs.get(&path).copied().unwrap_or_default();
            let indices = part.pages.iter().map(|(_, page)| *page);
            let entries =
                indices.clone().map(|page| pages[page as usize].mask(scope).count_ones() as usize).sum();
            match verdict(part.digest, theirs, entries, 0) {
                Verdict::Equal if scope == Scope::Relayed => {
                    let confirmed: u64 = indices.map(|page| pages[page as usize].confirm()).sum();
                    replicas[column as usize].relayed -= confirmed;
                }
                Verdict::Equal => {}
                Verdict::Send => {
                    for page in indices {
                        slots(pages[page as usize].mask(scope)).for_each(|slot| found(Place { page, slot }));
                    }
                }
                Verdict::Divide => divided.push(u32::from(path)),
            }
        }
        divided
    }

    /// Returns the digests of the divisions of these parts.
    pub(crate) fn part_digests(&self, column: u32, parts: &Parts) -> Vec<PartDigests> {
        let mut digests = vec![[0; FAN_OUT]; parts.paths.len()];
        self.visit_parts(column, parts, |(part, division), _, digest| {
            add(&mut digests[part][division], digest)
        });
        digests.into_iter().map(|divisions| divisions.map(u32::to_le_bytes)).collect()
    }

    /// Compares the divisions of these parts with those of another ledger, of which missing ones count as zero. Calls
    /// `found` for each entry that is to be sent, and returns the paths of divisions that are to be divided further.
    ///
    /// # Panics
    /// If there is no such column.
    pub(crate) fn compare_parts(
        &mut self,
        column: u32,
        parts: &Parts,
        theirs: &[PartDigests],
        scope: Scope,
        mut found: impl FnMut(Place),
    ) -> Vec<u32> {
        let mut ours = vec![[(0, 0); FAN_OUT]; parts.paths.len()];
        let mut places = Vec::new();
        self.visit_parts(column, parts, |(part, division), place, entry| {
            let (digest, entries) = &mut ours[part][division];
            add(digest, entry);
            if self.pages[place.page as usize].mask(scope) & 1 << place.slot != 0 {
                *entries += 1;
                places.push((part, division, place));
            }
        });
        let verdict = |part: usize, division: usize| {
            let theirs = theirs.get(part).map_or(0, |theirs| u32::from_le_bytes(theirs[division]));
            let (digest, entries) = ours[part][division];
            verdict(digest.into(), theirs.into(), entries, parts.level + 1)
        };
        for (part, division, place) in places {
            match verdict(part, division) {
                Verdict::Equal if scope == Scope::Relayed => self.confirm(place),
                Verdict::Equal | Verdict::Divide => {}
                Verdict::Send => found(place),
            }
        }
        let divisions = parts.paths.iter().enumerate().flat_map(|(part, path)| {
            let to_path = move |(division, bits)| (part, division, path << FAN_OUT_BITS | bits);
            (0..FAN_OUT).zip(0_u32..).map(to_path)
        });
        let divided = divisions.filter(|(part, division, _)| verdict(*part, *division) == Verdict::Divide);
        divided.map(|(.., path)| path).collect()
    }

    /// Returns about how many entries a column has in a bucket, all of which are read to compare a part of it.
    pub(crate) fn entries_in(&self, column: u32, bucket: usize) -> usize {
        let part = self.buckets.get(bucket).and_then(|bucket| bucket.columns.get(&column));
        part.map_or(0, |part| part.pages.len() * PAGE_ROWS as usize)
    }

    /// Marks an entry as sent by its replica.
    fn confirm(&mut self, Place { page, slot }: Place) {
        let page = &mut self.pages[page as usize];
        page.set_relayed(slot, false);
        self.replicas[page.column as usize].relayed -= 1;
    }

    /// Calls `visit` for each entry in these parts, with the indices of its part and division, its place and its
    /// salted digest.
    fn visit_parts(&self, column: u32, parts: &Parts, mut visit: impl FnMut((usize, usize), Place, u32)) {
        let Parts { salt, level, ref paths } = *parts;
        // Another node may ask for what does not exist.
        if level >= LAST_LEVEL {
            return;
        }
        let shift = FAN_OUT_BITS * u32::from(LAST_LEVEL - level - 1);
        let mut first = 0;
        for paths in paths.chunk_by(|a, b| bucket_of_part(level, *a) == bucket_of_part(level, *b)) {
            let bucket = self.buckets.get(bucket_of_part(level, paths[0]));
            for (place, hash, count) in
                bucket.into_iter().flat_map(|bucket| self.bucket_counts(bucket, column))
            {
                let path = position(hash) >> shift;
                if let Ok(part) = paths.binary_search(&(path >> FAN_OUT_BITS)) {
                    let division = path as usize % FAN_OUT;
                    visit((first + part, division), place, salted(salt, entry_digest(hash, count)));
                }
            }
            first += paths.len();
        }
    }

    /// Returns the entries of a column's part of a bucket, with the hashes of their names.
    fn bucket_counts<'a>(
        &'a self,
        bucket: &'a Bucket,
        column: u32,
    ) -> impl Iterator<Item = (Place, u64, Count)> + 'a {
        let pages = bucket.columns.get(&column).into_iter().flat_map(|part| &part.pages);
        pages.flat_map(move |(_, index)| {
            let page = &self.pages[*index as usize];
            page.entries().map(move |(slot, count)| {
                let (key, ()) = bucket.names.at(page.row(slot)).expect("rows are never taken out");
                (Place { page: *index, slot }, key.hash(), count)
            })
        })
    }
}

fn verdict(ours: Digest, theirs: Digest, entries: usize, level: u8) -> Verdict {
    match () {
        () if ours == theirs => Verdict::Equal,
        () if theirs == 0 || entries <= LEAF_ENTRIES || level >= LAST_LEVEL => Verdict::Send,
        () => Verdict::Divide,
    }
}

/// Returns the position of a name, whose highest bits are those of its bucket.
const fn position(hash: u64) -> u32 {
    (hash & 0xffff_ffff) as u32
}

/// Returns the bucket that a part belongs to.
pub(crate) const fn bucket_of_part(level: u8, path: u32) -> usize {
    (path >> (FAN_OUT_BITS * level as u32)) as usize
}

/// Returns an entry's digest in a comparison with this salt, so that entries that collide in one do not in the next.
const fn salted(salt: u64, digest: Digest) -> u32 {
    (mix(digest ^ mix(salt)) >> 32) as u32
}

const fn add(sum: &mut u32, digest: u32) {
    *sum = sum.wrapping_add(digest);
}

#[cfg(test)]
mod tests;
