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
    inner::{Inner, locked},
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

    /// Removes the rows of a complete blob, and gives its space in segments back, but for that of a
    /// map, which is returned: [`reclaim_map`](Self::reclaim_map) does that when no lock is held.
    pub(crate) fn forget_complete(
        &self,
        id: BlobId,
        row: &BlobRow,
    ) -> Result<Option<u64>, StoreError> {
        self.free_row(id, row)?;
        let mut pending = self.pending();
        pending.delete(Table::Blobs, id.as_bytes());
        pending.delete(Table::Damaged, id.as_bytes());
        let loosened = row.loosen(&mut pending);
        drop(pending);
        locked(&self.readers).forget(id);
        Ok(loosened)
    }

    /// Frees all extents of a blob.
    pub(crate) fn free_extents(&self, id: BlobId) -> Result<(), StoreError> {
        let carried = self.is_carried(id)?;
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
                    pending.work.free_of(carried, extent);
                }
            }
        }
    }

    /// Frees everything that the row of a complete blob refers to in segments, but for chunks: see
    /// [`BlobRow::loosen`].
    pub(crate) fn free_row(&self, id: BlobId, row: &BlobRow) -> Result<(), StoreError> {
        self.free_extents(id)?;
        let carried = self.is_carried(id)?;
        let mut pending = self.pending();
        for place in &row.places {
            if let Place::Record(loc) = place {
                pending.work.free_of(carried, whole(*loc, row.size));
            }
        }
        if let Outboard::Record(loc) = row.outboard {
            pending.work.free_of(carried, whole(loc, Tree::new(row.size).outboard_len()));
        }
        Ok(())
    }
}
