//! Stored outboards of complete blobs.

use std::sync::{Arc, Weak};

use samara_base::BlobId;
use samara_tree::{Cv, CvSource, Tree};

use crate::{
    disk::{File, Open},
    error::StoreError,
    index::Table,
    inner::{Inner, Pending},
    limits::PAYLOAD_MAX,
    partial::place_record,
    record::Kind,
    row::{Extent, Holds, Loc, Outboard},
    segment::Append,
};

/// Writes the outboard of a blob into records, while its values are brought in order.
pub(crate) struct OutboardWriter {
    id: BlobId,
    size: u64,
    buffer: Vec<u8>,
    offset: u64,
    extents: Vec<(u64, Extent)>,
}

impl OutboardWriter {
    pub(crate) const fn new(id: BlobId, size: u64) -> Self {
        Self { id, size, buffer: Vec::new(), offset: 0, extents: Vec::new() }
    }

    /// Adds values.
    pub(crate) fn push(&mut self, inner: &Inner, values: &[Cv]) -> Result<(), StoreError> {
        for cv in values {
            self.buffer.extend_from_slice(&cv.0);
            if self.buffer.len() >= PAYLOAD_MAX {
                self.flush(inner)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, inner: &Inner) -> Result<(), StoreError> {
        let payload = core::mem::take(&mut self.buffer);
        let what = Append {
            kind: Kind::Outboard,
            flags: 0,
            id: self.id,
            blob_size: self.size,
            blob_offset: self.offset,
            payload: &payload,
        };
        let (extents, offset) = (&mut self.extents, self.offset);
        let appended = inner.append(&what, |_, loc| {
            let (at, extent) = place_record(extents.last().copied(), offset, loc, payload.len());
            extents.pop_if(|(last, _)| *last == at);
            extents.push((at, extent));
        });
        if let Err(error) = appended {
            inner.free_outboard_of(self.id, core::mem::take(&mut self.extents))?;
            return Err(error);
        }
        self.offset += payload.len() as u64;
        Ok(())
    }

    /// Gives back what was written: it leads to nothing.
    pub(crate) fn abandon(self, inner: &Inner) -> Result<(), StoreError> {
        inner.free_outboard_of(self.id, self.extents)
    }

    /// The rest of the outboard.
    pub(crate) fn finish(mut self, inner: &Inner) -> Result<FinishedOutboard, StoreError> {
        if !self.buffer.is_empty() {
            self.flush(inner)?;
        }
        Ok(FinishedOutboard { id: self.id, extents: self.extents })
    }
}

/// An outboard that is written but not referred to yet.
pub(crate) struct FinishedOutboard {
    id: BlobId,
    extents: Vec<(u64, Extent)>,
}

impl FinishedOutboard {
    /// Gives back what was written: somebody else was first.
    pub(crate) fn abandon(self, inner: &Inner) -> Result<(), StoreError> {
        inner.free_outboard_of(self.id, self.extents)
    }

    /// Puts the rows that refer to it into the batch, and says what the blob's row needs.
    pub(crate) fn book(self, pending: &mut Pending) -> Outboard {
        match self.extents.as_slice() {
            [] => Outboard::None,
            [(0, extent)] if extent.len == u64::from(extent.chunk) => Outboard::Record(extent.loc),
            extents => {
                for (offset, extent) in extents {
                    let key = Extent::key(self.id, Holds::Outboard, *offset);
                    pending.put(Table::Extents, &key, extent.encode().to_vec());
                }
                Outboard::Extents
            }
        }
    }
}

/// A record, and the key of the row that says where it is, if it has one.
type Keyed = (Option<Vec<u8>>, Extent);

impl Inner {
    /// Gives back values that were written and are not referred to.
    fn free_outboard_of(&self, id: BlobId, extents: Vec<(u64, Extent)>) -> Result<(), StoreError> {
        let carried = self.is_carried(id)?;
        let mut pending = self.pending();
        extents.into_iter().for_each(|(_, extent)| pending.work.free_of(carried, extent));
        Ok(())
    }

    /// The records of a blob's outboard, each with the key of its row if it has one.
    pub(crate) fn outboard_records(
        &self,
        id: BlobId,
        tree: Tree,
        outboard: Outboard,
    ) -> Result<Vec<Keyed>, StoreError> {
        let mut records = Vec::new();
        if let Outboard::Record(loc) = outboard {
            records.push((None, whole(loc, tree.outboard_len())));
        }
        let from = Extent::key(id, Holds::Outboard, 0);
        let to = Extent::key(id, Holds::Patch, 0);
        for (key, value) in self.rows(Table::Extents, &from, Some(&to), usize::MAX)? {
            records.extend(Extent::decode(&value).map(|extent| (Some(key), extent)));
        }
        Ok(records)
    }
}

/// Reads a stored outboard.
#[derive(Clone, Debug)]
pub(crate) struct StoredOutboard {
    /// Weak, since the store itself keeps readers with one of these.
    pub(crate) inner: Weak<Inner>,
    pub(crate) id: BlobId,
    pub(crate) tree: Tree,
    pub(crate) outboard: Outboard,
}

/// A source that knows whether the values it is asked for were ever written.
pub(crate) trait ReadValues {
    /// Reads values; those that are not there become zeros. Returns whether all were there.
    fn read_values(&self, first_group: u64, out: &mut [Cv]) -> Result<bool, StoreError>;
}

/// Values of which none is missing: whoever merges a whole outboard stops at the first that is, so
/// that a size somebody made up costs no more than what is there.
pub(crate) struct Whole<'a, S>(pub(crate) &'a S);

/// Why values could not be read.
pub(crate) enum NotWhole {
    Missing,
    Store(StoreError),
}

impl<S: ReadValues> CvSource for Whole<'_, S> {
    type Error = NotWhole;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), NotWhole> {
        //= rfcs/0009-store.md#store-26
        //# A store MUST stop at the first byte that is missing when it merges an outboard or reads a blob to make one.
        match self.0.read_values(first_group, out) {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotWhole::Missing),
            Err(error) => Err(NotWhole::Store(error)),
        }
    }
}

impl CvSource for StoredOutboard {
    type Error = StoreError;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), StoreError> {
        self.read_values(first_group, out).map(drop)
    }
}

impl ReadValues for StoredOutboard {
    fn read_values(&self, first_group: u64, out: &mut [Cv]) -> Result<bool, StoreError> {
        let inner = self.inner.upgrade().ok_or(StoreError::Poisoned)?;
        let mut bytes = vec![0; out.len() * Cv::LEN];
        let from = first_group.saturating_mul(Cv::LEN as u64);
        let whole = match self.outboard {
            Outboard::None => false,
            Outboard::Record(loc) => {
                inner.read_extent(&whole(loc, self.tree.outboard_len()), from, &mut bytes)?
            }
            Outboard::Extents => inner.read_extents(self.id, Holds::Outboard, from, &mut bytes)?,
        };
        cvs_of(&bytes, out);
        Ok(whole)
    }
}

/// One record as an extent.
pub(crate) fn whole(loc: Loc, len: u64) -> Extent {
    let chunk = u32::try_from(len).unwrap_or(u32::MAX).max(1);
    Extent { loc, chunk, len }
}

/// Values from their bytes.
pub(crate) fn cvs_of(bytes: &[u8], out: &mut [Cv]) {
    for (cv, bytes) in out.iter_mut().zip(bytes.as_chunks::<{ Cv::LEN }>().0) {
        *cv = Cv(*bytes);
    }
}

/// The bytes of values.
pub(crate) fn cv_bytes(values: &[Cv]) -> Vec<u8> {
    values.iter().flat_map(|cv| cv.0).collect()
}

/// Values of a blob whose id is not known yet: in memory up to 1 MiB, then in a temporary file.
pub(crate) struct Spool<'a> {
    inner: &'a Inner,
    values: Vec<Cv>,
    file: Option<(Arc<dyn File>, Vec<u8>)>,
    /// Values in the file.
    spilled: u64,
}

/// Values kept in memory: the outboard of 512 MiB.
const SPOOL_VALUES_MAX: usize = PAYLOAD_MAX / Cv::LEN;

impl<'a> Spool<'a> {
    pub(crate) const fn new(inner: &'a Inner) -> Self {
        Self { inner, values: Vec::new(), file: None, spilled: 0 }
    }

    /// Where the next values go; call [`settle`](Self::settle) now and then.
    pub(crate) const fn values(&mut self) -> &mut Vec<Cv> {
        &mut self.values
    }

    /// Moves values out of memory if there are many.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        if self.values.len() < SPOOL_VALUES_MAX {
            return Ok(());
        }
        if self.file.is_none() {
            let path = self.inner.temporary_path();
            let file = self.inner.open_own(&path, Open::Create { mode: 0o600 })?;
            self.file = Some((file, path));
        }
        if let Some((file, _)) = &self.file {
            file.write_at(&cv_bytes(&self.values), self.spilled * Cv::LEN as u64)
                .map_err(|error| StoreError::io("write", self.inner.dir.path(), error))?;
            self.spilled += self.values.len() as u64;
            self.values.clear();
        }
        Ok(())
    }

    /// Writes all values into records, now that the id is known.
    pub(crate) fn write(&self, id: BlobId, size: u64) -> Result<FinishedOutboard, StoreError> {
        let mut writer = OutboardWriter::new(id, size);
        if Tree::new(size).stored_cvs() == 0 {
            return writer.finish(self.inner);
        }
        let mut at = 0;
        while let Some((file, _)) = self.file.as_ref().filter(|_| at < self.spilled) {
            let len = usize::try_from(self.spilled - at).unwrap_or(usize::MAX);
            let mut values = vec![Cv::default(); len.min(SPOOL_VALUES_MAX)];
            let mut bytes = vec![0; values.len() * Cv::LEN];
            file.read_at(&mut bytes, at * Cv::LEN as u64)
                .map_err(|error| StoreError::io("read", self.inner.dir.path(), error))?;
            cvs_of(&bytes, &mut values);
            writer.push(self.inner, &values)?;
            at += values.len() as u64;
        }
        writer.push(self.inner, &self.values)?;
        writer.finish(self.inner)
    }
}

impl Drop for Spool<'_> {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file {
            // What stays behind is removed at the next open.
            let _ = self.inner.dir.remove(path);
        }
    }
}
