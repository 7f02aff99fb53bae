//! Reading by way of a map, with what was looked up kept for the next read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use samara_base::GroupLog2;

use crate::{
    error::StoreError,
    inner::{Inner, locked},
    pack::unpack,
    partial::index,
    row::{ChunkKey, Extent},
};

/// Rows that are kept, of up to 128 chunks each: 512 MiB of a blob with chunks of 64 KiB.
const ROWS_MAX: usize = 64;

/// A map that a blob is read by. Kept are at most about 350 KiB, and one chunk
/// if it is compressed.
#[derive(Debug)]
pub(crate) struct OpenMap {
    number: u64,
    seen: Mutex<Seen>,
}

/// What was looked up.
#[derive(Debug, Default)]
struct Seen {
    /// As of so many moves; after another one a chunk may be elsewhere.
    moves: u64,
    /// By where the row begins.
    rows: BTreeMap<u64, Vec<Piece>>,
    /// The chunk that was decompressed last, and where it begins.
    unpacked: Option<(u64, Bytes)>,
}

/// A chunk of the blob.
#[derive(Clone, Copy, Debug)]
struct Piece {
    key: ChunkKey,
    /// Unit: bytes.
    len: u32,
    /// Where it is, once somebody has looked; `Some(None)`: nowhere.
    extent: Option<Option<Extent>>,
}

impl OpenMap {
    pub(crate) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { number, seen: Mutex::default() })
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The chunks that begin in a row of the map, from `at` on as far as `len` bytes; and where the
    /// first of them begins. Nothing if the map has no chunk there.
    fn pieces(&self, inner: &Inner, at: u64, len: u64) -> Result<(u64, Vec<Piece>), StoreError> {
        let moves = inner.chunks.moves();
        if let Some(found) = locked(&self.seen).find(moves, at, len) {
            return Ok(found);
        }
        let row = inner.map_row(self.number, at)?;
        let Some((start, row)) = row else { return Ok((at, Vec::new())) };
        let piece = |key, len| Piece { key, len, extent: None };
        let pieces = row.entries.iter().map(|entry| piece(entry.key, entry.len)).collect();
        let mut seen = locked(&self.seen);
        seen.keep(moves, start, pieces);
        Ok(seen.find(moves, at, len).unwrap_or((at, Vec::new())))
    }

    /// Looks for a chunk, and remembers where it is.
    fn look_up(
        &self,
        inner: &Inner,
        start: u64,
        piece: &Piece,
    ) -> Result<Option<Extent>, StoreError> {
        let moves = inner.chunks.moves();
        let row = inner.chunk_row(piece.key)?;
        let extent = row.filter(|row| row.len == piece.len).and_then(|row| row.extent());
        locked(&self.seen).note(moves, start, extent);
        Ok(extent)
    }
}

impl OpenMap {
    /// Reads a part of a compressed chunk, zeros if it is damaged.
    fn read_packed(
        &self,
        inner: &Inner,
        (start, piece, extent): (u64, &Piece, &Extent),
        from: u64,
        part: &mut [u8],
    ) -> Result<bool, StoreError> {
        let moves = inner.chunks.moves();
        let found = locked(&self.seen).unpacked(moves, start);
        let chunk = match found {
            Some(chunk) => chunk,
            None => {
                let mut packed = inner.buffers.take(index(extent.len));
                let mut chunk = inner.buffers.take(index(piece.len.into()));
                let is_sound = inner.read_extent(extent, 0, packed.bytes())?
                    && unpack(packed.as_ref(), chunk.bytes())?;
                if !is_sound {
                    part.fill(0);
                    return Ok(false);
                }
                let chunk = chunk.freeze();
                locked(&self.seen).keep_unpacked(moves, start, &chunk);
                chunk
            }
        };
        let from = index(from);
        let found = chunk.get(from..from.saturating_add(part.len())).unwrap_or_default();
        if found.len() != part.len() {
            part.fill(0);
            return Ok(false);
        }
        part.copy_from_slice(found);
        Ok(true)
    }
}

impl Seen {
    fn unpacked(&mut self, moves: u64, start: u64) -> Option<Bytes> {
        self.is_of(moves);
        self.unpacked.as_ref().filter(|(at, _)| *at == start).map(|(_, chunk)| chunk.clone())
    }

    fn keep_unpacked(&mut self, moves: u64, start: u64, chunk: &Bytes) {
        self.is_of(moves);
        self.unpacked = Some((start, chunk.clone()));
    }

    fn is_of(&mut self, moves: u64) -> bool {
        if self.moves != moves {
            self.rows.clear();
            self.unpacked = None;
            self.moves = moves;
        }
        !self.rows.is_empty()
    }

    fn find(&mut self, moves: u64, at: u64, len: u64) -> Option<(u64, Vec<Piece>)> {
        if !self.is_of(moves) {
            return None;
        }
        let (row, pieces) = self.rows.range(..=at).next_back()?;
        let (mut start, end) = (*row, at.saturating_add(len));
        let mut found = (at, Vec::new());
        for piece in pieces {
            let next = start.saturating_add(piece.len.into());
            if at < next && start < end {
                if found.1.is_empty() {
                    found.0 = start;
                }
                found.1.push(*piece);
            }
            start = next;
        }
        (!found.1.is_empty()).then_some(found)
    }

    fn keep(&mut self, moves: u64, start: u64, pieces: Vec<Piece>) {
        self.is_of(moves);
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&start) {
            // A blob that is read in order needs the first ones least.
            self.rows.pop_first();
        }
        self.rows.insert(start, pieces);
    }

    fn note(&mut self, moves: u64, at: u64, extent: Option<Extent>) {
        if !self.is_of(moves) {
            return;
        }
        let Some((row, pieces)) = self.rows.range_mut(..=at).next_back() else { return };
        let mut start = *row;
        for piece in pieces {
            if start == at {
                piece.extent = Some(extent);
                return;
            }
            start = start.saturating_add(piece.len.into());
        }
    }
}

impl Inner {
    /// Reads bytes of the blob that a map describes. Returns whether the store has all of them; the
    /// others read as zeros.
    pub(crate) fn read_map(
        &self,
        map: &OpenMap,
        from: u64,
        buf: &mut [u8],
    ) -> Result<bool, StoreError> {
        let group = GroupLog2::KIB16.bytes();
        let (mut at, mut rest, mut whole) = (from, buf, true);
        while !rest.is_empty() {
            let (mut start, pieces) = map.pieces(self, at, rest.len() as u64)?;
            if pieces.is_empty() {
                // A hole is filled up to the next group, so that it spoils no other.
                let (hole, tail) = rest.split_at_mut(index(group - at % group).min(rest.len()));
                hole.fill(0);
                at += hole.len() as u64;
                rest = tail;
                whole = false;
            }
            for piece in pieces {
                let end = start.saturating_add(piece.len.into());
                let (part, tail) = rest.split_at_mut(index(end - at).min(rest.len()));
                let extent = match piece.extent {
                    Some(extent) => extent,
                    None => map.look_up(self, start, &piece)?,
                };
                match extent {
                    Some(extent) if extent.len == u64::from(piece.len) => {
                        whole &= self.read_extent(&extent, at - start, part)?;
                    }
                    Some(extent) => {
                        whole &=
                            map.read_packed(self, (start, &piece, &extent), at - start, part)?;
                    }
                    None => {
                        part.fill(0);
                        whole = false;
                    }
                }
                at += part.len() as u64;
                rest = tail;
                start = end;
            }
        }
        Ok(whole)
    }
}
