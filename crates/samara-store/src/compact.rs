//! Emptying segments of which little is in use. Spec: RFC 0009, section "Compaction".

use samara_base::{BlobId, ChunkId};
use samara_tree::Tree;

use crate::{
    Store,
    disk::Open,
    error::StoreError,
    index::Table,
    inner::{Inner, Pending},
    outboard::whole,
    partial::place_record,
    rebuild::records,
    record::{FLAG_PROVISIONAL, HEADER_LEN, Header, Kind, SEGMENT_HEADER_LEN, stride},
    row::{BlobRow, ChunkRow, Extent, Holds, Loc, MapRow, Outboard, Place, SegmentRow, chunk_keys},
    segment::{Append, segment_path},
};

/// A segment is emptied if no more than one part in so many is in use.
const IN_USE_PART: u64 = 4;
/// What is looked at between two looks at the budget. Unit: bytes.
const STEP_BYTES: u64 = 8 << 20;

/// What [`Store::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Segments that are gone.
    pub segments: u64,
    /// Bytes that were written anew, headers included. Unit: bytes.
    pub moved_bytes: u64,
    /// All segments of which little is in use were looked at to their ends.
    pub done: bool,
}

impl Store {
    /// Writes what is in use in segments anew of which at most a quarter is, and removes them. Space
    /// that is not in use is given back without this where the file system can make holes; this is for
    /// the others, and for segments that have become many small pieces.
    ///
    /// Looks at about `budget_bytes` of segments, at least 8 MiB, and goes on at the next call; may be
    /// ended at any time. Readers go on meanwhile. What is being received stays where it is, and so
    /// does what was imported without chunks. Durable on return.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Nothing is lost; what was moved has been moved.
    pub fn compact(&self, budget_bytes: u64) -> Result<Compacted, StoreError> {
        let inner = &self.inner;
        inner.alive()?;
        let mut compacted = Compacted { done: true, ..Compacted::default() };
        let mut left = budget_bytes.max(1);
        let sparse = inner.sparse_segments()?;
        for number in &sparse {
            if !inner.empty_segment(*number, &mut left, &mut compacted.moved_bytes)? {
                compacted.done = false;
                break;
            }
        }
        // Behind the commit the segments are removed in which nothing is left.
        inner.checkpoint()?;
        for number in sparse {
            let row = inner.get(Table::Segments, &number.to_be_bytes())?;
            compacted.segments += u64::from(row.is_none());
        }
        Ok(compacted)
    }
}

impl Inner {
    /// The segments of which little is in use, but for the one that is written to.
    fn sparse_segments(&self) -> Result<Vec<u32>, StoreError> {
        let open = self.writer().open_number();
        let mut sparse = Vec::new();
        self.each_row(Table::Segments, &mut |key, value| {
            let number = key.first_chunk().map(|number| u32::from_be_bytes(*number));
            let row = SegmentRow::decode(value).unwrap_or_default();
            let is_sparse = row.live > 0 && row.live <= row.end / IN_USE_PART;
            sparse.extend(number.filter(|number| is_sparse && open != Some(*number)));
        })?;
        Ok(sparse)
    }

    /// Moves what is in use in a segment. Returns whether it came to the end.
    fn empty_segment(
        &self,
        number: u32,
        left: &mut u64,
        moved: &mut u64,
    ) -> Result<bool, StoreError> {
        let file = self.open_own(&segment_path(number), Open::Read)?;
        let mut at = SEGMENT_HEADER_LEN as u64;
        loop {
            if *left == 0 {
                return Ok(false);
            }
            let step = at..at.saturating_add(STEP_BYTES);
            let scanned = records::scan(&*file, number, step, &mut |offset, header, payload| {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                let loc = Loc { segment: number, offset };
                *moved += self.move_record(loc, header, payload)?;
                Ok(())
            })?;
            *left = left.saturating_sub(scanned.next - at);
            if scanned.next >= scanned.len {
                return Ok(true);
            }
            at = scanned.next;
            self.maybe_checkpoint()?;
        }
    }

    /// Moves a record if something refers to it. Returns the bytes written.
    fn move_record(&self, loc: Loc, header: &Header, payload: &[u8]) -> Result<u64, StoreError> {
        match header.kind {
            Kind::Chunk => self.move_chunk(loc, header, payload),
            Kind::Map | Kind::Bind => {
                let map = header.id.as_bytes().first_chunk().map(|id| u64::from_be_bytes(*id));
                let offset = match header.kind {
                    Kind::Map => header.blob_offset,
                    _ => MapRow::BINDING,
                };
                let key = MapRow::key(map.unwrap_or_default(), offset);
                let moved = self.move_map_record(&key, loc, header, payload)?;
                let blob =
                    payload.first_chunk().filter(|_| header.kind == Kind::Bind && moved == 0);
                let Some(blob) = blob.map(|id| BlobId::from_bytes(*id)) else { return Ok(moved) };
                self.move_binding(blob, loc, header, payload)
            }
            Kind::Data if header.flags & FLAG_PROVISIONAL != 0 => Ok(0),
            Kind::Data | Kind::Outboard => self.move_of_blob(loc, header, payload),
        }
    }

    /// Appends a record as it is.
    fn again(&self, header: &Header, payload: &[u8]) -> Result<Loc, StoreError> {
        let mut at = None;
        let what = Append {
            kind: header.kind,
            flags: header.flags,
            id: header.id,
            blob_size: header.blob_size,
            blob_offset: header.blob_offset,
            payload,
        };
        self.append(&what, |_, loc| at = Some(loc))?;
        at.ok_or_else(|| StoreError::corrupt("a record without a place"))
    }

    /// Gives a record back: the old one if `moved`, else the new one. Returns the bytes written.
    fn one_goes(
        &self,
        pending: &mut Pending,
        carried: bool,
        (old, new): (Extent, Extent),
        moved: bool,
    ) -> u64 {
        //= rfcs/0009-store.md#store-57
        //# A store MUST NOT free a record that it moves before the commit of a row that names the new place.
        if moved {
            // Whoever has read where it was has to look again.
            self.chunks.moved();
        }
        pending.work.free_of(carried, if moved { old } else { new });
        if moved { stride(u32::try_from(new.len).unwrap_or(u32::MAX)) } else { 0 }
    }

    fn move_chunk(&self, loc: Loc, header: &Header, payload: &[u8]) -> Result<u64, StoreError> {
        let id = ChunkId::from_bytes(*header.id.as_bytes());
        for key in chunk_keys(id) {
            if self.chunk_row(key)?.is_none_or(|row| row.loc != loc) {
                continue;
            }
            let to = self.again(header, payload)?;
            let len = payload.len() as u64;
            return self.change(&[(Table::Chunks, key)], |pending, rows| {
                let row = rows.into_iter().next().flatten();
                let row = row.and_then(|row| ChunkRow::decode(&row)).filter(|row| row.loc == loc);
                if let Some(row) = row {
                    let row = ChunkRow { loc: to, ..row };
                    pending.put(Table::Chunks, &key, row.encode());
                }
                self.one_goes(pending, false, (whole(loc, len), whole(to, len)), row.is_some())
            });
        }
        Ok(0)
    }

    fn move_map_record(
        &self,
        key: &[u8; 16],
        loc: Loc,
        header: &Header,
        payload: &[u8],
    ) -> Result<u64, StoreError> {
        let row = self.get(Table::Maps, key)?.and_then(|row| MapRow::decode(&row));
        if row.is_none_or(|row| row.loc != loc) {
            return Ok(0);
        }
        let to = self.again(header, payload)?;
        self.change(&[(Table::Maps, key)], |pending, rows| {
            let row = rows.into_iter().next().flatten();
            let row = row.and_then(|row| MapRow::decode(&row)).filter(|row| row.loc == loc);
            // Of a record with more chunks than a row may have the row has some.
            let extent = row.as_ref().and_then(|row| row.record(key));
            let new = whole(to, payload.len() as u64);
            let is_moved = row.is_some();
            if let Some(row) = row {
                pending.put(Table::Maps, key, MapRow { loc: to, ..row }.encode());
            }
            self.one_goes(pending, false, (extent.unwrap_or(new), new), is_moved)
        })
    }

    fn move_binding(
        &self,
        blob: BlobId,
        loc: Loc,
        header: &Header,
        payload: &[u8],
    ) -> Result<u64, StoreError> {
        let key = Extent::key(blob, Holds::Binding, 0);
        let old = whole(loc, payload.len() as u64);
        let is_it = |row: Option<Vec<u8>>| row.and_then(|row| Extent::decode(&row)) == Some(old);
        if !is_it(self.get(Table::Extents, &key)?) {
            return Ok(0);
        }
        let new = whole(self.again(header, payload)?, payload.len() as u64);
        self.change(&[(Table::Extents, key)], |pending, rows| {
            let is_moved = is_it(rows.into_iter().next().flatten());
            if is_moved {
                pending.put(Table::Extents, &key, new.encode().to_vec());
            }
            self.one_goes(pending, false, (old, new), is_moved)
        })
    }

    /// Moves a record of a blob: one that its row names, or the run of an extent that begins here.
    fn move_of_blob(&self, loc: Loc, header: &Header, payload: &[u8]) -> Result<u64, StoreError> {
        let (id, len) = (header.id, payload.len() as u64);
        let names = |row: &BlobRow| match header.kind {
            Kind::Outboard => {
                row.outboard == Outboard::Record(loc) && Tree::new(row.size).outboard_len() == len
            }
            _ => row.places.contains(&Place::Record(loc)) && row.size == len,
        };
        let carried = self.is_carried(id)?;
        if self.blob_row(id)?.is_some_and(|row| names(&row)) {
            let to = self.again(header, payload)?;
            let moved = self.change_blob(id, |pending, row, _| {
                let row = row.filter(names);
                let is_moved = row.is_some();
                if let Some(mut row) = row {
                    if header.kind == Kind::Outboard {
                        row.outboard = Outboard::Record(to);
                    } else {
                        let places = row.places.iter_mut();
                        places.filter(|place| **place == Place::Record(loc)).for_each(|place| {
                            *place = Place::Record(to);
                        });
                    }
                    pending.put(Table::Blobs, id.as_bytes(), row.encode());
                }
                self.one_goes(pending, carried, (whole(loc, len), whole(to, len)), is_moved)
            })?;
            crate::inner::locked(&self.readers).forget(id);
            return Ok(moved);
        }
        let held: &[Holds] = match header.kind {
            Kind::Outboard => &[Holds::Outboard],
            _ => &[Holds::Data, Holds::Patch],
        };
        for holds in held {
            let key = Extent::key(id, *holds, header.blob_offset);
            let row = self.get(Table::Extents, &key)?.and_then(|row| Extent::decode(&row));
            if let Some(extent) = row.filter(|extent| extent.loc == loc) {
                return self.move_run(id, *holds, header, extent, carried);
            }
        }
        Ok(0)
    }

    /// Moves the records of an extent, which may not follow each other where they come to.
    fn move_run(
        &self,
        id: BlobId,
        holds: Holds,
        header: &Header,
        extent: Extent,
        carried: bool,
    ) -> Result<u64, StoreError> {
        // A receive knows where its last record is.
        let is_received = self.live_partial(id).is_some();
        if is_received || self.get(Table::Partials, id.as_bytes())?.is_some() {
            return Ok(0);
        }
        let start = header.blob_offset;
        let mut moved: Vec<(u64, Extent)> = Vec::new();
        let mut bytes = 0;
        let written = self.copy_run(header, &extent, |at, loc, len| {
            bytes += stride(u32::try_from(len).unwrap_or(u32::MAX));
            let (at, extent) = place_record(moved.last().copied(), start + at, loc, len);
            moved.pop_if(|(last, _)| *last == at);
            moved.push((at, extent));
        });
        let key = Extent::key(id, holds, start);
        let is_whole = matches!(written, Ok(true));
        let is_moved = self.change(&[(Table::Extents, key)], |pending, rows| {
            let row = rows.into_iter().next().flatten().and_then(|row| Extent::decode(&row));
            let is_moved = is_whole && row == Some(extent);
            if is_moved {
                self.chunks.moved();
                pending.delete(Table::Extents, &key);
                for (at, extent) in &moved {
                    let key = Extent::key(id, holds, *at);
                    pending.put(Table::Extents, &key, extent.encode().to_vec());
                }
                pending.work.free_of(carried, extent);
            } else {
                moved.iter().for_each(|(_, extent)| pending.work.free_of(carried, *extent));
            }
            is_moved
        })?;
        written?;
        crate::inner::locked(&self.readers).forget(id);
        Ok(if is_moved { bytes } else { 0 })
    }

    /// Appends the records of an extent again. Returns false if one of them is not whole.
    fn copy_run(
        &self,
        first: &Header,
        extent: &Extent,
        mut copied: impl FnMut(u64, Loc, usize),
    ) -> Result<bool, StoreError> {
        let mut record = Vec::new();
        let (mut at, mut offset) = (0, u64::from(extent.loc.offset));
        while at < extent.len {
            let len = u32::try_from((extent.len - at).min(extent.chunk.into())).unwrap_or(u32::MAX);
            record.clear();
            record.resize(HEADER_LEN + len as usize, 0);
            let place = u32::try_from(offset).unwrap_or(u32::MAX);
            let loc = Loc { segment: extent.loc.segment, offset: place };
            let read = self.read_record(loc, &mut record)?;
            let (head, payload) = record.split_at_checked(HEADER_LEN).unwrap_or_default();
            let header = Header::decode(head, loc.segment).ok().filter(|header| {
                read == HEADER_LEN + payload.len()
                    && (header.kind, header.id) == (first.kind, first.id)
                    && header.blob_offset == first.blob_offset.saturating_add(at)
                    && header.check_payload(payload).is_ok()
            });
            let Some(header) = header else { return Ok(false) };
            copied(at, self.again(&header, payload)?, payload.len());
            at += u64::from(len);
            offset += stride(len);
        }
        Ok(true)
    }
}
