//! What goes when space is needed, and why. Spec: RFC 0009, section "Classes, quotas and eviction".

use core::{fmt, time::Duration};
use std::collections::{BTreeMap, BTreeSet};

use samara_base::BlobId;

use crate::{
    Class, Store,
    class::hours,
    error::StoreError,
    index::Table,
    inner::{Inner, extent_bytes, locked},
    lease::Keepers,
    limits::EVICTIONS_MAX,
    row::{ChunkKey, ChunkRow, ClassRow, Extent, MapRow, PartialPlace, PartialRow, Place, id_of},
};

/// What asking for a blob again costs, whatever its size. Unit: bytes.
const REQUEST_BYTES: u64 = 64 << 10;
/// Fraction bits of a benefit.
const BENEFIT_SHIFT: u32 = 24;
/// Rows of a map looked at together.
const MAP_ROWS: usize = 16;
/// Rows looked at per page.
const PAGE_ROWS: usize = 1024;

/// A blob that is to go, or went, because space is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Eviction {
    /// The blob.
    pub id: BlobId,
    /// For whom it was held.
    pub class: Class,
    /// What removing it gives back in segments, headers and outboard included. Chunks that other blobs
    /// have too do not count. Unit: bytes.
    pub bytes: u64,
    /// Whether only a part of it is held.
    pub partial: bool,
    /// Hours in which a use was noted.
    pub uses: u32,
    /// Time since the last of them, in whole hours; `None`: no use was ever noted.
    pub idle: Option<Duration>,
    /// What it is worth to keep it; what is worth least goes first. See [`Store::explain_eviction`].
    pub benefit: u64,
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.partial { ", partial" } else { "" };
        write!(f, "{}{part}, {} bytes, ", self.class, self.bytes)?;
        let Some(idle) = self.idle else { return f.write_str("never used") };
        let hours = idle.as_secs() / 3600;
        let (number, unit) = if hours < 48 { (hours, "hour") } else { (hours / 24, "day") };
        let plural = |number: u64| if number == 1 { "" } else { "s" };
        write!(f, "last used {number} {unit}{} ago, ", plural(number))?;
        write!(f, "in {} hour{} so far", self.uses, plural(self.uses.into()))
    }
}

impl Store {
    /// The blobs of a class that would go if `needed` bytes of segments were needed, first one first,
    /// at most 1,024. Nothing is changed; [`evict`](Self::evict) with the same arguments removes exactly
    /// these, if nothing else happens meanwhile.
    ///
    /// What has a name, a pin or a lease at `now` stays, and so does what is being received, and what
    /// is (also) in a file of the user's. Of the others goes what is worth least:
    ///
    /// ```text
    /// benefit = (uses + 1) × (bytes + 64 KiB) / bytes / (hours since the last use + 1)
    /// ```
    ///
    /// where `bytes` is the blob's size, or what is held of a partial one. That is how much transfer
    /// each byte kept is going to spare per hour if uses go on as they went: a use costs the blob's
    /// bytes and a request, and counts less the longer ago it was (a relative of GreedyDual-Size with
    /// frequency). Equals go in the order of their ids.
    ///
    /// Looks at every blob of the class once: two to four look-ups in the index each, and memory for
    /// what it returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn explain_eviction(
        &self,
        needed: u64,
        class: Class,
        now: Duration,
    ) -> Result<Vec<Eviction>, StoreError> {
        self.inner.tell(now);
        self.inner.victims(needed, class, now.as_secs())
    }

    /// Removes what [`explain_eviction`](Self::explain_eviction) lists, and returns it. If that gives
    /// fewer than `needed` bytes back, either there is no more, or the list was full: ask again.
    /// Durable, and the space given back, on return.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Some of the blobs may be gone then.
    pub fn evict(
        &self,
        needed: u64,
        class: Class,
        now: Duration,
    ) -> Result<Vec<Eviction>, StoreError> {
        self.inner.alive()?;
        self.inner.tell(now);
        self.inner.evict(needed, class, now.as_secs())
    }
}

/// A blob that may go, with how it ranks.
type Candidate = (u64, BlobId);

/// The candidates that are worth least, as many as give back enough.
struct Least {
    needed: u64,
    bytes: u64,
    found: BTreeSet<Candidate>,
    evictions: BTreeMap<BlobId, Eviction>,
}

impl Least {
    /// Whether a candidate of this rank would be among them.
    fn takes(&self, candidate: Candidate) -> bool {
        let full = self.bytes >= self.needed || self.found.len() >= EVICTIONS_MAX;
        !full || self.found.last().is_some_and(|last| candidate < *last)
    }

    fn add(&mut self, eviction: Eviction) {
        let candidate = (eviction.benefit, eviction.id);
        self.bytes = self.bytes.saturating_add(eviction.bytes);
        self.found.insert(candidate);
        self.evictions.insert(eviction.id, eviction);
        // Those worth most are not needed any more.
        while let Some(last) = self.found.last().copied() {
            let bytes = self.evictions.get(&last.1).map_or(0, |eviction| eviction.bytes);
            let rest = self.bytes.saturating_sub(bytes);
            if rest < self.needed && self.found.len() <= EVICTIONS_MAX {
                break;
            }
            self.found.remove(&last);
            self.evictions.remove(&last.1);
            self.bytes = rest;
        }
    }

    fn into_list(mut self) -> Vec<Eviction> {
        let evictions = self.found.iter().filter_map(|(_, id)| self.evictions.remove(id));
        evictions.collect()
    }
}

/// What it is worth to keep a blob; see [`Store::explain_eviction`].
fn benefit(uses: u32, bytes: u64, idle_hours: u32) -> u64 {
    let bytes = u128::from(bytes.max(1));
    let spared = (u128::from(uses) + 1) * (bytes + u128::from(REQUEST_BYTES));
    let kept = bytes * (u128::from(idle_hours) + 1);
    u64::try_from((spared << BENEFIT_SHIFT) / kept).unwrap_or(u64::MAX)
}

impl Inner {
    /// What would go; see [`Store::explain_eviction`]. `now` in seconds since 1970.
    fn victims(&self, needed: u64, class: Class, now: u64) -> Result<Vec<Eviction>, StoreError> {
        let mut least =
            Least { needed, bytes: 0, found: BTreeSet::new(), evictions: BTreeMap::new() };
        if needed == 0 {
            return Ok(Vec::new());
        }
        let keepers = self.keepers(now)?;
        // Carried blobs have a row each; where the store's own have one, nobody knows.
        let tables: &[Table] = match class {
            Class::Carried => &[Table::Classes],
            Class::Own => &[Table::Blobs, Table::Partials],
        };
        for table in tables {
            let mut from = Vec::new();
            loop {
                let rows = self.rows(*table, &from, None, PAGE_ROWS)?;
                let Some((last, _)) = rows.last() else { break };
                from.clone_from(last);
                from.push(0);
                for id in rows.iter().filter_map(|(key, _)| id_of(key)) {
                    self.consider(id, class, &keepers, now, &mut least)?;
                }
            }
        }
        Ok(least.into_list())
    }

    fn consider(
        &self,
        id: BlobId,
        class: Class,
        keepers: &Keepers,
        now: u64,
        least: &mut Least,
    ) -> Result<(), StoreError> {
        let row = self.class_row(id)?;
        if row.class != class {
            return Ok(());
        }
        let Some((partial, size, map)) = self.in_segments(id)? else { return Ok(()) };
        let ClassRow { used, uses, .. } = row;
        let idle = hours(now).saturating_sub(used);
        let benefit = benefit(uses, size, idle);
        // The last look-ups are only for those that matter.
        if !least.takes((benefit, id)) || self.is_in_use(id) || self.is_kept(keepers, id)? {
            return Ok(());
        }
        let chunks = map.map_or(Ok(0), |map| self.only_in(map))?;
        let bytes = self.footprint(id)?.saturating_add(chunks);
        if bytes > 0 {
            let idle = (used > 0).then(|| Duration::from_secs(u64::from(idle) * 3600));
            least.add(Eviction { id, class, bytes, partial, uses, idle, benefit });
        }
        Ok(())
    }

    /// Whether a blob that lies in segments and nowhere else is partial; its size, or what is held of
    /// it; and its map.
    fn in_segments(&self, id: BlobId) -> Result<Option<(bool, u64, Option<u64>)>, StoreError> {
        if let Some(row) = self.blob_row(id)? {
            let external = row.places.iter().any(|place| matches!(place, Place::External(_)));
            return Ok((!external).then(|| (false, row.size, row.map())));
        }
        let Some(row) = self.get(Table::Partials, id.as_bytes())? else { return Ok(None) };
        let row = PartialRow::decode(&row).ok_or_else(|| StoreError::corrupt("a partial row"))?;
        match row.place {
            PartialPlace::Segments => Ok(Some((true, self.footprint(id)?, None))),
            PartialPlace::File { .. } => Ok(None),
        }
    }

    /// Bytes of a map and of the chunks that nothing else names. A chunk that two rows of the map name
    /// counts as shared.
    fn only_in(&self, map: u64) -> Result<u64, StoreError> {
        let mut bytes = 0_u64;
        let mut add = |extent: Option<Extent>| {
            let len = extent.as_ref().map_or(0, extent_bytes);
            bytes = bytes.saturating_add(u64::try_from(len).unwrap_or_default());
        };
        let mut from = MapRow::key(map, 0).to_vec();
        let mut to = MapRow::key(map, u64::MAX).to_vec();
        to.push(0);
        loop {
            let rows = self.rows(Table::Maps, &from, Some(&to), MAP_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(bytes) };
            from.clone_from(last);
            from.push(0);
            for (key, value) in rows {
                let row = MapRow::decode(&value);
                let row = row.ok_or_else(|| StoreError::corrupt("a row of the map table"))?;
                let mut uses = BTreeMap::<ChunkKey, u32>::new();
                for entry in &row.entries {
                    *uses.entry(entry.key).or_default() += 1;
                }
                for (chunk, uses) in uses {
                    let found = self.get(Table::Chunks, &chunk)?;
                    let found = found.and_then(|row| ChunkRow::decode(&row));
                    add(found.filter(|row| row.uncounted(uses).is_none()).and_then(|r| r.extent()));
                }
                add(row.record(&key));
            }
        }
    }

    /// Keeps nothing in memory for a partial blob that nobody works on.
    pub(crate) fn forget_idle(&self, id: BlobId) {
        let mut partials = locked(&self.partials);
        if partials.get(&id).is_some_and(|partial| partial.strong_count() == 0) {
            partials.remove(&id);
        }
    }

    /// Whether somebody receives a blob, or what is damaged of it.
    fn is_in_use(&self, id: BlobId) -> bool {
        let partials = locked(&self.partials);
        partials.get(&id).is_some_and(|partial| partial.strong_count() > 0)
    }

    /// Evicts; see [`Store::evict`]. `now` in seconds since 1970.
    pub(crate) fn evict(
        &self,
        needed: u64,
        class: Class,
        now: u64,
    ) -> Result<Vec<Eviction>, StoreError> {
        let mut gone = Vec::new();
        //= rfcs/0009-store.md#store-44
        //# A store that evicts MUST remove what it would list as an explanation at that moment, and nothing else.
        let mut keepers = self.keepers(now)?;
        for eviction in self.victims(needed, class, now)? {
            if self.evict_one(&mut keepers, eviction.id, class)? {
                #[cfg(feature = "tracing")]
                tracing::debug!(blob = %eviction.id.fmt_short(), reason = %eviction, "evicted");
                gone.push(eviction);
            }
            self.maybe_checkpoint()?;
        }
        if !gone.is_empty() {
            self.checkpoint()?;
        }
        Ok(gone)
    }

    /// Removes one blob from segments, unless somebody began to receive it, or to keep it.
    fn evict_one(
        &self,
        keepers: &mut Keepers,
        id: BlobId,
        class: Class,
    ) -> Result<bool, StoreError> {
        // Who needs the room may have a blob, so nobody waits for another one here.
        let Some(owned) = self.owners.try_take(id) else { return Ok(false) };
        let no_class_changes = locked(&self.life.classing);
        // Nobody begins meanwhile.
        let mut partials = locked(&self.partials);
        //= rfcs/0009-store.md#store-42
        //# A store MUST NOT evict a blob that is being received.
        let is_received = partials.get(&id).is_some_and(|partial| partial.strong_count() > 0);
        if is_received || self.class_row(id)?.class != class {
            return Ok(false);
        }
        partials.remove(&id);
        let partial = self.get(Table::Partials, id.as_bytes())?.is_some();
        let (gone, loosened) = self.forget_unless_kept(keepers, id, partial)?;
        drop((partials, no_class_changes, owned));
        loosened.map_or(Ok(gone), |map| self.reclaim_map(map).map(|()| gone))
    }

    /// Removes one complete blob, unless something keeps it.
    pub(crate) fn collect_one(
        &self,
        keepers: &mut Keepers,
        id: BlobId,
    ) -> Result<bool, StoreError> {
        if self.is_kept(keepers, id)? {
            return Ok(false);
        }
        let owned = self.owners.take(id);
        let no_class_changes = locked(&self.life.classing);
        let partial = self.get(Table::Partials, id.as_bytes())?.is_some();
        let (gone, loosened) = self.forget_unless_kept(keepers, id, partial)?;
        if gone {
            self.close_partial(id)?;
        }
        drop((no_class_changes, owned));
        loosened.map_or(Ok(gone), |map| self.reclaim_map(map).map(|()| gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benefit_grows_with_use_and_shrinks_with_time_and_size() {
        let old = benefit(1, 1 << 20, 10);
        assert!(benefit(2, 1 << 20, 10) > old);
        assert!(benefit(1, 1 << 20, 9) > old);
        assert!(benefit(1, 1 << 10, 10) > old);
        // One use an hour ago is worth as much as two, three hours ago.
        assert_eq!(benefit(0, 1 << 20, 0), benefit(1, 1 << 20, 1));
        // Nothing overflows, and nothing is divided by 0.
        assert_eq!(benefit(u32::MAX, 0, 0), u64::MAX);
        assert_eq!(benefit(0, u64::MAX, 0), 1 << BENEFIT_SHIFT);
        assert!(benefit(u32::MAX, u64::MAX, u32::MAX) > 0);
    }

    #[test]
    fn the_least_are_as_few_as_give_back_enough() {
        let eviction = |at: u8, benefit, bytes| Eviction {
            id: BlobId::from_bytes([at; 32]),
            class: Class::Own,
            bytes,
            partial: false,
            uses: 0,
            idle: None,
            benefit,
        };
        let mut least =
            Least { needed: 100, bytes: 0, found: BTreeSet::new(), evictions: BTreeMap::new() };
        for (at, benefit, bytes) in [(1, 50, 60), (2, 40, 60), (3, 10, 30), (4, 20, 20), (5, 60, 9)]
        {
            if least.takes((benefit, BlobId::from_bytes([at; 32]))) {
                least.add(eviction(at, benefit, bytes));
            }
        }
        let list: Vec<_> = least.into_list().iter().map(|one| one.benefit).collect();
        assert_eq!(list, [10, 20, 40], "30, 20 and 60 bytes");
    }

    #[test]
    fn an_eviction_says_why() {
        let mut eviction = Eviction {
            id: BlobId::from_bytes([1; 32]),
            class: Class::Carried,
            bytes: 12_582_912,
            partial: false,
            uses: 1,
            idle: Some(Duration::from_hours(74)),
            benefit: 0,
        };
        assert_eq!(
            eviction.to_string(),
            "carried for others, 12582912 bytes, last used 3 days ago, in 1 hour so far"
        );
        (eviction.partial, eviction.class) = (true, Class::Own);
        (eviction.idle, eviction.uses) = (Some(Duration::from_hours(1)), 2);
        assert_eq!(
            eviction.to_string(),
            "cached for self, partial, 12582912 bytes, last used 1 hour ago, in 2 hours so far"
        );
        eviction.idle = None;
        assert!(eviction.to_string().ends_with("bytes, never used"));
    }
}
