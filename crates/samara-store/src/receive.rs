//! Receiving blobs, straight into their final places.

use core::time::Duration;
use std::{io, sync::Arc};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{CvSource as _, Prover, Tree, Verifier};

use crate::{
    BlobStat, Store,
    disk::{Dir, File, Meta, Open, check_rel, join, parent},
    error::{FinishError, IngestError, ReceiveError, StoreError},
    index::Table,
    inner::{Inner, locked},
    outboard::{OutboardWriter, StoredOutboard, whole},
    partial::{Cvs, Ingested, Partial, State, remove_files},
    record::Kind,
    row::{
        BlobRow, Extent, External, Holds, Outboard, PLACES_MAX, PartialPlace, PartialRow, Place,
        RootId, Stamp,
    },
    segment::Append,
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

    fn place(&self) -> PartialPlace {
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

fn nanos(since_1970: Duration) -> i64 {
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
    /// [`StoreError::NoSpace`] the same transfer can be taken in once there is space.
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
        let ingested = partial.ingest(&self.inner, group, first_leaf, base, proof, data)?;
        self.inner.maybe_checkpoint()?;
        Ok(ingested)
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
        locked(&inner.partials).remove(&partial.id);
        return Ok(());
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
    let old = inner.blob_row(id)?;
    let mut pending = inner.pending();
    // What a file that changed since has left behind.
    if let Some(BlobRow { outboard: Outboard::Record(loc), .. }) = old {
        pending.work.free(whole(loc, Tree::new(size).outboard_len()));
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
        if size > GroupLog2::MAX.bytes() {
            pending.work.sync_large(Arc::clone(file), root, rel);
        } else {
            pending.work.sync_small(Arc::clone(file), root, rel);
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
        let found = match inner.blob_row(*id)? {
            Some(row) if row.size != size => {
                return Err(ReceiveError::Size { proven: row.size });
            }
            Some(row) if row.damaged => Some(inner.open_heal(*id, &row)?),
            Some(row) if !is_stale(&row) => return Ok(receiver(size, None)),
            _ => inner.load_partial(*id, size)?,
        };
        let partial = match found {
            Some(partial) => Arc::new(partial),
            None => Arc::new(inner.start_partial(*id, size, target)?),
        };
        partials.retain(|_, partial| partial.strong_count() > 0);
        partials.insert(*id, Arc::downgrade(&partial));
        drop(partials);
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

    /// Receives a whole blob of one group (at most 16 KiB) in one call: verifies, writes, and adds
    /// one index row to the batch. Durable after the next [`checkpoint`](Self::checkpoint).
    ///
    /// For [`Target::File`] a missing directory is created, and outside staging roots an existing
    /// file is never touched.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`].
    pub fn receive_small(
        &self,
        id: &BlobId,
        target: &Target,
        data: &[u8],
    ) -> Result<(), ReceiveError> {
        self.inner.alive()?;
        if data.len() as u64 > GroupLog2::KIB16.bytes() {
            return Err(ReceiveError::TooLarge);
        }
        if samara_tree::hash(data) != *id {
            return Err(ReceiveError::Mismatch);
        }
        self.keep_small(id, target, data)
    }

    /// [`receive_small`](Self::receive_small) of data that is known to be the blob.
    pub(crate) fn keep_small(
        &self,
        id: &BlobId,
        target: &Target,
        data: &[u8],
    ) -> Result<(), ReceiveError> {
        match target {
            Target::Segments => self.inner.small_to_segments(*id, data)?,
            Target::File { root, rel, mode, mtime } => {
                self.inner.small_to_file(*id, (*root, rel), *mode, mtime.map(nanos), data)?;
            }
        }
        Ok(self.inner.maybe_checkpoint()?)
    }
}

/// Whether all places of a blob are files that changed.
pub(crate) fn is_stale(row: &BlobRow) -> bool {
    row.places.iter().all(|place| matches!(place, Place::External(found) if found.stale))
}

impl Inner {
    fn small_to_segments(&self, id: BlobId, data: &[u8]) -> Result<(), StoreError> {
        let row = self.blob_row(id)?;
        if row.as_ref().is_some_and(|row| !row.damaged && !is_stale(row)) {
            return Ok(());
        }
        self.drop_partial(id)?;
        let what = Append {
            kind: Kind::Data,
            flags: 0,
            id,
            blob_size: data.len() as u64,
            blob_offset: 0,
            payload: data,
        };
        self.append(&what, |pending, loc| {
            if row.as_ref().is_some_and(|row| row.damaged) {
                pending.delete(Table::Damaged, id.as_bytes());
            }
            let row = small_row(data, Place::Record(loc), row);
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
        })
    }

    fn small_to_file(
        &self,
        id: BlobId,
        (root, rel): (RootId, &[u8]),
        mode: u32,
        mtime_ns: Option<i64>,
        data: &[u8],
    ) -> Result<(), ReceiveError> {
        check_rel(rel).map_err(ReceiveError::Path)?;
        let dir = self.small_dir(root)?;
        let path = || join(dir.path(), rel);
        let fail = |action| move |error| StoreError::io(action, path(), error);
        let file = match create(&*dir, rel, mode) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.reuse(&*dir, root, rel, mode)?
            }
            Err(error) => return Err(fail("create")(error).into()),
        };
        if !data.is_empty()
            && let Err(error) = file.write_at(data, 0)
        {
            // Nothing half-written stays behind.
            let _ = dir.remove(rel);
            let error = fail("write")(error);
            let free = dir.free_bytes().unwrap_or_default();
            return Err(if error.is_no_space() {
                StoreError::NoSpace { needed: data.len() as u64, free }.into()
            } else {
                error.into()
            });
        }
        if let Some(mtime_ns) = mtime_ns {
            file.set_mtime(mtime_ns).map_err(fail("set the time of"))?;
        }
        let meta = file.meta().map_err(fail("stat"))?;
        self.drop_partial(id)?;
        let external = External { root, rel: rel.into(), stamp: stamp(&meta), stale: false };
        self.add_place(id, data.len() as u64, external, None, Some(file))?;
        self.wrote(data.len() as u64);
        Ok(())
    }

    fn small_dir(&self, root: RootId) -> Result<Arc<dyn Dir>, ReceiveError> {
        if locked(&self.roots).row(root).is_none() {
            return Err(ReceiveError::UnknownRoot);
        }
        Ok(self.root_dir(root)?)
    }

    /// Opens a destination that exists already, if it may be written to: anything in a staging
    /// root, elsewhere only an empty file, in which nothing can be lost.
    fn reuse(
        &self,
        dir: &dyn Dir,
        root: RootId,
        rel: &[u8],
        mode: u32,
    ) -> Result<Arc<dyn File>, ReceiveError> {
        let path = join(dir.path(), rel);
        let meta = dir.stat(rel).map_err(|error| StoreError::io("stat", &path, error))?;
        let Some(meta) = meta.filter(|meta| meta.regular) else {
            return Err(ReceiveError::Exists { path });
        };
        //= rfcs/0009-store.md#store-11
        //# A store MUST NOT overwrite a file that it did not create unless its caller asked for replacement.
        if locked(&self.roots).is_staging(root) {
            // A link or an open handle elsewhere keeps the old file; this name gets a new one.
            dir.remove(rel).map_err(|error| StoreError::io("remove", &path, error))?;
            let created = create(dir, rel, mode);
            return Ok(created.map_err(|error| StoreError::io("create", &path, error))?);
        }
        if meta.size > 0 {
            return Err(ReceiveError::Exists { path });
        }
        let opened = dir.open(rel, Open::Write);
        let file = opened.map_err(|error| StoreError::io("open", &path, error))?;
        file.set_mode(mode).map_err(|error| StoreError::io("set the mode of", &path, error))?;
        Ok(file)
    }

    /// Adds a file to the places of a complete blob. `outboard`: `None` keeps what the row has.
    pub(crate) fn add_place(
        &self,
        id: BlobId,
        size: u64,
        external: External,
        outboard: Option<Outboard>,
        written: Option<Arc<dyn File>>,
    ) -> Result<(), StoreError> {
        let old = self.blob_row(id)?;
        let old = match old {
            // The file was just read or written as a whole, so this place is sound; the damaged
            // ones are not needed any more.
            Some(row) if row.damaged => {
                self.free_row(id, &row)?;
                self.pending().delete(Table::Damaged, id.as_bytes());
                None
            }
            old => old,
        };
        let mut pending = self.pending();
        if let Some(file) = written {
            pending.work.sync_small(file, external.root, &external.rel);
        }
        let mut row = old.unwrap_or_else(|| BlobRow {
            size,
            outboard: Outboard::None,
            damaged: false,
            patched: false,
            places: Vec::new(),
        });
        row.places.retain(|place| {
            !matches!(place, Place::External(found)
                if found.root == external.root && found.rel == external.rel)
        });
        row.places.insert(0, Place::External(external));
        row.places.truncate(PLACES_MAX);
        if let Some(outboard) = outboard {
            row.outboard = outboard;
        }
        pending.put(Table::Blobs, id.as_bytes(), row.encode());
        drop(pending);
        if Tree::new(size).stored_cvs() > 0 {
            locked(&self.readers).forget(id);
        }
        Ok(())
    }

    fn start_partial(
        &self,
        id: BlobId,
        size: u64,
        target: &Target,
    ) -> Result<Partial, ReceiveError> {
        let file = match target {
            Target::Segments => None,
            Target::File { root, rel, mode, .. } => {
                check_rel(rel).map_err(ReceiveError::Path)?;
                let dir = self.small_dir(*root)?;
                // We must be able to open it again in order to go on.
                let mode = mode | 0o600;
                Some(match create(&*dir, rel, mode) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        self.reuse(&*dir, *root, rel, mode)?
                    }
                    Err(error) => {
                        return Err(StoreError::io("create", join(dir.path(), rel), error).into());
                    }
                })
            }
        };
        remove_files(&*self.dir, id);
        let cvs = Cvs::open(self, id, Tree::new(size))?;
        Ok(Partial::new(Verifier::new(id, size), target.place(), file, cvs, 0))
    }

    /// A receive that an earlier call or process left, as of its last checkpoint. Recovery has
    /// brought that up to date at open.
    pub(crate) fn load_partial(
        &self,
        id: BlobId,
        size: u64,
    ) -> Result<Option<Partial>, ReceiveError> {
        let Some(bytes) = self.get(Table::Partials, id.as_bytes())? else { return Ok(None) };
        let row = PartialRow::decode(&bytes)
            .ok_or_else(|| StoreError::corrupt(format_args!("the row of partial blob {id}")))?;
        let partial = self.open_partial(id, &row)?;
        match partial {
            Some(partial) if row.size == size => Ok(Some(partial)),
            Some(partial) if partial.state().verifier.size_proven() => {
                Err(ReceiveError::Size { proven: row.size })
            }
            _ => {
                self.forget_partial(id)?;
                Ok(None)
            }
        }
    }

    /// Opens a partial blob from its row; `None` if its files are gone.
    pub(crate) fn open_partial(
        &self,
        id: BlobId,
        row: &PartialRow,
    ) -> Result<Option<Partial>, StoreError> {
        let file = match &row.place {
            PartialPlace::Segments => None,
            PartialPlace::File { root, rel, .. } => {
                let opened = match self.root_dir(*root) {
                    Ok(dir) => dir
                        .open(rel, Open::Write)
                        .map_err(|error| StoreError::io("open", join(dir.path(), rel), error)),
                    Err(error) => Err(error),
                };
                match opened {
                    Ok(file) => Some(file),
                    Err(StoreError::Io { source, .. }) if crate::inner::is_missing(&source) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let tree = Tree::new(row.size);
        let mut cvs = Cvs::open(self, id, tree)?;
        if let Cvs::Memory(values) = &mut cvs {
            crate::outboard::cvs_of(&row.cvs, values);
        }
        let verifier = match Verifier::import(id, row.size, &row.frontier, &cvs) {
            Ok(verifier) => verifier,
            Err(samara_tree::OpenError::Source(error)) => return Err(error),
            // Values that do not lead to the id prove nothing: start anew.
            Err(_) => Verifier::new(id, row.size),
        };
        let partial = Partial::new(verifier, row.place.clone(), file, cvs, row.epoch);
        let from = Extent::key(id, Holds::Patch, 0);
        let to = Extent::key(id, Holds::Patch, u64::MAX);
        partial.state().patched = !self.rows(Table::Extents, &from, Some(&to), 1)?.is_empty();
        Ok(Some(partial))
    }

    /// A receive of the damaged groups of a complete blob.
    fn open_heal(self: &Arc<Self>, id: BlobId, row: &BlobRow) -> Result<Partial, ReceiveError> {
        let tree = Tree::new(row.size);
        let damaged = self.damaged(id)?;
        let outboard =
            StoredOutboard { inner: Arc::downgrade(self), id, tree, outboard: row.outboard };
        let cvs = Cvs::Stored(outboard);
        let verifier = match Prover::open(id, row.size, &cvs) {
            Ok(prover) => {
                let mut verifier = prover.into_verifier();
                for run in damaged.runs() {
                    if verifier.lose(&cvs, run).is_err() {
                        verifier = Verifier::new(id, row.size);
                        break;
                    }
                }
                verifier
            }
            Err(samara_tree::OpenError::Source(error)) => return Err(error.into()),
            Err(_) => Verifier::new(id, row.size),
        };
        Ok(Partial::new(verifier, PartialPlace::Segments, None, cvs, 0))
    }

    /// Gives up an unfinished receive of a blob that arrived in another way.
    pub(crate) fn drop_partial(&self, id: BlobId) -> Result<(), StoreError> {
        let partial = {
            let mut partials = locked(&self.partials);
            if partials.is_empty() { None } else { partials.remove(&id) }
        };
        let partial = partial.and_then(|partial| partial.upgrade());
        if let Some(partial) = &partial {
            partial.close();
            if partial.heals {
                return Ok(());
            }
        }
        if partial.is_some() || self.get(Table::Partials, id.as_bytes())?.is_some() {
            self.forget_partial(id)?;
        }
        Ok(())
    }

    /// Removes the rows and files of an unfinished receive. The destination file stays.
    pub(crate) fn forget_partial(&self, id: BlobId) -> Result<(), StoreError> {
        self.free_extents(id)?;
        let mut pending = self.pending();
        pending.delete(Table::Partials, id.as_bytes());
        pending.dirty.remove(&id);
        pending.work.cleanup.push(id);
        Ok(())
    }

    /// Frees all extents of a blob.
    pub(crate) fn free_extents(&self, id: BlobId) -> Result<(), StoreError> {
        let from = Extent::key(id, Holds::Data, 0);
        let mut to = from;
        if let Some(kind) = to.get_mut(32) {
            *kind = u8::MAX;
        }
        loop {
            let rows = self.rows(Table::Extents, &from, Some(&to), 1024)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut pending = self.pending();
            for (key, value) in rows {
                pending.delete(Table::Extents, &key);
                if let Some(extent) = Extent::decode(&value) {
                    pending.work.free(extent);
                }
            }
        }
    }

    /// Frees everything that the row of a complete blob refers to in segments.
    pub(crate) fn free_row(&self, id: BlobId, row: &BlobRow) -> Result<(), StoreError> {
        self.free_extents(id)?;
        let mut pending = self.pending();
        for place in &row.places {
            if let Place::Record(loc) = place {
                pending.work.free(whole(*loc, row.size));
            }
        }
        if let Outboard::Record(loc) = row.outboard {
            pending.work.free(whole(loc, Tree::new(row.size).outboard_len()));
        }
        Ok(())
    }
}

/// The row of a blob of one group that just got a sound place.
fn small_row(data: &[u8], place: Place, old: Option<BlobRow>) -> BlobRow {
    let mut places = vec![place];
    // Files that may still be right are kept behind; a damaged record is not.
    let kept = old.into_iter().flat_map(|row| row.places);
    places.extend(kept.filter(|place| matches!(place, Place::External(_))));
    places.truncate(PLACES_MAX);
    BlobRow {
        size: data.len() as u64,
        outboard: Outboard::None,
        damaged: false,
        patched: false,
        places,
    }
}

/// Creates a file, with its directories if they are missing.
fn create(dir: &dyn Dir, rel: &[u8], mode: u32) -> io::Result<Arc<dyn File>> {
    match dir.open(rel, Open::CreateNew { mode }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            dir.make_dirs(parent(rel))?;
            dir.open(rel, Open::CreateNew { mode })
        }
        result => result,
    }
}
