//! Reading from where bytes are, and keeping account of damage.

use core::ops::Range;
use std::sync::Arc;

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet};
use samara_tree::Tree;

use crate::{
    buffer::Buffer,
    disk::{File, Open, join},
    error::{ReadError, StoreError},
    index::Table,
    inner::{Inner, Pending, locked},
    outboard::{OutboardWriter, whole},
    partial::index,
    reader::{Complete, Source, TRIES_MAX},
    row::{BlobRow, Extent, External, Holds, Loc, Place},
    segment::{pieces, segment_path},
};

impl Inner {
    /// The file of a segment. What the writer has yet to write is not in it.
    pub(crate) fn segment(&self, number: u32) -> Result<Arc<dyn File>, StoreError> {
        if let Some(file) = locked(&self.files).get(number) {
            return Ok(file);
        }
        // Without the lock: others read meanwhile. Two who open the same file are no harm.
        let file = self.open_own(&segment_path(number), Open::Write)?;
        locked(&self.files).put(number, &file);
        Ok(file)
    }

    /// Reads from the beginning of a record, header included. Returns the bytes read.
    pub(crate) fn read_record(&self, loc: Loc, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.read_segment(&*self.segment(loc.segment)?, loc.segment, loc.offset.into(), buf)
    }

    /// Reads bytes of one record, from its segment's file or from what has yet to be written there.
    fn read_segment(
        &self,
        file: &dyn File,
        number: u32,
        at: u64,
        buf: &mut [u8],
    ) -> Result<usize, StoreError> {
        // In memory first: what leaves it is in the file by then.
        if self.unwritten.read(number, at, buf) {
            return Ok(buf.len());
        }
        let path = || join(self.dir.path(), &segment_path(number));
        file.read_at(buf, at).map_err(|error| StoreError::io("read", path(), error))
    }

    /// Reads the part `from..from + buf.len()` of an extent's bytes. Returns whether all of it was
    /// there; what was not reads as zeros.
    pub(crate) fn read_extent(
        &self,
        extent: &Extent,
        from: u64,
        buf: &mut [u8],
    ) -> Result<bool, StoreError> {
        let number = extent.loc.segment;
        let file = self.segment(number)?;
        let mut rest = buf;
        let mut whole = true;
        let to = from + rest.len() as u64;
        for (offset, len) in pieces(extent, from, to) {
            let (piece, tail) = rest.split_at_mut(len.min(rest.len()));
            rest = tail;
            let found = self.read_segment(&*file, number, offset, piece)?;
            // What is cut off fails to verify like any other damage.
            whole &= found == piece.len();
            piece.get_mut(found..).unwrap_or_default().fill(0);
        }
        Ok(whole)
    }

    /// The row of a complete blob.
    pub(crate) fn blob_row(&self, id: BlobId) -> Result<Option<BlobRow>, StoreError> {
        let Some(bytes) = self.get(Table::Blobs, id.as_bytes())? else { return Ok(None) };
        //= rfcs/0009-store.md#store-28
        //# A store MUST treat the row of a complete blob of 0 bytes as damage unless the blob is the empty one.
        let row =
            BlobRow::decode(&bytes).filter(|row| row.size > 0 || id == samara_tree::hash(b""));
        match row {
            Some(row) => Ok(Some(row)),
            None => Err(StoreError::corrupt(format_args!("the row of blob {id}"))),
        }
    }

    /// Reads bytes of a blob from where they are, from `at` on, and says whether all of them were
    /// there. Bytes that were not read as zeros.
    pub(crate) fn read_source(
        &self,
        source: &Source,
        id: BlobId,
        at: u64,
        buf: &mut [u8],
    ) -> Result<bool, StoreError> {
        match source {
            Source::File(file) => {
                let read = file.read_at(buf, at);
                let read = read.map_err(|error| StoreError::io("read", "external file", error))?;
                let missing = buf.get_mut(read..).unwrap_or_default();
                missing.fill(0);
                Ok(missing.is_empty())
            }
            Source::Record(loc) => {
                self.read_extent(&whole(*loc, at.saturating_add(buf.len() as u64)), at, buf)
            }
            Source::Extents => self.read_extents(id, Holds::Data, at, buf),
            Source::Map(map) => self.read_map(map, at, buf),
        }
    }

    /// A buffer for these bytes.
    pub(crate) fn buffer(&self, bytes: &Range<u64>) -> Buffer {
        self.buffers.take(index(bytes.end.saturating_sub(bytes.start)))
    }

    /// Reads bytes that the extent table knows. Returns whether it knew all of them and they were
    /// there; the others read as zeros.
    pub(crate) fn read_extents(
        &self,
        id: BlobId,
        holds: Holds,
        from: u64,
        buf: &mut [u8],
    ) -> Result<bool, StoreError> {
        let mut at = from;
        let mut rest = buf;
        let mut whole = true;
        let first = Extent::key(id, holds, 0);
        while !rest.is_empty() {
            let row = self.last_row(Table::Extents, &first, &Extent::key(id, holds, at))?;
            let found = row.and_then(|(key, value)| {
                let start = Extent::key_offset(&key)?;
                let extent = Extent::decode(&value)?;
                (at < start.checked_add(extent.len)?).then_some((start, extent))
            });
            // A hole is filled up to the next group, so that it spoils no other.
            let len = match &found {
                Some((start, extent)) => start + extent.len - at,
                None => GroupLog2::KIB16.bytes() - at % GroupLog2::KIB16.bytes(),
            };
            let (piece, tail) = rest.split_at_mut(index(len).min(rest.len()));
            match found {
                Some((start, extent)) => whole &= self.read_extent(&extent, at - start, piece)?,
                None => {
                    whole = false;
                    piece.fill(0);
                }
            }
            at += piece.len() as u64;
            rest = tail;
        }
        Ok(whole)
    }

    /// Lays groups that were fetched again over bytes that were read from `start` on. Returns
    /// whether there were any.
    pub(crate) fn lay_patches(
        &self,
        id: BlobId,
        start: u64,
        data: &mut [u8],
    ) -> Result<bool, StoreError> {
        let mut any = false;
        let end = start + data.len() as u64;
        let group = GroupLog2::KIB16.bytes();
        let from = Extent::key(id, Holds::Patch, start & !(group - 1));
        let to = Extent::key(id, Holds::Patch, end);
        for (key, value) in self.rows(Table::Extents, &from, Some(&to), usize::MAX)? {
            let (Some(at), Some(extent)) = (Extent::key_offset(&key), Extent::decode(&value))
            else {
                return Err(StoreError::corrupt("an extent"));
            };
            let (first, last) = (at.max(start), (at + extent.len).min(end));
            if first < last
                && let Some(place) = data.get_mut(index(first - start)..index(last - start))
            {
                any |= self.read_extent(&extent, first - at, place)?;
            }
        }
        Ok(any)
    }

    /// Leaves of a complete blob in quarantine.
    pub(crate) fn damaged(&self, id: BlobId) -> Result<RangeSet, StoreError> {
        match self.get(Table::Damaged, id.as_bytes())? {
            None => Ok(RangeSet::new()),
            Some(bytes) => crate::row::decode_ranges(&bytes)
                .ok_or_else(|| StoreError::corrupt("a row of the damage table")),
        }
    }

    /// Puts leaves of a complete blob into quarantine, durably.
    pub(crate) fn quarantine(&self, id: BlobId, ranges: &RangeSet) -> Result<(), StoreError> {
        let patched = self.change_blob(id, |pending, row, damaged| {
            let mut row = row?;
            row.damaged = true;
            let damaged = crate::row::encode_ranges(&damaged.union(ranges));
            pending.put(Table::Damaged, id.as_bytes(), damaged);
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
            Some((row.size, row.patched))
        })?;
        match patched {
            None => return Ok(()),
            Some((size, true)) => self.drop_patches(id, Tree::new(size), ranges)?,
            Some(_) => {}
        }
        locked(&self.readers).forget(id);
        #[cfg(feature = "tracing")]
        tracing::warn!(blob = %id.fmt_short(), leaves = %ranges, "stored bytes are damaged");
        //= rfcs/0009-store.md#store-14
        //# A store MUST make the quarantine of a damaged group durable before it reports the damage.
        self.checkpoint()
    }

    /// Remembers that an external file is not what it was.
    pub(crate) fn mark_stale(&self, id: BlobId, external: &External) -> Result<(), StoreError> {
        let changed = self.change_blob(id, |pending, row, _| {
            let Some(mut row) = row else { return false };
            let mut changed = false;
            for place in &mut row.places {
                if let Place::External(found) = place
                    && found == external
                    && !found.stale
                {
                    found.stale = true;
                    changed = true;
                }
            }
            if changed {
                pending.put(Table::Blobs, id.as_bytes(), row.encode());
            }
            changed
        })?;
        #[cfg(feature = "tracing")]
        if changed {
            tracing::warn!(blob = %id.fmt_short(), "a file changed since it was shared");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = changed;
        locked(&self.readers).forget(id);
        Ok(())
    }

    /// Has `change` change the row of a complete blob, or what is in quarantine of it, by what they say
    /// now; see [`change`](Self::change).
    pub(crate) fn change_blob<T>(
        &self,
        id: BlobId,
        change: impl FnOnce(&mut Pending, Option<BlobRow>, RangeSet) -> T,
    ) -> Result<T, StoreError> {
        let keys = [(Table::Blobs, id.as_bytes()), (Table::Damaged, id.as_bytes())];
        self.change(&keys, |pending, rows| {
            let [row, damaged] = <[_; 2]>::try_from(rows).unwrap_or_default();
            let row = row.and_then(|row| BlobRow::decode(&row));
            let damaged = damaged.and_then(|row| crate::row::decode_ranges(&row));
            change(pending, row, damaged.unwrap_or_default())
        })
    }

    /// Makes a damaged outboard again from the data. If the data is damaged too, everything goes
    /// into quarantine.
    pub(crate) fn rebuild_outboard(
        &self,
        complete: &Complete,
        row: &BlobRow,
    ) -> Result<crate::row::Outboard, ReadError> {
        // One at a time; what somebody else has made meanwhile is as good.
        let _others_wait = self.rebuilding.take(complete.id);
        if let Some(now) = self.blob_row(complete.id)?
            && now.outboard != row.outboard
        {
            return Ok(now.outboard);
        }
        let mut tries = 0;
        let writer = loop {
            let moves = self.chunks.moves();
            let mut writer = OutboardWriter::new(complete.id, complete.size);
            if self.hash_into(complete, &mut writer)? {
                break writer;
            }
            writer.abandon(self)?;
            tries += 1;
            if complete.is_removed(self)? {
                // Or replaced: what was read is nobody's any more.
                let missing = Tree::new(complete.size).root().range().into();
                return Err(ReadError::NotHeld { missing });
            }
            if !complete.may_have_moved(self, moves) || tries == TRIES_MAX {
                let all = RangeSet::from(Tree::new(complete.size).root().range());
                self.quarantine(complete.id, &all)?;
                return Err(ReadError::Damaged { ranges: all });
            }
        };
        let (id, old) = (complete.id, row.outboard);
        let records = self.outboard_records(id, Tree::new(complete.size), old)?;
        let carried = self.is_carried(id)?;
        let mut finished = Some(writer.finish(self)?);
        let booked = self.change_blob(id, |pending, row, _| {
            // Whoever replaced the blob meanwhile has brought another outboard.
            let mut row = row.filter(|row| row.outboard == old)?;
            for (key, extent) in records {
                key.inspect(|key| pending.delete(Table::Extents, key));
                pending.work.free_of(carried, extent);
            }
            row.outboard = finished.take()?.book(pending);
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
            Some(row.outboard)
        })?;
        if let Some(finished) = finished {
            finished.abandon(self)?;
        }
        let gone =
            || ReadError::NotHeld { missing: Tree::new(complete.size).root().range().into() };
        booked.ok_or_else(gone)
    }

    /// Reads and hashes all of a blob, and writes its values. Returns whether they lead to the id.
    fn hash_into(
        &self,
        complete: &Complete,
        writer: &mut OutboardWriter,
    ) -> Result<bool, ReadError> {
        let mut builder = samara_tree::OutboardBuilder::new();
        let mut at = 0;
        while at < complete.size {
            let end = (at + (1 << 20)).min(complete.size);
            let span = at / LEAF_BYTES..end.div_ceil(LEAF_BYTES);
            let (data, whole) = complete.read(self, &span)?;
            if !whole {
                // It can't lead to the id, so the rest need not be read.
                return Ok(false);
            }
            let mut values = Vec::new();
            builder.push(&data, &mut |_, cv| values.push(cv));
            writer.push(self, &values)?;
            at = end;
        }
        let mut values = Vec::new();
        let (id, _) = builder.finish(&mut |_, cv| values.push(cv));
        writer.push(self, &values)?;
        Ok(id == complete.id)
    }
}
