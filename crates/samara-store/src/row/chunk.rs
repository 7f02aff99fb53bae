//! Rows of chunks and maps. Spec: RFC 0009, section "Index".

use samara_base::{BlobId, ChunkId};

use super::{Extent, Loc};
use crate::{
    limits::{CHUNK_BYTES_MAX, MAP_ENTRIES_MAX},
    outboard::whole,
    record::{MAP_ENTRY_LEN, Reader},
};

/// What a chunk is found by: half of its id.
pub(crate) type ChunkKey = [u8; 16];

/// The keys that a chunk may have, the second if another chunk has the first.
pub(crate) fn chunk_keys(id: ChunkId) -> [ChunkKey; 2] {
    let (halves, _) = id.as_bytes().as_chunks::<16>();
    [halves.first().copied().unwrap_or_default(), halves.last().copied().unwrap_or_default()]
}

/// No place: what should be there is not written yet, or lost.
pub(crate) const NOWHERE: Loc = Loc { segment: 0, offset: 0 };

/// A chunk, however many blobs have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRow {
    /// Its record; [`NOWHERE`] if its bytes are lost.
    pub(crate) loc: Loc,
    /// Length of the chunk, 1 to [`CHUNK_BYTES_MAX`]. Unit: bytes.
    pub(crate) len: u32,
    /// Length of the record's payload. Unit: bytes.
    pub(crate) stored: u32,
    /// How often maps name it. [`u32::MAX`] stays, whatever happens.
    pub(crate) count: u32,
}

impl ChunkRow {
    /// The record that its bytes are in, if they are not lost.
    pub(crate) fn extent(&self) -> Option<Extent> {
        (self.loc != NOWHERE).then(|| whole(self.loc, self.stored.into()))
    }

    /// The same, named `more` times more.
    pub(crate) const fn counted(self, more: u32) -> Self {
        Self { count: self.count.saturating_add(more), ..self }
    }

    /// The same, named `less` times less; `None` if nothing names it any more.
    pub(crate) fn uncounted(self, less: u32) -> Option<Self> {
        if self.count == u32::MAX {
            return Some(self);
        }
        let count = self.count.saturating_sub(less);
        (count > 0).then_some(Self { count, ..self })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        self.loc.put(&mut out);
        for number in [self.len, self.stored, self.count] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let loc = Loc::take(&mut reader)?;
        let [len, stored, count] =
            [reader.try_take()?, reader.try_take()?, reader.try_take()?].map(u32::from_le_bytes);
        let is_sound = (1..=CHUNK_BYTES_MAX).contains(&len)
            && (1..=len).contains(&stored)
            && (loc == NOWHERE || loc.segment != 0)
            && reader.0.is_empty();
        is_sound.then_some(Self { loc, len, stored, count })
    }
}

/// A chunk in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapEntry {
    pub(crate) key: ChunkKey,
    /// Unit: bytes.
    pub(crate) len: u32,
}

/// A part of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapRow {
    /// The record that says the same; [`NOWHERE`] as long as there is none.
    pub(crate) loc: Loc,
    /// At most [`MAP_ENTRIES_MAX`].
    pub(crate) entries: Vec<MapEntry>,
}

impl MapRow {
    /// The "offset" of the row that tells the place of the binding.
    pub(crate) const BINDING: u64 = u64::MAX;

    pub(crate) const fn new() -> Self {
        Self { loc: NOWHERE, entries: Vec::new() }
    }

    /// Key: map, offset in the blob, both big-endian so that keys sort.
    pub(crate) fn key(map: u64, offset: u64) -> [u8; 16] {
        (u128::from(map) << 64 | u128::from(offset)).to_be_bytes()
    }

    /// Map and offset of a key.
    pub(crate) fn parts(key: &[u8]) -> Option<(u64, u64)> {
        let (map, offset) = key.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*map), u64::from_be_bytes(offset.try_into().ok()?)))
    }

    /// The record that says the same as the row with this key.
    pub(crate) fn record(&self, key: &[u8]) -> Option<Extent> {
        let (_, offset) = Self::parts(key)?;
        let len = match offset {
            Self::BINDING => BlobId::LEN,
            _ => self.entries.len() * MAP_ENTRY_LEN,
        };
        (self.loc != NOWHERE).then(|| whole(self.loc, len as u64))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 20 * self.entries.len());
        self.loc.put(&mut out);
        for entry in &self.entries {
            out.extend_from_slice(&entry.key);
            out.extend_from_slice(&entry.len.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let loc = Loc::take(&mut reader)?;
        let mut entries = Vec::with_capacity(reader.0.len() / 20);
        while let Some(key) = reader.try_take() {
            let len = u32::from_le_bytes(reader.try_take()?);
            entries.push(MapEntry { key, len });
        }
        let is_sound = reader.0.is_empty()
            && (loc == NOWHERE || loc.segment != 0)
            && entries.len() <= MAP_ENTRIES_MAX
            && entries.iter().all(|entry| (1..=CHUNK_BYTES_MAX).contains(&entry.len));
        is_sound.then_some(Self { loc, entries })
    }
}
