//! Chunks and maps, made again from their records.

use std::collections::BTreeMap;

use samara_base::{BlobId, ChunkId};

use super::settle::Candidate;
use crate::{
    error::StoreError,
    index::Table,
    inner::{Inner, extent_bytes, record_bytes},
    limits::MAP_ENTRIES_MAX,
    map::OpenMap,
    pack::unpack,
    reader::Source,
    record::{HEADER_LEN, Header, map_entries},
    row::{ChunkKey, ChunkRow, Extent, Loc, MapEntry, MapRow, NOWHERE, chunk_keys},
};

/// Rows that are looked at together.
const ROWS: usize = 1024;

/// What is called for each row of a map, with its key.
type Visit<'a> = dyn FnMut(&[u8], MapRow) -> Result<(), StoreError> + 'a;

/// The rows of a map whose blob is not verified yet.
pub(super) struct FoundMap {
    pub(super) map: u64,
    pub(super) candidate: Candidate,
}

impl Inner {
    /// Notes a chunk that nothing has counted yet. Of two records the later one stays.
    pub(super) fn note_chunk(
        &self,
        loc: Loc,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), StoreError> {
        //= rfcs/0009-store.md#store-3
        //# Recovery MUST verify a record against its blob's id before it adopts the record.
        let len = u32::try_from(header.blob_size).unwrap_or(u32::MAX);
        let is_sound = if header.is_compressed() {
            let mut chunk = self.buffers.take(len as usize);
            unpack(payload, chunk.bytes())? && samara_tree::hash(chunk.as_ref()) == header.id
        } else {
            samara_tree::hash(payload) == header.id
        };
        if !is_sound {
            return Ok(());
        }
        let id = ChunkId::from_bytes(*header.id.as_bytes());
        for key in chunk_keys(id) {
            let old = self.chunk_row(key)?;
            if old.is_none_or(|old| self.is_chunk(&old, id)) {
                let row = ChunkRow { loc, len, stored: header.payload_len, count: 0 };
                self.pending().put(Table::Chunks, &key, row.encode());
                break;
            }
        }
        Ok(())
    }

    /// Whether the record that a row points to says that it is this chunk.
    fn is_chunk(&self, row: &ChunkRow, id: ChunkId) -> bool {
        self.header(row.loc).is_some_and(|header| header.id == BlobId::from_bytes(*id.as_bytes()))
    }

    fn header(&self, loc: Loc) -> Option<Header> {
        let mut header = [0; HEADER_LEN];
        self.read_record(loc, &mut header).ok()?;
        Header::decode(&header, loc.segment).ok()
    }

    /// The key that a chunk has, or would have.
    fn key_of(&self, id: ChunkId) -> Result<ChunkKey, StoreError> {
        let [first, second] = chunk_keys(id);
        let Some(row) = self.chunk_row(first)? else { return Ok(first) };
        let other = self.chunk_row(second)?;
        Ok(if other.is_some() && !self.is_chunk(&row, id) { second } else { first })
    }

    /// Makes rows of the records of a map, under a new number.
    pub(super) fn read_maps(&self, records: &[(u64, Extent)]) -> Result<FoundMap, StoreError> {
        let map = self.chunks.number_map()?;
        let mut candidate =
            Candidate { source: Source::Map(OpenMap::new(map)), held: 0, without_gap: 0 };
        for (at, record) in records {
            let mut payload = vec![0; usize::try_from(record.len).unwrap_or_default()];
            if !self.read_extent(record, 0, &mut payload).unwrap_or(false) {
                continue;
            }
            let entries: Vec<(ChunkId, u32)> = map_entries(&payload).collect();
            let (mut at, mut loc) = (*at, record.loc);
            for part in entries.chunks(MAP_ENTRIES_MAX) {
                let mut row = MapRow { loc, entries: Vec::with_capacity(part.len()) };
                let start = at;
                for (id, len) in part {
                    row.entries.push(MapEntry { key: self.key_of(*id)?, len: *len });
                    at = at.saturating_add((*len).into());
                }
                if at == MapRow::BINDING {
                    // No blob is as long as that.
                    break;
                }
                self.pending().put(Table::Maps, &MapRow::key(map, start), row.encode());
                if start == candidate.without_gap {
                    candidate.without_gap = at;
                }
                candidate.held = candidate.held.max(at);
                // Only one row can speak for a record.
                loc = NOWHERE;
            }
            self.maybe_checkpoint()?;
        }
        Ok(FoundMap { map, candidate })
    }

    /// The rows of a map, a page at a time.
    fn each_map_row(&self, map: u64, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let to = MapRow::key(map, MapRow::BINDING);
        let mut from = MapRow::key(map, 0).to_vec();
        loop {
            let rows = self.rows(Table::Maps, &from, Some(&to), 16)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.clone_from(last);
            from.push(0);
            for (key, value) in rows {
                visit(&key, MapRow::decode(&value).unwrap_or_else(MapRow::new))?;
            }
        }
    }

    /// Removes the rows of a map that leads to no blob.
    pub(super) fn drop_map_rows(&self, map: u64) -> Result<(), StoreError> {
        self.each_map_row(map, &mut |key, _| {
            self.pending().delete(Table::Maps, key);
            Ok(())
        })
    }

    /// Counts the chunks of a blob, and the records of its map as in use. A chunk of which there is no
    /// record gets a row all the same: its count must be right when its bytes come back.
    pub(super) fn count_map(&self, map: u64) -> Result<(), StoreError> {
        self.each_map_row(map, &mut |key, row| {
            let mut uses = BTreeMap::<ChunkKey, (u32, u32)>::new();
            for entry in &row.entries {
                uses.entry(entry.key).or_insert((0, entry.len)).0 += 1;
            }
            let keys: Vec<_> = uses.keys().map(|key| (Table::Chunks, *key)).collect();
            self.change(&keys, |pending, rows| {
                for ((key, (uses, len)), row) in uses.iter().zip(rows) {
                    let lost = ChunkRow { loc: NOWHERE, len: *len, stored: *len, count: 0 };
                    let row = row.and_then(|row| ChunkRow::decode(&row)).unwrap_or(lost);
                    pending.put(Table::Chunks, key, row.counted(*uses).encode());
                }
                if let Some(record) = row.record(key) {
                    pending.work.add_live(record.loc.segment, extent_bytes(&record));
                }
            })
        })
    }

    /// Forgets the chunks that no map names, and counts the others as in use.
    pub(super) fn keep_counted(&self) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Chunks, &from, None, ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.clone_from(last);
            from.push(0);
            let mut pending = self.pending();
            for (key, value) in rows {
                match ChunkRow::decode(&value).filter(|row| row.count > 0) {
                    Some(row) if row.loc != NOWHERE => {
                        pending.work.add_live(row.loc.segment, record_bytes(row.stored));
                    }
                    Some(_) => {}
                    None => pending.delete(Table::Chunks, &key),
                }
            }
            drop(pending);
            self.maybe_checkpoint()?;
        }
    }
}
