//! Bringing bytes in that are at hand: `put` and `import`.

use std::{
    io::{self, Read},
    sync::Arc,
};

use samara_base::{BlobId, GroupLog2};
use samara_tree::OutboardBuilder;

use crate::{
    BlobStat, Store, Target,
    error::{ImportError, ReceiveError, StoreError},
    index::Table,
    inner::Inner,
    limits::PAYLOAD_MAX,
    outboard::Spool,
    partial::place_record,
    record::{FLAG_PROVISIONAL, Kind},
    row::{BlobRow, Extent, Holds, Outboard, Place},
    segment::Append,
};

impl Store {
    /// Puts bytes into the store's segments. Durable after the next
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn put(&self, data: &[u8]) -> Result<BlobId, StoreError> {
        self.inner.alive()?;
        if data.len() as u64 <= GroupLog2::KIB16.bytes() {
            let id = samara_tree::hash(data);
            return match self.keep_small(&id, &Target::Segments, data) {
                Ok(()) => Ok(id),
                Err(ReceiveError::Store(error)) => Err(error),
                Err(error) => Err(StoreError::corrupt(error)),
            };
        }
        let mut builder = OutboardBuilder::new();
        let mut spool = Spool::new(&self.inner);
        builder.push(data, &mut |_, cv| spool.values().push(cv));
        let (id, size) = builder.finish(&mut |_, cv| spool.values().push(cv));
        if !self.inner.is_wanted(id)? {
            return Ok(id);
        }
        let mut writer = DataWriter::new(id, size, 0);
        writer.push(&self.inner, data)?;
        self.inner.book(id, size, writer.extents, &spool)?;
        self.inner.maybe_checkpoint()?;
        Ok(id)
    }

    /// Copies all bytes of `reader` into the store's segments and returns what blob they are.
    /// `progress` gets the number of bytes so far, now and then. Durable after the next
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// Memory does not depend on the number of bytes, but for some 40 bytes per segment file.
    ///
    /// # Errors
    ///
    /// [`ImportError`]. Nothing was imported then.
    pub fn import(
        &self,
        mut reader: impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<BlobStat, ImportError> {
        let inner = &self.inner;
        inner.alive()?;
        let mut buffer = Vec::with_capacity(PAYLOAD_MAX);
        fill(&mut reader, &mut buffer)?;
        if buffer.len() < PAYLOAD_MAX {
            let id = self.put(&buffer)?;
            progress(buffer.len() as u64);
            return self.stat(&id)?.ok_or_else(|| StoreError::corrupt("a new blob").into());
        }
        let mut builder = OutboardBuilder::new();
        let mut spool = Spool::new(inner);
        // The id is not known before the end, so the records carry a provisional one.
        let mut writer = DataWriter::new(inner.provisional_id(&buffer), 0, FLAG_PROVISIONAL);
        while !buffer.is_empty() {
            builder.push(&buffer, &mut |_, cv| spool.values().push(cv));
            if let Err(error) = writer.push(inner, &buffer).and_then(|()| spool.settle()) {
                inner.free_all(&writer.extents);
                return Err(error.into());
            }
            progress(builder.size());
            inner.maybe_checkpoint()?;
            buffer.clear();
            if let Err(error) = fill(&mut reader, &mut buffer) {
                inner.free_all(&writer.extents);
                return Err(error);
            }
        }
        let provisional = writer.id;
        let (id, size) = builder.finish(&mut |_, cv| spool.values().push(cv));
        if inner.is_wanted(id)? {
            let what = Append {
                kind: Kind::Bind,
                flags: FLAG_PROVISIONAL,
                id: provisional,
                blob_size: size,
                blob_offset: 0,
                payload: id.as_bytes(),
            };
            inner.append(&what, |_, _| ())?;
            inner.book(id, size, writer.extents, &spool)?;
        } else {
            inner.free_all(&writer.extents);
        }
        inner.maybe_checkpoint()?;
        self.stat(&id)?.ok_or_else(|| StoreError::corrupt("a new blob").into())
    }
}

/// Fills the buffer as far as the reader goes.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>) -> Result<(), ImportError> {
    let room = (PAYLOAD_MAX - buffer.len()) as u64;
    match reader.by_ref().take(room).read_to_end(buffer) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => fill(reader, buffer),
        Err(error) => Err(ImportError::Read(Arc::new(error))),
    }
}

/// Writes the bytes of a blob into records, in order.
struct DataWriter {
    id: BlobId,
    size: u64,
    flags: u8,
    offset: u64,
    extents: Vec<(u64, Extent)>,
}

impl DataWriter {
    const fn new(id: BlobId, size: u64, flags: u8) -> Self {
        Self { id, size, flags, offset: 0, extents: Vec::new() }
    }

    fn push(&mut self, inner: &Inner, data: &[u8]) -> Result<(), StoreError> {
        for payload in data.chunks(PAYLOAD_MAX) {
            let what = Append {
                kind: Kind::Data,
                flags: self.flags,
                id: self.id,
                blob_size: self.size,
                blob_offset: self.offset,
                payload,
            };
            let (extents, offset) = (&mut self.extents, self.offset);
            inner.append(&what, |_, loc| {
                let last = extents.last().copied();
                let (at, extent) = place_record(last, offset, loc, payload.len());
                extents.pop_if(|(last, _)| *last == at);
                extents.push((at, extent));
            })?;
            self.offset += payload.len() as u64;
        }
        Ok(())
    }
}

impl Inner {
    /// Whether a blob that is at hand is not held yet, or not all of it.
    pub(crate) fn is_wanted(&self, id: BlobId) -> Result<bool, StoreError> {
        Ok(match self.blob_row(id)? {
            None => true,
            Some(row) => row.damaged || !self.has_place(id, &row)?,
        })
    }

    /// Makes a blob of records that were written.
    fn book(
        &self,
        id: BlobId,
        size: u64,
        extents: Vec<(u64, Extent)>,
        spool: &Spool<'_>,
    ) -> Result<(), StoreError> {
        self.drop_partial(id)?;
        if let Some(old) = self.blob_row(id)? {
            // Damaged or changed: everything of it is replaced.
            self.free_row(id, &old)?;
            self.pending().delete(Table::Damaged, id.as_bytes());
        }
        let outboard = spool.write(id, size)?;
        let mut pending = self.pending();
        let outboard: Outboard = outboard.book(&mut pending);
        let place = match extents.as_slice() {
            [(0, extent)] if extent.len == u64::from(extent.chunk) => Place::Record(extent.loc),
            extents => {
                for (offset, extent) in extents {
                    let key = Extent::key(id, Holds::Data, *offset);
                    pending.put(Table::Extents, &key, extent.encode().to_vec());
                }
                Place::Extents
            }
        };
        let places = vec![place];
        let row = BlobRow { size, outboard, damaged: false, patched: false, places };
        pending.put(Table::Blobs, id.as_bytes(), row.encode());
        drop(pending);
        crate::inner::locked(&self.readers).forget(id);
        Ok(())
    }

    /// An id for the records of an import that begins with these bytes. Two imports that begin alike
    /// and run at the same time must be told apart when the index is made again.
    fn provisional_id(&self, first: &[u8]) -> BlobId {
        let (segment, offset) = self.writer().position();
        let mut seed = Vec::from(*samara_tree::hash(first).as_bytes());
        for number in [u64::from(segment), offset, self.number()] {
            seed.extend_from_slice(&number.to_le_bytes());
        }
        samara_tree::hash(&seed)
    }

    /// Gives extents back that nothing refers to.
    fn free_all(&self, extents: &[(u64, Extent)]) {
        let mut pending = self.pending();
        extents.iter().for_each(|(_, extent)| pending.work.free(*extent));
    }
}
