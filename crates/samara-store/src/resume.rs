//! Starting, resuming and giving up receives.

use std::{io, sync::Arc};

use samara_base::BlobId;
use samara_tree::{OpenError, Prover, Tree, Verifier};

use crate::{
    Target,
    cvs::Cvs,
    disk::{Open, check_rel, join},
    error::{ReceiveError, StoreError},
    index::Table,
    inner::{Inner, Pending, locked},
    outboard::{NotWhole, StoredOutboard, Whole, whole},
    partial::{Partial, remove_files},
    row::{BlobRow, Extent, Holds, Outboard, PartialPlace, PartialRow, Place},
    small::create,
};

impl Inner {
    pub(crate) fn start_partial(
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
        // Done; the new ones are not to be removed.
        self.pending().work.cleanup.retain(|other| *other != id);
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
        let verifier = match Verifier::import(id, row.size, &row.frontier, &Whole(&cvs)) {
            Ok(verifier) => verifier,
            Err(OpenError::Source(NotWhole::Store(error))) => return Err(error),
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
    pub(crate) fn open_heal(
        self: &Arc<Self>,
        id: BlobId,
        row: &BlobRow,
    ) -> Result<Partial, ReceiveError> {
        let tree = Tree::new(row.size);
        let damaged = self.damaged(id)?;
        let outboard =
            StoredOutboard { inner: Arc::downgrade(self), id, tree, outboard: row.outboard };
        let cvs = Cvs::Stored(outboard);
        let verifier = match Prover::open(id, row.size, &Whole(&cvs)) {
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
            Err(OpenError::Source(NotWhole::Store(error))) => return Err(error.into()),
            Err(_) => Verifier::new(id, row.size),
        };
        Ok(Partial::new(verifier, PartialPlace::Segments, None, cvs, 0))
    }

    /// Gives up an unfinished receive of a blob that arrived in another way.
    pub(crate) fn drop_partial(&self, id: BlobId) -> Result<(), StoreError> {
        if self.close_partial(id)? { self.forget_partial(id) } else { Ok(()) }
    }

    /// Ends the receives of a blob that are under way. Returns whether an unfinished one has rows.
    pub(crate) fn close_partial(&self, id: BlobId) -> Result<bool, StoreError> {
        let partial = {
            let mut partials = locked(&self.partials);
            if partials.is_empty() { None } else { partials.remove(&id) }
        };
        let partial = partial.and_then(|partial| partial.upgrade());
        if let Some(partial) = &partial {
            partial.close();
            if partial.heals {
                return Ok(false);
            }
        }
        Ok(partial.is_some() || self.get(Table::Partials, id.as_bytes())?.is_some())
    }

    /// Removes the rows and files of an unfinished receive. The destination file stays.
    pub(crate) fn forget_partial(&self, id: BlobId) -> Result<(), StoreError> {
        self.free_extents(id, |pending| pending.forget_partial(id))
    }

    /// Removes the rows of a complete blob, and gives its space in segments back, but for that of a
    /// map, which is returned: [`reclaim_map`](Self::reclaim_map) does that when no lock is held.
    pub(crate) fn forget_complete(&self, id: BlobId) -> Result<Option<u64>, StoreError> {
        let loosened = self.replace(id, |pending, old| {
            pending.delete(Table::Blobs, id.as_bytes());
            pending.delete(Table::Damaged, id.as_bytes());
            old.and_then(|old| old.loosen(pending))
        });
        locked(&self.readers).forget(id);
        loosened
    }

    /// Frees all extents of a blob, and does `with` in the same step.
    pub(crate) fn free_extents<T>(
        &self,
        id: BlobId,
        with: impl FnOnce(&mut Pending) -> T,
    ) -> Result<T, StoreError> {
        let carried = self.is_carried(id)?;
        let keys = self.extent_keys(id)?;
        self.change(&keys, |pending, rows| {
            pending.free_rows(carried, &keys, rows);
            with(pending)
        })
    }

    /// Frees everything of a complete blob in segments, but for chunks ([`BlobRow::loosen`]), and does
    /// `with`, which gets its row and replaces it, in the same step: a commit has both or neither.
    pub(crate) fn replace<T>(
        &self,
        id: BlobId,
        with: impl FnOnce(&mut Pending, Option<BlobRow>) -> T,
    ) -> Result<T, StoreError> {
        let done = self.replace_if(id, |_| true, with)?;
        done.ok_or_else(|| StoreError::corrupt("a step that was not taken"))
    }

    /// As [`replace`](Self::replace), but only if `may` still says so in that step.
    pub(crate) fn replace_if<T>(
        &self,
        id: BlobId,
        may: impl FnOnce(&Pending) -> bool,
        with: impl FnOnce(&mut Pending, Option<BlobRow>) -> T,
    ) -> Result<Option<T>, StoreError> {
        let carried = self.is_carried(id)?;
        let mut keys = self.extent_keys(id)?;
        keys.push((Table::Blobs, id.as_bytes().to_vec()));
        self.change(&keys, |pending, mut rows| {
            if !may(pending) {
                return None;
            }
            let old = rows.pop().flatten().and_then(|row| BlobRow::decode(&row));
            //= rfcs/0009-store.md#store-39
            //# A store MUST free the records of a blob in the commit that removes or replaces the blob's row.
            pending.free_rows(carried, &keys, rows);
            for place in old.iter().flat_map(|old| &old.places) {
                if let (Place::Record(loc), Some(old)) = (place, &old) {
                    pending.work.free_of(carried, whole(*loc, old.size));
                }
            }
            if let Some(BlobRow { size, outboard: Outboard::Record(loc), .. }) = &old {
                pending.work.free_of(carried, whole(*loc, Tree::new(*size).outboard_len()));
            }
            Some(with(pending, old))
        })
    }

    fn extent_keys(&self, id: BlobId) -> Result<Vec<(Table, Vec<u8>)>, StoreError> {
        let from = Extent::key(id, Holds::Data, 0);
        let mut to = from;
        if let Some(kind) = to.get_mut(32) {
            *kind = u8::MAX;
        }
        let rows = self.rows(Table::Extents, &from, Some(&to), usize::MAX)?;
        Ok(rows.into_iter().map(|(key, _)| (Table::Extents, key)).collect())
    }
}

impl Pending {
    /// Removes rows of extents, as they are now, and frees what they point to.
    pub(crate) fn free_rows(
        &mut self,
        carried: bool,
        keys: &[(Table, Vec<u8>)],
        rows: Vec<Option<Vec<u8>>>,
    ) {
        for ((table, key), row) in keys.iter().zip(rows) {
            // Who has removed it meanwhile has freed it.
            let Some(row) = row else { continue };
            self.delete(*table, key);
            if let Some(extent) = Extent::decode(&row) {
                self.work.free_of(carried, extent);
            }
        }
    }

    /// Removes the row of an unfinished receive, and its files once that is committed.
    pub(crate) fn forget_partial(&mut self, id: BlobId) {
        self.delete(Table::Partials, id.as_bytes());
        self.dirty.remove(&id);
        self.work.cleanup.push(id);
    }
}
