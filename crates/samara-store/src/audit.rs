//! Whether the index agrees with itself. Spec: RFC 0009, sections "Index" and "Chunks and maps".

use std::collections::BTreeMap;

use samara_tree::Tree;

use crate::{
    Store,
    error::StoreError,
    index::Table,
    inner::{Inner, extent_bytes},
    outboard::whole,
    row::{BlobRow, ChunkKey, ChunkRow, Extent, MapRow, Outboard, Place, SegmentRow},
};

/// Chunks whose counts are checked together.
const CHUNKS_AT_ONCE: usize = 65_536;

/// What [`Store::audit`] found. All numbers are 0 in a sound store, but for
/// [`unused_bytes`](Self::unused_bytes) after a crash, and [`loose_maps`](Self::loose_maps) until the
/// next collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Rows that can't be understood.
    pub bad_rows: u64,
    /// Chunks that are counted less often than maps name them: bytes that blobs need may be given
    /// back.
    pub undercounted: u64,
    /// Chunks that are counted more often: they are never given back.
    pub overcounted: u64,
    /// Chunks that maps name and that the index does not know.
    pub unknown_chunks: u64,
    /// Chunks whose bytes are lost, so that blobs have holes there.
    pub lost_chunks: u64,
    /// Maps that no blob has, and that are no import's under way.
    pub loose_maps: u64,
    /// Maps that no blob has, and that would never be given back.
    pub lost_maps: u64,
    /// Blobs whose map has no rows.
    pub without_map: u64,
    /// Bytes of segments that count as in use and that nothing refers to. Unit: bytes.
    pub unused_bytes: u64,
    /// Bytes of segments that something refers to and that do not count as in use. Unit: bytes.
    pub uncounted_bytes: u64,
}

impl Audit {
    /// Whether nothing can be lost by what was found.
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        self.bad_rows == 0
            && self.undercounted == 0
            && self.unknown_chunks == 0
            && self.without_map == 0
            && self.uncounted_bytes == 0
    }
}

/// What refers to bytes in segments, by segment. Unit: bytes.
type Used = BTreeMap<u32, u64>;

impl Store {
    /// Looks whether the index agrees with itself: whether the counts of chunks are what maps say, and
    /// the bytes in use what rows refer to. Reads all of the index and nothing else; looks at all maps
    /// once per 65,536 chunks, and keeps 16 bytes per blob that has chunks. What is changed meanwhile may be reported: ask while nobody writes.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn audit(&self) -> Result<Audit, StoreError> {
        let inner = &self.inner;
        inner.alive()?;
        let mut audit = Audit::default();
        let mut used = Used::new();
        inner.audit_blobs(&mut audit, &mut used)?;
        inner.audit_maps(&mut audit, &mut used)?;
        inner.audit_chunks(&mut audit, &mut used)?;
        inner.audit_segments(&mut audit, used)?;
        Ok(audit)
    }
}

fn refer(used: &mut Used, extent: &Extent) {
    let bytes = u64::try_from(extent_bytes(extent)).unwrap_or_default();
    let sum = used.entry(extent.loc.segment).or_default();
    *sum = sum.saturating_add(bytes);
}

impl Inner {
    fn audit_blobs(&self, audit: &mut Audit, used: &mut Used) -> Result<(), StoreError> {
        let mut maps = Vec::new();
        self.each_row(Table::Blobs, &mut |_, value| {
            let Some(row) = BlobRow::decode(value) else {
                audit.bad_rows += 1;
                return;
            };
            for place in &row.places {
                if let Place::Record(loc) = place {
                    refer(used, &whole(*loc, row.size));
                }
            }
            if let Outboard::Record(loc) = row.outboard {
                refer(used, &whole(loc, Tree::new(row.size).outboard_len()));
            }
            maps.extend(row.map().filter(|_| row.size > 0));
        })?;
        for map in maps {
            let (from, to) = (MapRow::key(map, 0), MapRow::key(map, MapRow::BINDING));
            let is_loose = self.get(Table::Loose, &map.to_be_bytes())?.is_some();
            if is_loose || self.rows(Table::Maps, &from, Some(&to), 1)?.is_empty() {
                audit.without_map += 1;
            }
        }
        self.each_row(Table::Extents, &mut |_, value| match Extent::decode(value) {
            Some(extent) => refer(used, &extent),
            None => audit.bad_rows += 1,
        })
    }

    fn audit_maps(&self, audit: &mut Audit, used: &mut Used) -> Result<(), StoreError> {
        let mut numbers = Vec::new();
        self.each_row(Table::Maps, &mut |key, value| {
            let (Some((map, _)), Some(row)) = (MapRow::parts(key), MapRow::decode(value)) else {
                audit.bad_rows += 1;
                return;
            };
            if let Some(record) = row.record(key) {
                refer(used, &record);
            }
            if numbers.last() != Some(&map) {
                numbers.push(map);
            }
        })?;
        self.each_row(Table::Loose, &mut |_, _| audit.loose_maps += 1)?;
        let mut owned = 0;
        self.each_row(Table::Blobs, &mut |_, value| {
            let map = BlobRow::decode(value).and_then(|row| row.map());
            owned += u64::from(map.is_some_and(|map| numbers.binary_search(&map).is_ok()));
        })?;
        let mut loose = 0;
        self.each_row(Table::Loose, &mut |key, _| {
            let map = key.first_chunk().map(|key| u64::from_be_bytes(*key));
            loose += u64::from(map.is_some_and(|map| numbers.binary_search(&map).is_ok()));
        })?;
        audit.lost_maps = (numbers.len() as u64).saturating_sub(owned + loose);
        Ok(())
    }

    fn audit_chunks(&self, audit: &mut Audit, used: &mut Used) -> Result<(), StoreError> {
        let mut from = ChunkKey::default().to_vec();
        loop {
            let rows = self.rows(Table::Chunks, &from, None, CHUNKS_AT_ONCE)?;
            let is_last = rows.len() < CHUNKS_AT_ONCE;
            let next = rows.last().map(|(key, _)| [key.as_slice(), &[0]].concat());
            let mut counts = BTreeMap::<ChunkKey, u32>::new();
            for (key, value) in &rows {
                let chunk = key.as_slice().try_into().ok().zip(ChunkRow::decode(value));
                let Some((key, row)) = chunk else {
                    audit.bad_rows += 1;
                    continue;
                };
                counts.insert(key, row.count);
                match row.extent() {
                    Some(extent) => refer(used, &extent),
                    None => audit.lost_chunks += 1,
                }
            }
            self.each_row(Table::Maps, &mut |_, value| {
                for entry in MapRow::decode(value).map_or(Vec::new(), |row| row.entries) {
                    let here = entry.key.as_slice() >= from.as_slice()
                        && (is_last
                            || next
                                .as_ref()
                                .is_some_and(|next| entry.key.as_slice() < next.as_slice()));
                    match counts.get_mut(&entry.key) {
                        Some(&mut u32::MAX) => {}
                        Some(0) => audit.undercounted += 1,
                        Some(count) => *count -= 1,
                        None if here => audit.unknown_chunks += 1,
                        None => {}
                    }
                }
            })?;
            let more = counts.values().filter(|count| (1..u32::MAX).contains(*count));
            audit.overcounted += more.count() as u64;
            match next {
                Some(next) if !is_last => from = next,
                _ => return Ok(()),
            }
        }
    }

    fn audit_segments(&self, audit: &mut Audit, mut used: Used) -> Result<(), StoreError> {
        // What waits for the checkpoint is not in these rows yet.
        self.checkpoint()?;
        self.each_row(Table::Segments, &mut |key, value| {
            let number = key.first_chunk().map(|key| u32::from_be_bytes(*key));
            let (Some(number), Some(row)) = (number, SegmentRow::decode(value)) else {
                audit.bad_rows += 1;
                return;
            };
            let used = used.remove(&number).unwrap_or_default();
            let unused = row.live.saturating_sub(used);
            audit.unused_bytes = audit.unused_bytes.saturating_add(unused);
            let uncounted = used.saturating_sub(row.live);
            audit.uncounted_bytes = audit.uncounted_bytes.saturating_add(uncounted);
        })?;
        let elsewhere = used.into_values().fold(0, u64::saturating_add);
        audit.uncounted_bytes = audit.uncounted_bytes.saturating_add(elsewhere);
        Ok(())
    }
}
