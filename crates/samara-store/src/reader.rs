//! Reading blobs: every byte that leaves the store is verified first.

use core::ops::Range;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet, leaf_span};
use samara_tree::{EncodeError, OpenError, Prover, Tree};

use crate::{
    disk::File,
    error::{ReadError, StoreError},
    inner::{Inner, is_missing, locked},
    map::OpenMap,
    outboard::{NotWhole, StoredOutboard, Whole},
    partial::{Partial, index},
    row::{BlobRow, External, Loc, Outboard, Place},
};

/// Readers of large blobs that are kept open, each with at most about 250 KiB of tree
/// and 350 KiB of map.
const READERS_MAX: usize = 8;

/// How often a range is read while its chunks may be on the move.
pub(crate) const TRIES_MAX: u32 = 64;

/// A range with its proof, ready for a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The proof, as long as the rule of RFC 0002 says.
    pub proof: Vec<u8>,
    /// The bytes of the range.
    pub data: Bytes,
}

/// Where bytes are read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(Arc<dyn File>),
    Record(Loc),
    Extents,
    Map(Arc<OpenMap>),
}

/// A complete blob, open for reading.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) id: BlobId,
    pub(crate) size: u64,
    source: Source,
    /// The file that the bytes are in, if it is not the store's.
    external: Option<External>,
    /// `None` for a blob of one group, which is hashed as a whole.
    prover: Option<Prover>,
    outboard: StoredOutboard,
    damaged: Mutex<RangeSet>,
    patched: bool,
}

/// Readers of large blobs, last used last.
#[derive(Debug, Default)]
pub(crate) struct ReaderCache {
    open: Vec<Arc<Complete>>,
}

impl ReaderCache {
    fn get(&mut self, id: BlobId) -> Option<Arc<Complete>> {
        let at = self.open.iter().position(|reader| reader.id == id)?;
        let reader = self.open.remove(at);
        self.open.push(Arc::clone(&reader));
        Some(reader)
    }

    fn put(&mut self, reader: Arc<Complete>) {
        self.forget(reader.id);
        if self.open.len() >= READERS_MAX {
            self.open.remove(0);
        }
        self.open.push(reader);
    }

    pub(crate) fn forget(&mut self, id: BlobId) {
        self.open.retain(|reader| reader.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

/// Reads one blob, complete or partial. Every byte is verified before it is handed out.
///
/// Cheap to clone; a reader of a blob that is being received sees what arrives.
#[derive(Clone, Debug)]
pub struct BlobReader {
    inner: Arc<Inner>,
    blob: Blob,
}

#[derive(Clone, Debug)]
enum Blob {
    Complete(Arc<Complete>),
    Partial(Arc<Partial>),
}

impl BlobReader {
    pub(crate) const fn partial(inner: Arc<Inner>, partial: Arc<Partial>) -> Self {
        Self { inner, blob: Blob::Partial(partial) }
    }

    /// Opens a complete blob.
    pub(crate) fn complete(
        inner: Arc<Inner>,
        id: BlobId,
        row: &BlobRow,
    ) -> Result<Self, ReadError> {
        let cached = locked(&inner.readers).get(id);
        if let Some(reader) = cached {
            // It may be of a blob that was removed and came back.
            if reader.is_of(row) && reader.is_unchanged(&inner)? {
                return Ok(Self { inner, blob: Blob::Complete(reader) });
            }
            locked(&inner.readers).forget(id);
        }
        let reader = Arc::new(Complete::open(&inner, id, row)?);
        if reader.prover.is_some() {
            locked(&inner.readers).put(Arc::clone(&reader));
        }
        Ok(Self { inner, blob: Blob::Complete(reader) })
    }

    /// The blob's id.
    #[must_use]
    pub fn id(&self) -> BlobId {
        match &self.blob {
            Blob::Complete(complete) => complete.id,
            Blob::Partial(partial) => partial.id,
        }
    }

    /// The blob's size. For a partial blob, what was claimed. Unit: bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.blob {
            Blob::Complete(complete) => complete.size,
            Blob::Partial(partial) => partial.size,
        }
    }

    /// The leaves that are held now.
    #[must_use]
    pub fn held(&self) -> RangeSet {
        match &self.blob {
            Blob::Complete(complete) => complete.held(),
            Blob::Partial(partial) => partial.state().verifier.known().clone(),
        }
    }

    /// Reads a range of leaves and makes its proof relative to `base`, for a transfer. `range` is
    /// made of whole groups of size `group`.
    ///
    /// What is read is verified in the same pass, so the store never serves a false byte. Costs one
    /// read, one hash and no copy.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] names the groups that went into quarantine, [`ReadError::Changed`] the
    /// shared file that changed.
    pub fn encode(
        &self,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
    ) -> Result<Encoded, ReadError> {
        self.inner.alive()?;
        match &self.blob {
            Blob::Complete(complete) => {
                self.where_it_is(complete, |it| it.encode(&self.inner, group, range, base))
            }
            Blob::Partial(partial) => encode_partial(partial, &self.inner, group, range, base),
        }
    }

    /// Reads a range of bytes, verified. The range must be inside the blob; an empty one gives no
    /// bytes. Whole 16 KiB groups are read and hashed, so aligned ranges cost least.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.inner.alive()?;
        if range.start > range.end || range.end > self.size() {
            return Err(ReadError::Range);
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let leaves = leaf_span(&range);
        let (span, data) = match &self.blob {
            Blob::Complete(complete) => {
                self.where_it_is(complete, |it| it.checked(&self.inner, &leaves))?
            }
            Blob::Partial(partial) => checked_partial(partial, &self.inner, &leaves)?,
        };
        let start = span.start * LEAF_BYTES;
        Ok(data.slice(index(range.start - start)..index(range.end - start)))
    }
}

impl BlobReader {
    /// Gives up leaves that can't be read, as if they were damaged.
    pub(crate) fn condemn(&self, leaves: &RangeSet) -> Result<(), StoreError> {
        match &self.blob {
            Blob::Complete(complete) => {
                let mut damaged = locked(&complete.damaged);
                *damaged = damaged.union(leaves);
                drop(damaged);
                self.inner.quarantine(complete.id, leaves)
            }
            Blob::Partial(partial) => {
                partial.lose(&self.inner, leaves);
                Ok(())
            }
        }
    }

    /// Whether all bytes are there but for what is damaged.
    pub(crate) const fn is_complete(&self) -> bool {
        matches!(self.blob, Blob::Complete(_))
    }
}

impl BlobReader {
    /// Does something with a complete blob, and once more where it is now if it was moved or replaced
    /// since this reader was opened.
    fn where_it_is<T>(
        &self,
        complete: &Arc<Complete>,
        work: impl Fn(&Complete) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut result = work(complete);
        for _ in 0..TRIES_MAX {
            if !matches!(result, Err(ReadError::NotHeld { .. })) {
                break;
            }
            let Some(row) = self.inner.blob_row(complete.id)? else { break };
            let Self { blob: Blob::Complete(now), .. } =
                Self::complete(Arc::clone(&self.inner), complete.id, &row)?
            else {
                break;
            };
            result = work(&now);
        }
        result
    }
}

/// Reads held leaves of a partial blob.
fn read_partial(
    partial: &Partial,
    inner: &Inner,
    patched: bool,
    span: &Range<u64>,
) -> Result<Bytes, StoreError> {
    let bytes = Tree::new(partial.size).bytes(span);
    let mut buffer = inner.buffer(&bytes);
    inner.read_source(&partial.source(), partial.id, bytes.start, buffer.bytes())?;
    if patched {
        inner.lay_patches(partial.id, bytes.start, buffer.bytes())?;
    }
    Ok(buffer.freeze())
}

/// What can be read of a complete blob of which some leaves are in quarantine. An outboard proves
/// whole groups, so a leaf whose neighbour is damaged can't be proven, even if it was fetched again.
pub(crate) fn readable(damaged: &RangeSet, leaves: u64) -> RangeSet {
    let groups = damaged.runs().iter().map(|run| GroupLog2::KIB16.align(run, leaves));
    groups.collect::<RangeSet>().complement(leaves)
}

fn missing(held: &RangeSet, range: &Range<u64>) -> Option<ReadError> {
    if held.contains_range(range) {
        return None;
    }
    Some(ReadError::NotHeld { missing: RangeSet::from(range.clone()).difference(held) })
}

fn encode_partial(
    partial: &Arc<Partial>,
    inner: &Inner,
    group: GroupLog2,
    range: &Range<u64>,
    base: &RangeSet,
) -> Result<Encoded, ReadError> {
    let state = partial.state();
    if range.is_empty() || range.end > state.verifier.tree().leaves() {
        return Err(ReadError::Range);
    }
    if let Some(error) = missing(state.verifier.known(), range) {
        return Err(error);
    }
    let span = state.verifier.span(range);
    let read = read_partial(partial, inner, state.patched, &span).map(|data| {
        let proof = state.verifier.encode(&state.cvs, group, range, base, &data);
        proof.map(|proof| Encoded { proof, data: part(&data, &span, range, partial.size) })
    });
    drop(state);
    read.unwrap_or_else(|error| Err(EncodeError::Source(error)))
        .map_err(|error| partial_fault(partial, inner, &span, error))
}

fn checked_partial(
    partial: &Arc<Partial>,
    inner: &Inner,
    leaves: &Range<u64>,
) -> Result<(Range<u64>, Bytes), ReadError> {
    let state = partial.state();
    if let Some(error) = missing(state.verifier.known(), leaves) {
        return Err(error);
    }
    let span = state.verifier.span(leaves);
    let read = read_partial(partial, inner, state.patched, &span).map(|data| {
        let damaged = state.verifier.check(&state.cvs, &span, &data)?;
        let sound = damaged.is_empty().then_some(data);
        sound.ok_or(EncodeError::Damaged { leaves: damaged })
    });
    drop(state);
    match read.unwrap_or_else(|error| Err(EncodeError::Source(error))) {
        Ok(data) => Ok((span, data)),
        Err(error) => Err(partial_fault(partial, inner, &span, error)),
    }
}

/// Leaves of a partial blob that turn out damaged are simply not held any more.
fn partial_fault(
    partial: &Arc<Partial>,
    inner: &Inner,
    span: &Range<u64>,
    error: EncodeError<StoreError>,
) -> ReadError {
    // What was given up has no bytes any more. What was finished has them as a complete blob.
    if partial.is_closed() && matches!(inner.blob_row(partial.id), Ok(None)) {
        return ReadError::NotHeld { missing: span.clone().into() };
    }
    let ranges = match error {
        EncodeError::Source(error) => return error.into(),
        EncodeError::Damaged { leaves } => leaves,
        EncodeError::Outboard { node } => RangeSet::from(node.range()),
        _ => return ReadError::Range,
    };
    partial.lose(inner, &ranges);
    ReadError::Damaged { ranges }
}

/// The bytes of `range` within the bytes of `span`.
fn part(data: &Bytes, span: &Range<u64>, range: &Range<u64>, size: u64) -> Bytes {
    let tree = Tree::new(size);
    let (span, range) = (tree.bytes(span), tree.bytes(range));
    data.slice(index(range.start - span.start)..index(range.end - span.start))
}

impl Complete {
    pub(crate) fn open(inner: &Arc<Inner>, id: BlobId, row: &BlobRow) -> Result<Self, ReadError> {
        let tree = Tree::new(row.size);
        let (source, external) = open_place(inner, id, row)?;
        let outboard =
            StoredOutboard { inner: Arc::downgrade(inner), id, tree, outboard: row.outboard };
        let damaged = if row.damaged { inner.damaged(id)? } else { RangeSet::new() };
        let mut complete = Self {
            id,
            size: row.size,
            source,
            external,
            prover: None,
            outboard,
            damaged: Mutex::new(damaged),
            patched: row.patched,
        };
        if tree.stored_cvs() > 0 {
            complete.prover = Some(match Prover::open(id, row.size, &Whole(&complete.outboard)) {
                Ok(prover) => prover,
                Err(OpenError::Source(NotWhole::Store(error))) => return Err(error.into()),
                Err(_) => {
                    complete.outboard.outboard = inner.rebuild_outboard(&complete, row)?;
                    Prover::open(id, row.size, &complete.outboard).map_err(|error| match error {
                        OpenError::Source(error) => error,
                        _ => StoreError::corrupt("an outboard that was just written is wrong"),
                    })?
                }
            });
        }
        Ok(complete)
    }

    fn held(&self) -> RangeSet {
        readable(&locked(&self.damaged), Tree::new(self.size).leaves())
    }

    /// Whether the file that the bytes are in is as it was when they were hashed.
    fn is_unchanged(&self, inner: &Inner) -> Result<bool, StoreError> {
        match (&self.source, &self.external) {
            (Source::File(file), Some(external)) => {
                let path = || inner.external_path(external.root, &external.rel);
                let meta = file.meta().map_err(|error| StoreError::io("stat", path(), error))?;
                Ok(meta.size == self.size && meta.mtime_ns == external.stamp.mtime_ns)
            }
            _ => Ok(true),
        }
    }

    fn check_unchanged(&self, inner: &Inner) -> Result<(), ReadError> {
        if self.is_unchanged(inner)? {
            return Ok(());
        }
        let path = match &self.external {
            Some(external) => {
                inner.mark_stale(self.id, external)?;
                inner.external_path(external.root, &external.rel)
            }
            None => PathBuf::new(),
        };
        Err(ReadError::Changed { path })
    }

    /// Whether it was opened by this row, and nothing of it is or was in quarantine.
    fn is_of(&self, row: &BlobRow) -> bool {
        let is_sound = !row.damaged && locked(&self.damaged).is_empty();
        is_sound && row.patched == self.patched && self.reads_from(row)
    }

    /// Whether the bytes and their proofs are still read from where the blob has them.
    fn reads_from(&self, row: &BlobRow) -> bool {
        let place = |place: &Place| match (&self.source, place) {
            (Source::Record(loc), Place::Record(found)) => loc == found,
            (Source::Extents, Place::Extents) => true,
            (Source::Map(map), Place::Chunks(found)) => map.number() == *found,
            (Source::File(_), Place::External(found)) => {
                self.external.as_ref().is_some_and(|own| {
                    (own.root, &own.rel, own.stamp) == (found.root, &found.rel, found.stamp)
                })
            }
            _ => false,
        };
        row.outboard == self.outboard.outboard && row.places.iter().any(place)
    }

    /// Reads whole units, with what was fetched again laid over, and says whether all bytes were
    /// there or some of them were fetched again.
    pub(crate) fn read(
        &self,
        inner: &Inner,
        span: &Range<u64>,
    ) -> Result<(Bytes, bool), ReadError> {
        let bytes = Tree::new(self.size).bytes(span);
        let mut buffer = inner.buffer(&bytes);
        let whole = inner.read_source(&self.source, self.id, bytes.start, buffer.bytes())?;
        let patched = self.patched && inner.lay_patches(self.id, bytes.start, buffer.bytes())?;
        Ok((buffer.freeze(), whole || patched))
    }

    fn encode(
        &self,
        inner: &Inner,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
    ) -> Result<Encoded, ReadError> {
        let tree = Tree::new(self.size);
        if !tree.is_aligned(group, range) {
            return Err(ReadError::Range);
        }
        // A blob that fits the group has an empty proof.
        if self.prover.is_none() && tree.leaves() <= group.leaves() {
            let (_, data) = self.checked(inner, range)?;
            return Ok(Encoded { proof: Vec::new(), data });
        }
        let (prover, single);
        match &self.prover {
            Some(found) => prover = found,
            None => {
                single = Prover::open(self.id, self.size, &self.outboard)
                    .map_err(|_| ReadError::Range)?;
                prover = &single;
            }
        }
        let span = prover.span(range);
        self.check_held(&span)?;
        self.verified(inner, &span, |data| {
            //= rfcs/0009-store.md#store-13
            //# A store MUST verify every byte against the blob's id before it hands the byte out.
            let proof = prover.encode(&self.outboard, group, range, base, &data)?;
            Ok(Encoded { proof, data: part(&data, &span, range, self.size) })
        })
    }

    /// Reads and has `verify` look at the bytes, until it is sure that they are not what they should
    /// be: a chunk may be moved while it is read.
    fn verified<T>(
        &self,
        inner: &Inner,
        span: &Range<u64>,
        verify: impl Fn(Bytes) -> Result<T, EncodeError<StoreError>>,
    ) -> Result<T, ReadError> {
        let mut tries = 0;
        loop {
            let moves = inner.chunks.moves();
            let verified = self.read_held(inner, span).map(&verify);
            tries += 1;
            match verified {
                Ok(Ok(verified)) => return Ok(verified),
                _ if self.may_have_moved(inner, moves) && tries < TRIES_MAX => {}
                Ok(Err(error)) => return Err(self.fault(inner, span, error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a chunk of the blob, or what lies over a part of it, may have been moved since there were
    /// so many moves.
    pub(crate) fn may_have_moved(&self, inner: &Inner, moves: u64) -> bool {
        let moves_about = self.patched
            || matches!(self.source, Source::Map(_) | Source::Extents)
            || self.outboard.outboard == Outboard::Extents;
        moves_about && inner.chunks.moves() != moves
    }

    /// The verified bytes of the units around a range of leaves.
    fn checked(
        &self,
        inner: &Inner,
        leaves: &Range<u64>,
    ) -> Result<(Range<u64>, Bytes), ReadError> {
        let tree = Tree::new(self.size);
        let span = match &self.prover {
            Some(prover) => prover.span(leaves),
            None => tree.root().range(),
        };
        self.check_held(&span)?;
        let data = self.verified(inner, &span, |data| {
            let damaged = match &self.prover {
                Some(prover) => prover.check(&self.outboard, &span, &data)?,
                None if samara_tree::hash(&data) == self.id => RangeSet::new(),
                None => RangeSet::from(span.clone()),
            };
            let sound = damaged.is_empty().then_some(data);
            sound.ok_or(EncodeError::Damaged { leaves: damaged })
        })?;
        Ok((span, data))
    }

    /// As [`read`](Self::read), of a blob that may have been removed since it was opened.
    fn read_held(&self, inner: &Inner, span: &Range<u64>) -> Result<Bytes, ReadError> {
        // What was unshared may be edited: that is no change of what is held.
        match self.check_unchanged(inner).and_then(|()| self.read(inner, span)) {
            Ok((data, _)) => Ok(data),
            // Where the index can't say, what went wrong with the read says more.
            Err(_) if self.is_removed(inner).unwrap_or(false) => {
                Err(ReadError::NotHeld { missing: span.clone().into() })
            }
            Err(error) => Err(error),
        }
    }

    /// What was removed since has no bytes any more, perhaps not even the file that they were in.
    /// And if it came back somewhere else, it is not to blame there.
    pub(crate) fn is_removed(&self, inner: &Inner) -> Result<bool, StoreError> {
        Ok(!inner.blob_row(self.id)?.is_some_and(|row| self.reads_from(&row)))
    }

    /// Whether the stored bytes of some leaves are right, in quarantine or not.
    pub(crate) fn is_sound(&self, inner: &Inner, leaves: &Range<u64>) -> Result<bool, StoreError> {
        let Some(prover) = &self.prover else { return Ok(false) };
        let span = prover.span(leaves);
        let data = match self.read(inner, &span) {
            Ok((data, _)) => data,
            Err(ReadError::Store(error)) if !error.is_of_the_system() => return Err(error),
            Err(_) => return Ok(false),
        };
        Ok(prover.check(&self.outboard, &span, &data).is_ok_and(|damaged| damaged.is_empty()))
    }

    fn check_held(&self, span: &Range<u64>) -> Result<(), ReadError> {
        let damaged = locked(&self.damaged);
        if damaged.intersects(span) {
            return Err(ReadError::Damaged { ranges: damaged.within(span) });
        }
        Ok(())
    }

    fn fault(&self, inner: &Inner, span: &Range<u64>, error: EncodeError<StoreError>) -> ReadError {
        let changed = self.check_unchanged(inner);
        let removed = self.is_removed(inner);
        if matches!(removed, Ok(true)) {
            return ReadError::NotHeld { missing: span.clone().into() };
        }
        let ranges = match error {
            EncodeError::Damaged { leaves } => leaves,
            EncodeError::Source(error) => return error.into(),
            EncodeError::Outboard { .. } => {
                // The next reader finds that the outboard is wrong and makes it again.
                locked(&inner.readers).forget(self.id);
                return StoreError::corrupt("an outboard; it is made again at the next read")
                    .into();
            }
            _ => return ReadError::Range,
        };
        // A file that was being written to while it was read is changed, not damaged.
        if let Err(error) = changed {
            return error;
        }
        // Whose bytes they are has to be known before they are condemned.
        if let Err(error) = removed {
            return error.into();
        }
        {
            let mut damaged = locked(&self.damaged);
            *damaged = damaged.union(&ranges);
        }
        match inner.quarantine(self.id, &ranges) {
            Ok(()) => ReadError::Damaged { ranges },
            Err(error) => error.into(),
        }
    }
}

impl Inner {
    /// Whether the bytes of a complete blob are still where its row says. Looks at files only if
    /// nothing of it is in segments.
    pub(crate) fn has_place(&self, id: BlobId, row: &BlobRow) -> Result<bool, StoreError> {
        match open_place(self, id, row) {
            Ok(_) => Ok(true),
            Err(ReadError::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Opens the first place of a blob that is as it was.
fn open_place(
    inner: &Inner,
    id: BlobId,
    row: &BlobRow,
) -> Result<(Source, Option<External>), ReadError> {
    let mut changed = None;
    for place in &row.places {
        match place {
            Place::Record(loc) => return Ok((Source::Record(*loc), None)),
            Place::Extents => return Ok((Source::Extents, None)),
            Place::Chunks(map) => return Ok((Source::Map(OpenMap::new(*map)), None)),
            Place::External(external) => {
                if let Some(file) = open_external(inner, external, row.size)? {
                    return Ok((Source::File(file), Some(external.clone())));
                }
                inner.mark_stale(id, external)?;
                changed = Some(inner.external_path(external.root, &external.rel));
            }
        }
    }
    Err(ReadError::Changed { path: changed.unwrap_or_default() })
}

/// Opens an external file; `None` if it is gone or not as it was.
fn open_external(
    inner: &Inner,
    external: &External,
    size: u64,
) -> Result<Option<Arc<dyn File>>, StoreError> {
    let path = || inner.external_path(external.root, &external.rel);
    let opened = match inner.root_dir(external.root) {
        Ok(dir) => dir.open(&external.rel, crate::disk::Open::Read),
        Err(StoreError::Io { source, .. }) if is_missing(&source) => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(StoreError::io("open", path(), error)),
    };
    let meta = file.meta().map_err(|error| StoreError::io("stat", path(), error))?;
    //= rfcs/0009-store.md#store-19
    //# A store MUST NOT read a shared file as a blob once its size or time of last change differs from what was recorded.
    // The file's number and device may change while its bytes do not (a copy moved into place, a
    // disk plugged in elsewhere); the bytes are verified anyway.
    let same = meta.regular && meta.size == size && meta.mtime_ns == external.stamp.mtime_ns;
    Ok(same.then_some(file))
}
