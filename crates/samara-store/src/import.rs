//! Bringing bytes in that somebody reads from somewhere.

use std::{
    io::{self, Read},
    panic,
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use samara_base::{BlobId, RangeSet};
use samara_chunk::{Chunk, Chunker, ChunkerParams};
use samara_tree::OutboardBuilder;

use crate::{
    BlobPlace, BlobStat, Class, Store,
    error::{ImportError, StoreError},
    inner::Inner,
    limits::PAYLOAD_MAX,
    map::MapWriter,
    outboard::Spool,
    put::{DataWriter, Written},
    quota::{records_of, room_of_map},
    record::FLAG_PROVISIONAL,
};

/// What may be cut and not stored yet, in average chunks. Unit: bytes.
const QUEUED_BYTES: usize = 4 << 20;

impl Store {
    /// Copies all bytes of `reader` into the store's segments and returns what blob they are.
    /// `progress` gets the number of bytes read so far, now and then. Durable after the next
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// The bytes are cut into chunks ([`Options::chunking`](crate::Options::chunking)), of which those
    /// that are in the store already are not written again. From 1 MiB on this thread reads and
    /// hashes, and another one, which ends with the call, compares and writes. Memory does not depend
    /// on the number of bytes, but without chunks for some 40 bytes per segment file.
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
        let first = next_block(inner, &mut reader)?;
        if first.len() < PAYLOAD_MAX {
            let id = self.put(&first)?;
            progress(first.len() as u64);
            return Ok(self.stat_of_new(id, first.len() as u64)?);
        }
        let (id, size) = match inner.options.chunking {
            Some(params) => inner.import_chunks(params, first, reader, progress)?,
            None => inner.import_data(first, reader, progress)?,
        };
        inner.maybe_checkpoint()?;
        Ok(self.stat_of_new(id, size)?)
    }

    /// What was brought in just now, even if somebody else has removed it since.
    fn stat_of_new(&self, id: BlobId, size: u64) -> Result<BlobStat, StoreError> {
        Ok(self.stat(&id)?.unwrap_or_else(|| BlobStat {
            id,
            size,
            size_proven: true,
            held: RangeSet::new(),
            complete: false,
            place: BlobPlace::InSegments,
            damaged: RangeSet::new(),
        }))
    }
}

impl Inner {
    fn import_chunks(
        &self,
        params: ChunkerParams,
        first: Bytes,
        reader: impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(BlobId, u64), ImportError> {
        let _room = self.admit(Class::Own, room_of_map())?;
        let map = MapWriter::new(self, &first)?;
        let (send, receive) = mpsc::sync_channel(QUEUED_BYTES / params.avg_bytes());
        let (cut, (mut map, kept)) = thread::scope(|scope| {
            let keeper = thread::Builder::new()
                .name("samara-import".to_owned())
                .spawn_scoped(scope, move || keep(self, map, &receive));
            let keeper =
                keeper.map_err(|error| StoreError::io("start a thread for", "an import", error))?;
            let cut = self.cut(params, first, reader, progress, send);
            Ok::<_, StoreError>((cut, keeper.join().unwrap_or_else(|p| panic::resume_unwind(p))))
        })?;
        let done = kept.map_err(ImportError::from).and(cut);
        let done = done.and_then(|hashed| {
            let (id, _) = hashed.end;
            self.claim(id)?;
            let wanted = self.is_wanted(id)?;
            if wanted {
                map.finish(id)?;
            }
            Ok((hashed, wanted))
        });
        match done {
            Ok((hashed, wanted)) => {
                let (id, size) = hashed.end;
                if wanted {
                    self.book(id, size, Written::Chunks(map), &hashed.spool)?;
                } else {
                    map.abort()?;
                }
                Ok((id, size))
            }
            Err(error) => {
                // What can't be given back now is at the next collection.
                let _ = map.abort();
                Err(error)
            }
        }
    }

    /// Reads, hashes and cuts all bytes, and sends the chunks on. If nobody takes them any more, the
    /// keeper knows why.
    fn cut(
        &self,
        params: ChunkerParams,
        first: Bytes,
        mut reader: impl Read,
        progress: &mut dyn FnMut(u64),
        send: mpsc::SyncSender<(Chunk, Bytes)>,
    ) -> Result<Hashed<'_>, ImportError> {
        let (mut builder, mut spool) = (OutboardBuilder::new(), Spool::new(self));
        let mut chunker = Chunker::new(params);
        let (mut block, mut taken) = (first, true);
        while taken && !block.is_empty() {
            builder.push(&block, &mut |_, cv| spool.values().push(cv));
            spool.settle()?;
            chunker.push(&block, |chunk, bytes| {
                taken = taken && send.send((chunk, part_of(&block, bytes))).is_ok();
            });
            progress(builder.size());
            block = next_block(self, &mut reader)?;
        }
        chunker.finish(|chunk, bytes| {
            taken = taken && send.send((chunk, Bytes::copy_from_slice(bytes))).is_ok();
        });
        let end = builder.finish(&mut |_, cv| spool.values().push(cv));
        Ok(Hashed { end, spool })
    }

    fn import_data(
        &self,
        first: Bytes,
        mut reader: impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(BlobId, u64), ImportError> {
        let (mut builder, mut spool) = (OutboardBuilder::new(), Spool::new(self));
        // The id is not known before the end, so the records carry a provisional one.
        let mut writer = DataWriter::new(self.provisional_id(&first), 0, FLAG_PROVISIONAL);
        let mut block = first;
        while !block.is_empty() {
            builder.push(&block, &mut |_, cv| spool.values().push(cv));
            progress(builder.size());
            let room = self.admit(Class::Own, records_of(block.len() as u64));
            let pushed = room.and_then(|_room| self.with_room(|| writer.push(self, &block)));
            let pushed = pushed.and_then(|()| spool.settle());
            let pushed = pushed.and_then(|()| self.maybe_checkpoint());
            match pushed.map_err(ImportError::from).and_then(|()| next_block(self, &mut reader)) {
                Ok(next) => block = next,
                Err(error) => {
                    self.free_all(&writer.extents);
                    return Err(error);
                }
            }
        }
        let (id, size) = builder.finish(&mut |_, cv| spool.values().push(cv));
        self.claim(id)?;
        if self.is_wanted(id)? {
            let written = writer.finish(self, id, size)?;
            self.book(id, size, written, &spool)?;
        } else {
            self.free_all(&writer.extents);
        }
        Ok((id, size))
    }
}

/// What all bytes of an import are.
struct Hashed<'a> {
    end: (BlobId, u64),
    spool: Spool<'a>,
}

/// Keeps chunks as they come, until there are no more or one can't be kept.
fn keep<'a>(
    inner: &Inner,
    mut map: MapWriter<'a>,
    chunks: &mpsc::Receiver<(Chunk, Bytes)>,
) -> (MapWriter<'a>, Result<(), StoreError>) {
    let mut unchecked = 0;
    let kept = chunks.iter().try_for_each(|(chunk, bytes)| {
        let _room = inner.admit(Class::Own, records_of(bytes.len() as u64))?;
        map.push(chunk, &bytes)?;
        unchecked += bytes.len();
        if unchecked < PAYLOAD_MAX {
            return Ok(());
        }
        unchecked = 0;
        inner.maybe_checkpoint()
    });
    (map, kept)
}

/// The next bytes, as many as one block has if there are so many.
fn next_block(inner: &Inner, reader: &mut impl Read) -> Result<Bytes, ImportError> {
    let mut buffer = inner.buffers.take(PAYLOAD_MAX);
    let mut len = 0;
    while let Some(rest) = buffer.bytes().get_mut(len..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => len += read.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ImportError::Read(Arc::new(error))),
        }
    }
    Ok(buffer.freeze().slice(..len))
}

/// A part of a block without copying it; or a copy, if it lies elsewhere.
fn part_of(block: &Bytes, part: &[u8]) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= block.len() => block.slice(start..end),
        _ => Bytes::copy_from_slice(part),
    }
}
