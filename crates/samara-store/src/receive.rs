//! Receiving blobs, straight into their final places.

use core::time::Duration;
use std::sync::Arc;

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet};
use samara_tree::{CvSource as _, Tree};

use crate::{
    BlobStat, Store,
    cvs::Cvs,
    disk::Meta,
    error::{FinishError, IngestError, ReceiveError, StoreError},
    index::Table,
    inner::{Inner, locked},
    outboard::{OutboardWriter, whole},
    partial::{Ingested, Partial, State},
    quota::records_of,
    row::{BlobRow, Extent, External, Holds, Outboard, PartialPlace, Place, RootId, Stamp},
};

/// Where a receive puts the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Into the store's segments.
    Segments,
    /// Into a file of the user's, directly.
    File {
        /// The directory, registered with [`Store::root`] or [`Store::staging_root`].
        root: RootId,
        /// Name below it, in bytes, separated by `/`. Missing directories are created.
        rel: Vec<u8>,
        /// Permission bits of the finished file; set-user-id and its kin are dropped.
        mode: u32,
        /// Time of the last change of the finished file since 1970; `None`: when it was received.
        mtime: Option<Duration>,
    },
}

impl Target {
    /// Whether this is the file that an external place names.
    pub(crate) fn is(&self, external: &External) -> bool {
        match self {
            Self::Segments => false,
            Self::File { root, rel, .. } => *root == external.root && *rel == *external.rel,
        }
    }

    pub(crate) fn place(&self) -> PartialPlace {
        match self {
            Self::Segments => PartialPlace::Segments,
            Self::File { root, rel, mode, mtime } => PartialPlace::File {
                root: *root,
                rel: rel.as_slice().into(),
                mode: *mode,
                mtime_ns: mtime.map(nanos),
            },
        }
    }
}

pub(crate) fn nanos(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

/// Takes in one blob. Cheap to clone; all clones work on the same receive.
///
/// Dropping it keeps what is held: a later [`Store::receive`], also of a later process, goes on
/// where this one stopped. [`Store::remove`] gives it up.
#[derive(Clone, Debug)]
pub struct Receiver {
    inner: Arc<Inner>,
    id: BlobId,
    size: u64,
    /// `None`: the blob was complete already.
    partial: Option<Arc<Partial>>,
}

impl Receiver {
    /// The blob's id.
    #[must_use]
    pub const fn id(&self) -> BlobId {
        self.id
    }

    /// The blob's size as claimed or proven. Unit: bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether the size is proven, that is, the last leaf is held.
    #[must_use]
    pub fn size_proven(&self) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.state().verifier.size_proven())
    }

    /// The leaves that are held.
    #[must_use]
    pub fn held(&self) -> RangeSet {
        match &self.partial {
            Some(partial) => partial.state().verifier.known().clone(),
            None => RangeSet::from(Tree::new(self.size).root().range()),
        }
    }

    /// The leaves whose proofs need not be sent again: the `known` of a want, less what it asks for.
    #[must_use]
    pub fn known(&self) -> RangeSet {
        self.held()
    }

    /// Whether every leaf is held, so that [`finish`](Self::finish) will succeed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.state().verifier.is_complete())
    }

    /// Verifies one transfer and writes what is new to its final place.
    ///
    /// `proof` and `data` are a transfer of the leaves from `first_leaf` on at group size `group`,
    /// relative to `base` (RFC 0002). Each byte is written once. Groups that are good are kept even
    /// if others in the same transfer are bad.
    ///
    /// # Errors
    ///
    /// [`IngestError`]; then nothing of this transfer is held. After
    /// [`StoreError::NoSpace`] the same transfer can be taken in once there is space; before, other
    /// blobs were evicted as far as [`Quotas`](crate::Quotas) says that they may be.
    pub fn ingest(
        &self,
        group: GroupLog2,
        first_leaf: u64,
        base: &RangeSet,
        proof: &[u8],
        data: &[u8],
    ) -> Result<Ingested, IngestError> {
        self.inner.alive()?;
        let Some(partial) = &self.partial else {
            let end = first_leaf.saturating_add(samara_base::leaves(data.len() as u64));
            let duplicate = RangeSet::from(first_leaf..end);
            return Ok(Ingested { duplicate, ..Ingested::default() });
        };
        let in_segments = partial.file.is_none() || partial.heals;
        let new =
            if in_segments { self.missing(partial, first_leaf, data.len() as u64) } else { 0 };
        let _room = match new {
            0 => None,
            bytes => {
                Some(self.inner.admit(self.inner.class_row(self.id)?.class, records_of(bytes))?)
            }
        };
        let ingest = || partial.ingest(&self.inner, group, first_leaf, base, proof, data);
        let ingested = self.inner.with_room(ingest)?;
        self.inner.maybe_checkpoint()?;
        Ok(ingested)
    }

    /// Bytes of a transfer that are not held, as far as quotas ask for that.
    fn missing(&self, partial: &Partial, first_leaf: u64, bytes: u64) -> u64 {
        if !self.inner.has_quotas() {
            return 0;
        }
        let end = first_leaf.saturating_add(samara_base::leaves(bytes));
        let sent = RangeSet::from(first_leaf..end);
        let leaves = sent.difference(partial.state().verifier.known()).total();
        bytes.min(leaves.saturating_mul(LEAF_BYTES))
    }

    /// Ends a receive that is complete: gives a file its mode and time, and makes the blob an
    /// ordinary one. Durable after the next [`Store::checkpoint`]. Finishing again changes nothing.
    ///
    /// # Errors
    ///
    /// [`FinishError::Incomplete`] names what is missing.
    pub fn finish(&self) -> Result<BlobStat, FinishError> {
        self.inner.alive()?;
        if let Some(partial) = &self.partial {
            finish(&self.inner, partial)?;
        }
        self.inner.maybe_checkpoint()?;
        let store = Store { inner: Arc::clone(&self.inner) };
        store.stat(&self.id)?.ok_or(FinishError::Closed)
    }
}

fn finish(inner: &Arc<Inner>, partial: &Arc<Partial>) -> Result<(), FinishError> {
    let _owned = inner.owners.take(partial.id);
    let mut state = partial.state();
    if state.closed {
        return Ok(());
    }
    if !state.verifier.is_complete() {
        let leaves = state.verifier.tree().leaves();
        return Err(FinishError::Incomplete { missing: state.verifier.known().complement(leaves) });
    }
    state.closed = true;
    if partial.heals {
        drop(state);
        locked(&inner.partials).remove(&partial.id);
        return Ok(inner.mend(partial.id)?);
    }
    let done = complete(inner, partial, &state);
    if let Err(error) = done {
        // For lack of space, say: the caller may come again.
        state.closed = false;
        return Err(error.into());
    }
    drop(state);
    locked(&inner.partials).remove(&partial.id);
    Ok(())
}

/// Turns a receive that holds everything into a complete blob.
fn complete(inner: &Inner, partial: &Partial, state: &State) -> Result<(), StoreError> {
    let cvs = &state.cvs;
    let (id, size) = (partial.id, partial.size);
    let mut outboard = OutboardWriter::new(id, size);
    let count = Tree::new(size).stored_cvs();
    let mut at = 0;
    while at < count {
        let len = usize::try_from((count - at).min(4096)).unwrap_or_default();
        let mut values = vec![samara_tree::Cv::default(); len];
        cvs.read_cvs(at, &mut values)?;
        outboard.push(inner, &values)?;
        at += values.len() as u64;
    }
    let outboard = outboard.finish(inner)?;
    let place = match (&partial.place, &partial.file) {
        (PartialPlace::File { root, rel, mode, mtime_ns }, Some(file)) => {
            let path = || inner.external_path(*root, rel);
            let fail = |action| move |error| StoreError::io(action, path(), error);
            let meta = file.meta().map_err(fail("stat"))?;
            if meta.size != size {
                file.set_len(size).map_err(fail("cut"))?;
            }
            if meta.mode & 0o777 != *mode & 0o777 {
                file.set_mode(*mode).map_err(fail("set the mode of"))?;
            }
            if let Some(mtime_ns) = mtime_ns {
                file.set_mtime(*mtime_ns).map_err(fail("set the time of"))?;
            }
            let meta = file.meta().map_err(fail("stat"))?;
            Place::External(External {
                root: *root,
                rel: rel.clone(),
                stamp: stamp(&meta),
                stale: false,
            })
        }
        _ => whole_record(inner, id, size)?.map_or(Place::Extents, Place::Record),
    };
    let new_small = match (&partial.file, partial.destination()) {
        (Some(file), Some((root, rel))) if size <= GroupLog2::MAX.bytes() => {
            Some(inner.new_small(root, rel, Arc::clone(file))?)
        }
        _ => None,
    };
    let old = inner.blob_row(id)?;
    let carried = inner.is_carried(id)?;
    let mut pending = inner.pending();
    // What a file that changed since has left behind.
    if let Some(BlobRow { outboard: Outboard::Record(loc), .. }) = old {
        pending.work.free_of(carried, whole(loc, Tree::new(size).outboard_len()));
    }
    if matches!(place, Place::Record(_)) {
        pending.delete(Table::Extents, &Extent::key(id, Holds::Data, 0));
    }
    let row = BlobRow {
        size,
        outboard: outboard.book(&mut pending),
        damaged: false,
        patched: state.patched,
        places: vec![place],
    };
    pending.put(Table::Blobs, id.as_bytes(), row.encode());
    pending.delete(Table::Partials, id.as_bytes());
    pending.dirty.remove(&id);
    if let Cvs::File { .. } = cvs {
        pending.work.cleanup.push(id);
    }
    if let (Some(file), Some((root, rel))) = (&partial.file, partial.destination()) {
        match new_small {
            Some(new_small) => pending.work.sync_small(new_small, root, rel),
            None => pending.work.sync_large(Arc::clone(file), root, rel),
        }
    }
    Ok(())
}

/// The record of a blob that arrived in one piece.
fn whole_record(
    inner: &Inner,
    id: BlobId,
    size: u64,
) -> Result<Option<crate::row::Loc>, StoreError> {
    let key = Extent::key(id, Holds::Data, 0);
    let extent = inner.get(Table::Extents, &key)?.and_then(|row| Extent::decode(&row));
    Ok(extent.filter(|found| found.len == size && u64::from(found.chunk) == size).map(|e| e.loc))
}

pub(crate) const fn stamp(meta: &Meta) -> Stamp {
    Stamp { mtime_ns: meta.mtime_ns, inode: meta.inode, device: meta.device }
}

impl Store {
    /// Starts or resumes receiving a blob of `size` bytes, as claimed by somebody.
    ///
    /// A receive that an earlier call or process left goes on, to its own target; `target` then
    /// counts only if nothing was received yet. A blob that is held completely needs nothing: the
    /// receiver is complete from the start, wherever the blob is. A blob with damaged groups gets
    /// these again, into segments: a user's file is never repaired in place.
    ///
    /// A false size costs nothing: no space is reserved before it is proven.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`].
    pub fn receive(
        &self,
        id: &BlobId,
        size: u64,
        target: &Target,
    ) -> Result<Receiver, ReceiveError> {
        let inner = &self.inner;
        inner.alive()?;
        let receiver =
            |size, partial| Receiver { inner: Arc::clone(inner), id: *id, size, partial };
        let owned = inner.owners.take(*id);
        // One at a time, so that two callers get the same receive.
        let mut partials = locked(&inner.partials);
        if let Some(partial) = partials.get(id).and_then(std::sync::Weak::upgrade) {
            let size_proven = partial.state().verifier.size_proven();
            if partial.size == size {
                return Ok(receiver(size, Some(partial)));
            }
            if size_proven || partial.heals {
                return Err(ReceiveError::Size { proven: partial.size });
            }
            partial.close();
            inner.forget_partial(*id)?;
        }
        let mut row = inner.blob_row(*id)?;
        if let Some(damaged) = row.as_ref().filter(|row| row.damaged) {
            inner.recheck(*id, damaged)?;
            row = inner.blob_row(*id)?;
        }
        let found = match row {
            Some(row) if row.size != size => {
                return Err(ReceiveError::Size { proven: row.size });
            }
            Some(row) if !inner.has_place(*id, &row)? => {
                // Its file changed or is gone: nothing is left to go on from.
                let loosened = inner.forget_complete(*id)?;
                loosened.map_or(Ok(()), |map| inner.reclaim_map(map))?;
                inner.load_partial(*id, size)?
            }
            Some(row) if row.damaged => Some(inner.open_heal(*id, &row)?),
            Some(_) => return Ok(receiver(size, None)),
            None => inner.load_partial(*id, size)?,
        };
        let partial = match found {
            Some(partial) => Arc::new(partial),
            None => {
                if matches!(target, Target::Segments) {
                    inner.check_size(inner.class_row(*id)?.class, size)?;
                }
                Arc::new(inner.start_partial(*id, size, target)?)
            }
        };
        partials.retain(|_, partial| partial.strong_count() > 0);
        partials.insert(*id, Arc::downgrade(&partial));
        drop((partials, owned));
        // The name of a file of the user's is made durable as ours before anything is written to it,
        // so that a later process knows that it may go on with it.
        if let PartialPlace::File { root, .. } = &partial.place
            && Tree::new(size).stored_cvs() > 0
            && !partial.heals
            && !locked(&inner.roots).is_staging(*root)
        {
            inner.pending().dirty.insert(*id, Arc::clone(&partial));
            inner.checkpoint()?;
        }
        Ok(receiver(size, Some(partial)))
    }
}

/// Whether all places of a blob are files that changed.
pub(crate) fn is_stale(row: &BlobRow) -> bool {
    row.places.iter().all(|place| matches!(place, Place::External(found) if found.stale))
}
