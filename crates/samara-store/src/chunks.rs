//! Chunks that blobs share, each stored once and counted. Spec: RFC 0009, section "Chunks and maps".

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;

use samara_base::{BlobId, ChunkId};

use crate::{
    error::StoreError,
    index::Table,
    inner::{Inner, Pending},
    own::Owners,
    pack::{Packer, unpack},
    record::{FLAG_COMPRESSED, HEADER_LEN, Header, Kind},
    row::{ChunkKey, ChunkRow, Loc, MapRow, chunk_keys},
    segment::Append,
};

/// What all users of chunks share.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The next map's number.
    next_map: AtomicU64,
    /// How often a chunk was moved or given back. Whoever read a chunk's place before may have read
    /// what is not the chunk any more.
    moves: AtomicU64,
    /// Maps that somebody writes or gives back.
    pub(crate) busy: Owners<u64>,
}

impl Chunks {
    /// Numbers maps behind `last`.
    pub(crate) fn go_on_after(&self, last: u64) {
        self.next_map.fetch_max(last.saturating_add(1), Ordering::Relaxed);
    }

    /// A number that no map of the store has.
    pub(crate) fn number_map(&self) -> Result<u64, StoreError> {
        let next = |number: u64| number.checked_add(1);
        let number = self.next_map.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        number.map_err(|_| StoreError::corrupt("the numbers of maps are used up"))
    }

    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// Says that a chunk's record is about to be given back.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Release);
    }
}

/// What the store has of a chunk.
enum Found {
    Nothing,
    /// These bytes, and where.
    Same(Loc),
    /// Something that is not the chunk, or that can't be read.
    Spoiled,
}

/// Puts the row of a chunk whose bytes were appended, given the row that was there.
type Book<'a> = dyn FnMut(&mut Pending, Option<ChunkRow>, ChunkRow) -> bool + 'a;

/// Puts the row of a map that names a chunk, in the same batch as the chunk's count.
pub(crate) type Name<'a> = dyn FnMut(&mut Pending, ChunkKey) + 'a;

impl Inner {
    /// The row of a chunk, if it can be understood.
    pub(crate) fn chunk_row(&self, key: ChunkKey) -> Result<Option<ChunkRow>, StoreError> {
        Ok(self.get(Table::Chunks, &key)?.and_then(|row| ChunkRow::decode(&row)))
    }

    /// Keeps a chunk that a map names: counts it if it is there already, else appends it. `name` is
    /// called once.
    pub(crate) fn keep_chunk(
        &self,
        id: ChunkId,
        bytes: &[u8],
        (buffer, packer): (&mut Vec<u8>, &mut Packer),
        name: &mut Name<'_>,
    ) -> Result<(), StoreError> {
        loop {
            let (key, found) = self.find_chunk(id, bytes, buffer)?;
            let Found::Same(loc) = found else {
                let payload = packer.pack(bytes).unwrap_or(bytes);
                self.append_chunk(id, key, (bytes.len(), payload), &mut |pending, old, new| {
                    let count = old.map_or(0, |old| old.count);
                    let row = ChunkRow { count, ..new }.counted(1);
                    pending.put(Table::Chunks, &key, row.encode());
                    name(pending, key);
                    true
                })?;
                return Ok(());
            };
            let counted = self.change(&[(Table::Chunks, key)], |pending, rows| {
                let row = rows.into_iter().next().flatten();
                let row = row.and_then(|row| ChunkRow::decode(&row));
                // Given back or moved meanwhile: what was compared is not there any more.
                let Some(row) = row.filter(|row| row.loc == loc) else { return false };
                //= rfcs/0009-store.md#store-35
                //# A store MUST change a map and the counts of its chunks in the same commit.
                pending.put(Table::Chunks, &key, row.counted(1).encode());
                name(pending, key);
                true
            })?;
            if counted {
                return Ok(());
            }
        }
    }

    /// Looks for a chunk, and says which key it has or would have.
    fn find_chunk(
        &self,
        id: ChunkId,
        bytes: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(ChunkKey, Found), StoreError> {
        let mut free = None;
        for key in chunk_keys(id) {
            let Some(row) = self.get(Table::Chunks, &key)? else {
                free = free.or(Some(key));
                continue;
            };
            let row = ChunkRow::decode(&row).ok_or_else(|| StoreError::corrupt("a chunk's row"))?;
            let Some(extent) = row.extent() else {
                // Its bytes are lost, and nothing says whose they were; a map that names another
                // chunk of this key has a hole more or less.
                if row.len as usize == bytes.len() {
                    return Ok((key, Found::Spoiled));
                }
                continue;
            };
            //= rfcs/0009-store.md#store-32
            //# A store MUST compare the bytes of a chunk with those that it has before it counts the chunk as stored already.
            // Nothing of what was compared before may be taken for what can't be read.
            buffer.clear();
            buffer.resize(HEADER_LEN + row.stored as usize, 0);
            // What can't be read is no reason not to store it again.
            let read = self.read_record(extent.loc, buffer).ok();
            let (header, payload) = buffer.split_at_checked(HEADER_LEN).unwrap_or_default();
            let is_read = read == Some(HEADER_LEN + payload.len());
            match Header::decode(header, row.loc.segment) {
                Ok(header) if header.kind != Kind::Chunk => return Ok((key, Found::Spoiled)),
                Ok(header) if header.id.as_bytes() != id.as_bytes() => {}
                // With a damaged header the index could not be made again.
                Ok(_)
                    if is_read
                        && row.len as usize == bytes.len()
                        && is_packed_as(payload, bytes)? =>
                {
                    return Ok((key, Found::Same(row.loc)));
                }
                _ => return Ok((key, Found::Spoiled)),
            }
        }
        let none = || StoreError::corrupt("two chunks have the keys of a third");
        Ok((free.ok_or_else(none)?, Found::Nothing))
    }

    /// Writes a chunk anew that has this key, unless what is stored is right. Returns whether it is
    /// right now.
    pub(crate) fn put_right(
        &self,
        id: ChunkId,
        key: ChunkKey,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let (found_key, found) = self.find_chunk(id, bytes, &mut Vec::new())?;
        if found_key != key {
            return Ok(false);
        }
        if let Found::Same(_) = found {
            return Ok(true);
        }
        self.append_chunk(id, key, (bytes.len(), bytes), &mut |pending, old, new| {
            // Without a row nothing names it any more.
            let Some(old) = old else { return false };
            let row = ChunkRow { count: old.count, ..new };
            pending.put(Table::Chunks, &key, row.encode());
            true
        })
    }

    /// Appends a chunk, given its length and what is stored of it. `book` gets the row that was there
    /// and the new one, to be put with its count; if it says that it did, what was there is given
    /// back, else the new bytes are. Returns what it said.
    fn append_chunk(
        &self,
        id: ChunkId,
        key: ChunkKey,
        (len, payload): (usize, &[u8]),
        book: &mut Book<'_>,
    ) -> Result<bool, StoreError> {
        let mut at = None;
        let what = Append {
            kind: Kind::Chunk,
            flags: if payload.len() < len { FLAG_COMPRESSED } else { 0 },
            id: BlobId::from_bytes(*id.as_bytes()),
            blob_size: len as u64,
            blob_offset: 0,
            payload,
        };
        self.with_room(|| self.append(&what, |_, loc| at = Some(loc)))?;
        let Some(loc) = at else { return Err(StoreError::corrupt("a record without a place")) };
        let [len, stored] = [len, payload.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX));
        let new = ChunkRow { loc, len, stored, count: 0 };
        self.change(&[(Table::Chunks, key)], |pending, rows| {
            let old = rows.into_iter().next().flatten().and_then(|row| ChunkRow::decode(&row));
            let booked = book(pending, old, new);
            let freed = if booked {
                // Whoever knows that there were no bytes has to look again as well.
                old.inspect(|_| self.chunks.moved()).and_then(|old| old.extent())
            } else {
                new.extent()
            };
            freed.into_iter().for_each(|extent| pending.work.free(extent));
            booked
        })
    }

    /// Gives one row of a map back: takes its chunks' counts down, and gives back those that no map
    /// names any more.
    pub(crate) fn release_row(&self, key: &[u8], row: &MapRow) -> Result<(), StoreError> {
        let mut uses = BTreeMap::<ChunkKey, u32>::new();
        for entry in &row.entries {
            *uses.entry(entry.key).or_default() += 1;
        }
        let keys: Vec<_> = uses.keys().map(|key| (Table::Chunks, *key)).collect();
        self.change(&keys, |pending, rows| {
            for ((key, uses), row) in uses.iter().zip(rows) {
                let Some(row) = row.and_then(|row| ChunkRow::decode(&row)) else { continue };
                if let Some(row) = row.uncounted(*uses) {
                    pending.put(Table::Chunks, key, row.encode());
                    continue;
                }
                //= rfcs/0009-store.md#store-36
                //# A store MUST NOT give the space of a chunk back while a map names the chunk.
                pending.delete(Table::Chunks, key);
                if let Some(extent) = row.extent() {
                    self.chunks.moved();
                    pending.work.free(extent);
                }
            }
            pending.delete(Table::Maps, key);
            if let Some(extent) = row.record(key) {
                pending.work.free(extent);
            }
        })
    }
}

/// Whether a stored payload is this chunk, compressed or not.
fn is_packed_as(payload: &[u8], chunk: &[u8]) -> Result<bool, StoreError> {
    if payload.len() == chunk.len() {
        return Ok(payload == chunk);
    }
    let mut unpacked = vec![0; chunk.len()];
    match unpack(payload, &mut unpacked) {
        Ok(is_sound) => Ok(is_sound && unpacked == chunk),
        // What this build can't read it can store again.
        Err(StoreError::Unsupported { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
