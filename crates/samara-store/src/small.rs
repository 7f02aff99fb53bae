//! Blobs of one group: the hot path of many small files.

use std::{io, sync::Arc};

use samara_base::{BlobId, GroupLog2};
use samara_tree::Tree;

use crate::{
    Class, Store, Target,
    disk::{Dir, File, Open, check_rel, join, parent},
    error::{ReceiveError, StoreError},
    index::Table,
    inner::{Inner, Pending, locked},
    limits::PLACES_MAX,
    new_file::NewSmall,
    outboard::{FinishedOutboard, whole},
    quota::room_of,
    receive::{nanos, stamp},
    record::Kind,
    row::{BlobRow, External, Outboard, Place, RootId},
    segment::Append,
};

impl Store {
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
        let owned = self.inner.owners.take(*id);
        match target {
            Target::Segments => {
                self.inner.with_room(|| self.inner.small_to_segments(*id, data))?;
            }
            Target::File { root, rel, mode, mtime } => {
                self.inner.small_to_file(*id, (*root, rel), *mode, mtime.map(nanos), data)?;
            }
        }
        drop(owned);
        Ok(self.inner.maybe_checkpoint()?)
    }
}

impl Inner {
    fn small_to_segments(&self, id: BlobId, data: &[u8]) -> Result<(), StoreError> {
        let row = self.blob_row(id)?;
        if let Some(row) = &row
            && !row.damaged
            && self.has_place(id, row)?
        {
            return Ok(());
        }
        let carried = self.is_carried(id)?;
        let class = if carried { Class::Carried } else { Class::Own };
        let _room = self.admit(class, room_of(data.len() as u64))?;
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
            if let Some(row) = row.as_ref().filter(|row| row.damaged) {
                pending.delete(Table::Damaged, id.as_bytes());
                for place in &row.places {
                    if let Place::Record(loc) = place {
                        pending.work.free_of(carried, whole(*loc, row.size));
                    }
                }
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
        let one_at_a_time = self.creating(root, rel);
        let file = match create(&*dir, rel, mode) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.reuse(&*dir, root, rel, mode)?
            }
            Err(error) => return Err(fail("create")(error).into()),
        };
        drop(one_at_a_time);
        if !data.is_empty()
            && let Err(error) = file.write_at(data, 0)
        {
            // Nothing half-written stays behind.
            let _ = dir.remove(rel);
            let error = fail("write")(error);
            let free = dir.free_bytes().unwrap_or_default();
            return Err(if error.is_no_space() {
                StoreError::NoSpace { needed: data.len() as u64, quota: None, free }.into()
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
        let file = self.new_small(root, rel, file)?;
        self.add_place(id, data.len() as u64, external, None, Some(file))?;
        self.wrote(data.len() as u64);
        Ok(())
    }

    pub(crate) fn small_dir(&self, root: RootId) -> Result<Arc<dyn Dir>, ReceiveError> {
        if locked(&self.roots).row(root).is_none() {
            return Err(ReceiveError::UnknownRoot);
        }
        Ok(self.root_dir(root)?)
    }

    /// Opens a destination that exists already, if it may be written to: anything in a staging
    /// root, elsewhere only an empty file, in which nothing can be lost.
    pub(crate) fn reuse(
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
        outboard: Option<FinishedOutboard>,
        written: Option<NewSmall>,
    ) -> Result<(), StoreError> {
        let add = |pending: &mut Pending, old: Option<BlobRow>| {
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
            row.trim();
            if let Some(outboard) = outboard {
                row.outboard = outboard.book(pending);
            }
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
        };
        let loosened = if self.blob_row(id)?.is_some_and(|row| row.damaged) {
            // The file was just read or written as a whole, so this place is sound; the damaged
            // ones are not needed any more.
            self.replace(id, |pending, old| {
                pending.delete(Table::Damaged, id.as_bytes());
                add(pending, None);
                old.and_then(|old| old.loosen(pending))
            })?
        } else {
            self.change_blob(id, |pending, row, _| add(pending, row))?;
            None
        };
        if Tree::new(size).stored_cvs() > 0 {
            locked(&self.readers).forget(id);
        }
        loosened.map_or(Ok(()), |map| self.reclaim_map(map))
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
pub(crate) fn create(dir: &dyn Dir, rel: &[u8], mode: u32) -> io::Result<Arc<dyn File>> {
    match dir.open(rel, Open::CreateNew { mode }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            dir.make_dirs(parent(rel))?;
            dir.open(rel, Open::CreateNew { mode })
        }
        result => result,
    }
}
