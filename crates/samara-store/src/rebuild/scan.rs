//! From records to extents that nothing has verified yet.

use samara_base::{BlobId, GroupLog2};

use super::{Rebuilt, records};
use crate::{
    disk::Open,
    error::StoreError,
    index::Table,
    inner::{Inner, record_bytes},
    outboard::whole,
    partial::place_record,
    record::{FLAG_PROVISIONAL, Header, Kind},
    row::{BlobRow, Extent, Holds, Loc, SegmentRow},
    segment::segment_path,
};

/// The record that was found last, and the extent that it is at the end of.
type LastFound = Option<(BlobId, Holds, u64, Extent)>;

impl Inner {
    /// Books all whole records of a segment.
    pub(super) fn scan_again(
        &self,
        number: u32,
        rebuilt: &mut Rebuilt,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let file = self.open_own(&segment_path(number), Open::Read)?;
        let before = rebuilt.scanned_bytes;
        let mut last = None;
        let scanned =
            records::scan(&*file, number, 0..u64::MAX, &mut |offset, header, payload| {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                let loc = Loc { segment: number, offset };
                rebuilt.whole += u64::from(self.book_found(&mut last, loc, header, payload)?);
                progress(before + u64::from(offset));
                self.maybe_checkpoint()
            })?;
        rebuilt.scanned_bytes += scanned.len;
        rebuilt.skipped_bytes += scanned.skipped;
        progress(rebuilt.scanned_bytes);
        // A checkpoint meanwhile may have counted bytes in use.
        let key = number.to_be_bytes();
        let row = self.get(Table::Segments, &key)?.and_then(|row| SegmentRow::decode(&row));
        let row = SegmentRow { end: scanned.end, ..row.unwrap_or_default() };
        self.pending().put(Table::Segments, &key, row.encode());
        Ok(())
    }

    /// Books one record. Returns whether it is a whole blob.
    fn book_found(
        &self,
        last: &mut LastFound,
        loc: Loc,
        header: &Header,
        payload: &[u8],
    ) -> Result<bool, StoreError> {
        let provisional = header.flags & FLAG_PROVISIONAL != 0;
        let small = header.blob_size <= GroupLog2::KIB16.bytes()
            && header.blob_size == payload.len() as u64;
        let holds = match header.kind {
            Kind::Data if small && !provisional => return self.book_small(loc, header, payload),
            Kind::Bind => {
                let blob = payload.first_chunk().map(|bytes| BlobId::from_bytes(*bytes));
                let binding = whole(loc, payload.len() as u64);
                blob.map_or(Ok(()), |blob| self.bind(header.id, blob, binding))?;
                return Ok(false);
            }
            Kind::Chunk => {
                self.note_chunk(loc, header, payload)?;
                return Ok(false);
            }
            Kind::Map => {
                let extent = whole(loc, payload.len() as u64);
                self.put_found(header.id, Holds::Map, header.blob_offset, extent)?;
                return Ok(false);
            }
            Kind::Data => Holds::Data,
            Kind::Outboard => Holds::Outboard,
        };
        let same = last.take().filter(|(id, of, ..)| (*id, *of) == (header.id, holds));
        let before = same.map(|(_, _, at, extent)| (at, extent));
        let (at, extent) = place_record(before, header.blob_offset, loc, payload.len());
        if extent.len > 0 {
            self.put_found(header.id, holds, at, extent)?;
            *last = Some((header.id, holds, at, extent));
        }
        Ok(false)
    }

    /// Books a record that may be all of a blob.
    fn book_small(&self, loc: Loc, header: &Header, payload: &[u8]) -> Result<bool, StoreError> {
        let key = header.id.as_bytes();
        //= rfcs/0009-store.md#store-3
        //# Recovery MUST verify a record against its blob's id before it adopts the record.
        if samara_tree::hash(payload) != header.id || self.get(Table::Blobs, key)?.is_some() {
            return Ok(false);
        }
        let row = BlobRow::in_record(header.blob_size, loc);
        let mut pending = self.pending();
        pending.put(Table::Blobs, key, row.encode());
        pending.work.add_live(loc.segment, record_bytes(header.payload_len));
        Ok(true)
    }

    /// Notes an extent that nothing has verified yet. Of two at one place the longer one stays, then
    /// the later one.
    fn put_found(
        &self,
        id: BlobId,
        holds: Holds,
        at: u64,
        extent: Extent,
    ) -> Result<(), StoreError> {
        let key = Extent::key(id, holds, at);
        let old = self.get(Table::Extents, &key)?.and_then(|row| Extent::decode(&row));
        if old.is_none_or(|old| old.len <= extent.len) {
            self.pending().put(Table::Extents, &key, extent.encode().to_vec());
        }
        Ok(())
    }

    /// Gives what was found under a provisional id to the blob that it turned out to be.
    fn bind(&self, provisional: BlobId, blob: BlobId, binding: Extent) -> Result<(), StoreError> {
        for holds in [Holds::Data, Holds::Map] {
            for (at, extent) in self.found(provisional, holds)? {
                self.put_found(blob, holds, at, extent)?;
                self.pending().delete(Table::Extents, &Extent::key(provisional, holds, at));
            }
        }
        self.put_found(blob, Holds::Binding, 0, binding)
    }

    /// The extents of one blob, by place.
    pub(super) fn found(&self, id: BlobId, holds: Holds) -> Result<Vec<(u64, Extent)>, StoreError> {
        let (from, to) = (Extent::key(id, holds, 0), Extent::key(id, holds, u64::MAX));
        let rows = self.rows(Table::Extents, &from, Some(&to), usize::MAX)?;
        let row = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Some((Extent::key_offset(key)?, Extent::decode(value)?))
        };
        Ok(rows.iter().filter_map(row).collect())
    }
}
