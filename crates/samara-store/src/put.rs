//! Bringing bytes in that are in memory.

use samara_base::{BlobId, GroupLog2};
use samara_chunk::{Chunker, ChunkerParams};
use samara_tree::OutboardBuilder;

use crate::{
    Class, Store, Target,
    error::{ReceiveError, StoreError},
    index::Table,
    inner::{Inner, Pending},
    limits::PAYLOAD_MAX,
    map::MapWriter,
    outboard::{FinishedOutboard, Spool, whole},
    partial::place_record,
    quota::{room_of, room_of_chunks},
    record::{FLAG_PROVISIONAL, Kind},
    row::{BlobRow, Extent, Holds, Outboard, Place},
    segment::Append,
};

impl Store {
    /// Puts bytes into the store's segments, in chunks that blobs share. Durable after the next
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn put(&self, data: &[u8]) -> Result<BlobId, StoreError> {
        self.inner.alive()?;
        if data.len() as u64 <= GroupLog2::KIB16.bytes() {
            let id = samara_tree::hash(data);
            self.inner.claim(id)?;
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
        self.inner.claim(id)?;
        if !self.inner.is_wanted(id)? {
            return Ok(id);
        }
        let params = self.inner.options.chunking;
        let params = params.filter(|params| data.len() > params.avg_bytes());
        let room = params.map_or_else(|| room_of(size), |params| room_of_chunks(size, params));
        let _room = self.inner.admit(Class::Own, room)?;
        let written = match params {
            Some(params) => {
                let mut cut = Cut::new(&self.inner, params, data)?;
                match cut.push(data) {
                    Ok(()) => cut.finish(id)?,
                    Err(error) => {
                        // What can't be given back now is at the next collection.
                        let _ = cut.map.abort();
                        return Err(error);
                    }
                }
            }
            None => self.inner.with_room(|| {
                let mut writer = DataWriter::new(id, size, 0);
                match writer.push(&self.inner, data) {
                    Ok(()) => Ok(Written::Extents { data: writer.extents, binding: None }),
                    Err(error) => {
                        self.inner.free_all(&writer.extents);
                        Err(error)
                    }
                }
            })?,
        };
        self.inner.book(id, size, written, &spool)?;
        self.inner.maybe_checkpoint()?;
        Ok(id)
    }
}

/// What an import has written, ready to be a blob's.
pub(crate) enum Written<'a> {
    Extents {
        data: Vec<(u64, Extent)>,
        binding: Option<Extent>,
    },
    /// In the chunks of a map, which is loose until the blob has its row.
    Chunks(MapWriter<'a>),
}

impl Written<'_> {
    /// Gives everything back.
    fn abandon(self, inner: &Inner) -> Result<(), StoreError> {
        match self {
            Self::Extents { data, binding } => {
                inner.free_all(&data);
                inner.free_all(binding.map(|binding| (0, binding)).as_slice());
                Ok(())
            }
            Self::Chunks(map) => map.abort(),
        }
    }
}

/// Cuts the bytes of a blob into chunks and keeps these.
struct Cut<'a> {
    chunker: Chunker,
    map: MapWriter<'a>,
}

impl<'a> Cut<'a> {
    fn new(inner: &'a Inner, params: ChunkerParams, first: &[u8]) -> Result<Self, StoreError> {
        Ok(Self { chunker: Chunker::new(params), map: MapWriter::new(inner, first)? })
    }

    fn push(&mut self, data: &[u8]) -> Result<(), StoreError> {
        let mut done = Ok(());
        self.chunker.push(data, |chunk, bytes| {
            if done.is_ok() {
                done = self.map.push(chunk, bytes);
            }
        });
        done
    }

    fn finish(self, id: BlobId) -> Result<Written<'a>, StoreError> {
        let Self { chunker, mut map } = self;
        let mut done = Ok(());
        chunker.finish(|chunk, bytes| {
            if done.is_ok() {
                done = map.push(chunk, bytes);
            }
        });
        match done.and_then(|()| map.finish(id)) {
            Ok(()) => Ok(Written::Chunks(map)),
            Err(error) => {
                let _ = map.abort();
                Err(error)
            }
        }
    }
}

/// Writes the bytes of a blob into records, in order.
pub(crate) struct DataWriter {
    id: BlobId,
    size: u64,
    flags: u8,
    offset: u64,
    pub(crate) extents: Vec<(u64, Extent)>,
}

impl DataWriter {
    pub(crate) const fn new(id: BlobId, size: u64, flags: u8) -> Self {
        Self { id, size, flags, offset: 0, extents: Vec::new() }
    }

    pub(crate) fn push(&mut self, inner: &Inner, data: &[u8]) -> Result<(), StoreError> {
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

    /// Says which blob the provisional id was.
    pub(crate) fn finish(
        mut self,
        inner: &Inner,
        id: BlobId,
        size: u64,
    ) -> Result<Written<'static>, StoreError> {
        let what = Append {
            kind: Kind::Bind,
            flags: FLAG_PROVISIONAL,
            id: self.id,
            blob_size: size,
            blob_offset: 0,
            payload: id.as_bytes(),
        };
        let mut binding = None;
        let bound = inner.append(&what, |_, loc| binding = Some(whole(loc, BlobId::LEN as u64)));
        if let Err(error) = bound {
            inner.free_all(&self.extents);
            return Err(error);
        }
        Ok(Written::Extents { data: core::mem::take(&mut self.extents), binding })
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
    pub(crate) fn book(
        &self,
        id: BlobId,
        size: u64,
        written: Written<'_>,
        spool: &Spool<'_>,
    ) -> Result<(), StoreError> {
        let _owned = self.owners.take(id);
        if !self.is_wanted(id)? {
            // Somebody else was first.
            return written.abandon(self);
        }
        let written_out = spool.write(id, size);
        let done = written_out.and_then(|outboard| self.book_all(id, size, &written, outboard));
        match done {
            Ok(loosened) => {
                crate::inner::locked(&self.readers).forget(id);
                loosened.map_or(Ok(()), |map| self.reclaim_map(map))
            }
            Err(error) => {
                // What can't be given back now is at the next collection.
                let _ = written.abandon(self);
                Err(error)
            }
        }
    }

    /// Puts the rows of a blob in place of those that were there, damaged or changed. Returns the map
    /// that was replaced.
    fn book_all(
        &self,
        id: BlobId,
        size: u64,
        written: &Written<'_>,
        outboard: FinishedOutboard,
    ) -> Result<Option<u64>, StoreError> {
        let has_partial = self.close_partial(id)?;
        self.replace(id, |pending, old| {
            if has_partial {
                pending.forget_partial(id);
            }
            let outboard: Outboard = outboard.book(pending);
            let place = match written {
                Written::Extents { data, binding } => book_extents(pending, id, data, *binding),
                Written::Chunks(map) => map.bind(pending),
            };
            let places = vec![place];
            let row = BlobRow { size, outboard, damaged: false, patched: false, places };
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
            pending.delete(Table::Damaged, id.as_bytes());
            old.and_then(|old| old.loosen(pending))
        })
    }

    /// An id for the records of an import that begins with these bytes. Two imports that begin alike
    /// and run at the same time must be told apart when the index is made again.
    pub(crate) fn provisional_id(&self, first: &[u8]) -> BlobId {
        let (segment, offset) = self.writer().position();
        let mut seed = Vec::from(*samara_tree::hash(first).as_bytes());
        for number in [u64::from(segment), offset, self.number()] {
            seed.extend_from_slice(&number.to_le_bytes());
        }
        samara_tree::hash(&seed)
    }

    /// Gives extents back that nothing refers to.
    pub(crate) fn free_all(&self, extents: &[(u64, Extent)]) {
        let mut pending = self.pending();
        extents.iter().for_each(|(_, extent)| pending.work.free(*extent));
    }
}

/// Puts the rows of a blob in records, and says what its own row needs.
fn book_extents(
    pending: &mut Pending,
    id: BlobId,
    data: &[(u64, Extent)],
    binding: Option<Extent>,
) -> Place {
    if let ([(0, extent)], None) = (data, binding)
        && extent.len == u64::from(extent.chunk)
    {
        return Place::Record(extent.loc);
    }
    let rows = data.iter().map(|(offset, extent)| (Holds::Data, *offset, extent));
    for (holds, offset, extent) in rows.chain(binding.iter().map(|it| (Holds::Binding, 0, it))) {
        pending.put(Table::Extents, &Extent::key(id, holds, offset), extent.encode().to_vec());
    }
    Place::Extents
}
