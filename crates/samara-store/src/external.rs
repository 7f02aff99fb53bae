//! Files of the user's: sharing them where they lie, and moving received ones to their final names.

use std::{
    io,
    path::{Path, PathBuf},
};

use samara_base::{BlobId, GroupLog2};
use samara_tree::{OutboardBuilder, Tree};

use crate::{
    BlobStat, Store, Target,
    disk::{File, Meta, Open, check_rel, create_dir, join, parent, sync_way},
    error::{PublishError, ShareError, StoreError, failed},
    index::Table,
    inner::{Inner, ancestors, is_missing, locked},
    outboard::Spool,
    receive::stamp,
    roots::path_of,
    row::{BlobRow, External, Place, RenameRow, RootId, RootRow},
};

/// Bytes of a shared file read and hashed at once: they stay in the processor's cache.
const READ_LEN: usize = 256 * 1024;

impl Store {
    /// Registers a directory, so that files below it can be shared in place or received into. The
    /// same directory gets the same number. The directory must exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn root(&self, path: &Path) -> Result<RootId, StoreError> {
        let path = absolute(path)?;
        let dir = self.inner.disk.open_dir(&path, false).map_err(failed("open", &path))?;
        let root = self.inner.register(&path, false)?;
        locked(&self.inner.roots).opened(root, dir);
        Ok(root)
    }

    /// Makes and registers a directory that belongs to the store until it is published: what an
    /// interrupted receive left there may be replaced. It must not exist, unless it is a staging
    /// root of this store already.
    ///
    /// # Errors
    ///
    /// [`PublishError::Exists`] if something else is there.
    pub fn staging_root(&self, path: &Path) -> Result<RootId, PublishError> {
        let inner = &self.inner;
        let path = absolute(path)?;
        let known = {
            let roots = locked(&inner.roots);
            roots.find(&path).is_some_and(|(_, row)| row.staging)
        };
        let exists = inner.disk.exists(&path).map_err(failed("look at", &path))?;
        if exists && !known {
            return Err(PublishError::Exists { path });
        }
        let root = inner.register(&path, true)?;
        if !known {
            // The name is ours in the index before it is on the disk, so that a later process
            // knows the directory again.
            inner.checkpoint()?;
        }
        let dir = create_dir(&*inner.disk, &path).map_err(failed("open", &path))?;
        if known {
            // Whoever created it may have died before it was durable.
            sync_way(&*inner.disk, &path, &[]).map_err(failed("sync", &path))?;
        }
        locked(&inner.roots).opened(root, dir);
        Ok(root)
    }

    /// The path of a registered directory.
    #[must_use]
    pub fn root_path(&self, root: RootId) -> Option<PathBuf> {
        locked(&self.inner.roots).path(root)
    }

    /// Shares a file where it lies: reads and hashes it, copies nothing, and remembers its size and
    /// time, so that a change is noticed. `progress` gets the number of bytes so far, now and then.
    ///
    /// A blob of more than 16 KiB gets its outboard stored. Rows are committed in batches; durable
    /// after the next [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`ShareError`].
    pub fn share_in_place(
        &self,
        root: RootId,
        rel: &[u8],
        progress: &mut dyn FnMut(u64),
    ) -> Result<BlobStat, ShareError> {
        let inner = &self.inner;
        inner.alive()?;
        check_rel(rel).map_err(ShareError::Path)?;
        let dir = if locked(&inner.roots).row(root).is_some() {
            inner.root_dir(root)?
        } else {
            return Err(ShareError::UnknownRoot);
        };
        let path = || join(dir.path(), rel);
        let file = match dir.open(rel, Open::Read) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Err(ShareError::NotFound { path: path() }),
            Err(error) => {
                // A symbolic link, say; or a device that cannot be opened.
                let special = dir.stat(rel).ok().flatten().is_some_and(|meta| !meta.regular);
                return Err(if special {
                    ShareError::NotAFile { path: path() }
                } else {
                    StoreError::io("open", path(), error).into()
                });
            }
        };
        let fail = |action| move |error| StoreError::io(action, path(), error);
        let before = file.meta().map_err(fail("stat"))?;
        if !before.regular {
            return Err(ShareError::NotAFile { path: path() });
        }
        let mut spool = Spool::new(inner);
        let hashed = hash_file(&*file, &before, &mut spool, progress, &path)?;
        let after = file.meta().map_err(fail("stat"))?;
        //= rfcs/0009-store.md#store-9
        //# A store MUST NOT share a file whose size or time of last change differs before and after it was hashed.
        if hashed.size != before.size || unlike(&before, &after) {
            return Err(ShareError::Changed { path: path() });
        }
        let id = hashed.id;
        let external = External { root, rel: rel.into(), stamp: stamp(&before), stale: false };
        let owned = inner.owners.take(id);
        let has_outboard = Tree::new(hashed.size).stored_cvs() == 0
            || inner.blob_row(id)?.is_some_and(|row| !row.damaged);
        let outboard = if has_outboard { None } else { Some(spool.write(id, hashed.size)?) };
        inner.drop_partial(id)?;
        inner.add_place(id, hashed.size, external, outboard, None)?;
        drop(owned);
        inner.maybe_checkpoint()?;
        self.stat(&id)?.ok_or_else(|| StoreError::corrupt("a new blob").into())
    }

    /// Moves a file that was received into `target` to its final name below the same root, in one
    /// step: the file is there whole or not at all. Unless `replace`, nothing is ever overwritten.
    /// Durable on return.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; [`NotAFile`](PublishError::NotAFile) if the blob is held, but not in that
    /// file. A file of the user's with the same content is never moved.
    pub fn publish_file(
        &self,
        id: &BlobId,
        target: &Target,
        new_rel: &[u8],
        replace: bool,
    ) -> Result<BlobStat, PublishError> {
        let inner = &self.inner;
        inner.alive()?;
        check_rel(new_rel).map_err(PublishError::Path)?;
        let row = inner.blob_row(*id)?;
        let external = row.and_then(|row| {
            row.places.into_iter().find_map(|place| match place {
                Place::External(external) if !external.stale && target.is(&external) => {
                    Some(external)
                }
                _ => None,
            })
        });
        let Some(external) = external else { return Err(PublishError::NotAFile { id: *id }) };
        let dir = inner.root_dir(external.root)?;
        let path = join(dir.path(), new_rel);
        let taken = dir.stat(new_rel).map_err(failed("look at", &path))?;
        if taken.is_some() && !replace && *external.rel != *new_rel {
            return Err(PublishError::Exists { path });
        }
        dir.make_dirs(parent(new_rel)).map_err(failed("create", &path))?;
        let rename = RenameRow {
            root: external.root,
            replace,
            inode: external.stamp.inode,
            from: external.rel.to_vec(),
            to: new_rel.to_vec(),
        };
        //= rfcs/0009-store.md#store-10
        //# A store MUST commit the intention to rename a file or directory before it renames it.
        inner.pending().put(Table::Renames, id.as_bytes(), rename.encode());
        inner.checkpoint()?;
        let renamed = match inner.carry_out(*id, &rename) {
            Ok(renamed) => renamed,
            Err(error) => {
                let old = dir.stat(&rename.from);
                if matches!(old, Ok(Some(meta)) if meta.inode == rename.inode) {
                    // Nothing was done, and nothing may be done later behind the caller's back.
                    inner.pending().delete(Table::Renames, id.as_bytes());
                    inner.checkpoint()?;
                }
                return Err(error.into());
            }
        };
        inner.checkpoint()?;
        renamed.check(path)?;
        let stat = self.stat(id)?;
        stat.ok_or_else(|| StoreError::corrupt("a blob that was just moved").into())
    }

    /// Moves a staging directory to its final name, in one step, never onto anything. The root then
    /// stands for the new path and is not the store's own any more. Durable on return.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub fn publish_root(&self, root: RootId, new_path: &Path) -> Result<(), PublishError> {
        let inner = &self.inner;
        inner.alive()?;
        let target = absolute(new_path)?;
        let row = locked(&inner.roots).row(root).cloned();
        let Some(row) = row else { return Err(PublishError::UnknownRoot) };
        if inner.disk.exists(&target).map_err(failed("look at", &target))? {
            return Err(PublishError::Exists { path: target });
        }
        let bytes = target.as_os_str().as_encoded_bytes().to_vec();
        let row = RootRow { target: Some(bytes), ..row };
        inner.pending().put(Table::Roots, &root.0.to_be_bytes(), row.encode());
        inner.checkpoint()?;
        let (row, renamed) = match rename_root(&*inner.disk, &row) {
            Ok(done) => done,
            Err(error) => {
                if matches!(inner.disk.exists(&path_of(&row.path)), Ok(true)) {
                    // Nothing was done, and nothing may be done later behind the caller's back.
                    let row = RootRow { target: None, ..row };
                    inner.pending().put(Table::Roots, &root.0.to_be_bytes(), row.encode());
                    inner.checkpoint()?;
                }
                return Err(error.into());
            }
        };
        inner.pending().put(Table::Roots, &root.0.to_be_bytes(), row.encode());
        locked(&inner.roots).set(root, row);
        locked(&inner.readers).clear();
        inner.checkpoint()?;
        renamed.check(target)
    }
}

/// What became of a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renamed {
    Done,
    /// Something else has the new name. Nothing was done.
    Taken,
    /// There is nothing at the old name, and not ours at the new one.
    Gone,
}

impl Renamed {
    fn check(self, path: PathBuf) -> Result<(), PublishError> {
        match self {
            Self::Done => Ok(()),
            Self::Taken => Err(PublishError::Exists { path }),
            Self::Gone => Err(PublishError::Gone { path }),
        }
    }
}

/// Carries out the rename that a root's row intends. Returns the row without the intention, and
/// what became of it. Also for recovery: whatever was done is not done again.
pub(crate) fn rename_root(
    disk: &dyn crate::disk::Disk,
    row: &RootRow,
) -> Result<(RootRow, Renamed), StoreError> {
    let Some(target) = &row.target else { return Ok((row.clone(), Renamed::Done)) };
    let (from, to) = (path_of(&row.path), path_of(target));
    let unmoved = RootRow { target: None, ..row.clone() };
    match disk.rename_dir(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok((unmoved, Renamed::Taken));
        }
        Err(error) if is_missing(&error) => {
            // Renamed before a crash, or removed by the user.
            if !disk.exists(&to).map_err(failed("look at", &to))? {
                return Ok((unmoved, Renamed::Gone));
            }
        }
        Err(error) => return Err(StoreError::io("rename", from, error)),
    }
    disk.sync_parent(&to).map_err(failed("sync", &to))?;
    disk.sync_parent(&from).map_err(failed("sync", &from))?;
    Ok((RootRow { path: target.clone(), staging: false, target: None }, Renamed::Done))
}

impl Inner {
    fn register(&self, path: &Path, staging: bool) -> Result<RootId, StoreError> {
        self.alive()?;
        let mut roots = locked(&self.roots);
        let found = roots.find(path).map(|(root, row)| (root, row.clone()));
        let (root, row) = match found {
            Some((root, row)) if row.staging == staging => return Ok(root),
            Some((root, row)) => (root, RootRow { staging, ..row }),
            None => {
                let path = path.as_os_str().as_encoded_bytes().to_vec();
                (roots.next_id(), RootRow { path, staging, target: None })
            }
        };
        self.pending().put(Table::Roots, &root.0.to_be_bytes(), row.encode());
        roots.set(root, row);
        Ok(root)
    }

    /// Carries out a rename whose intention is committed, and books the result. Also for recovery:
    /// whatever was done is not done again.
    pub(crate) fn carry_out(&self, id: BlobId, rename: &RenameRow) -> Result<Renamed, StoreError> {
        let dir = self.root_dir(rename.root)?;
        let path = join(dir.path(), &rename.to);
        let same = rename.from == rename.to;
        let renamed = match dir.rename(&rename.from, &rename.to, rename.replace || same) {
            Ok(()) => Renamed::Done,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Where the system has no rename that spares what is there, the file has both
                // names for a moment, and a crash may leave them.
                let look = |rel: &[u8]| dir.stat(rel).map_err(failed("look at", &path));
                let (old, new) = (look(&rename.from)?, look(&rename.to)?);
                let ours = |meta: &Meta| meta.inode == rename.inode;
                match (old.filter(ours), new.filter(ours)) {
                    (Some(old), Some(new)) if old.device == new.device => {
                        dir.remove(&rename.from).map_err(failed("remove", &path))?;
                        Renamed::Done
                    }
                    _ => Renamed::Taken,
                }
            }
            Err(error) if is_missing(&error) => {
                // Renamed before a crash, or removed by the user.
                let meta = dir.stat(&rename.to).map_err(failed("look at", &path))?;
                if meta.is_some_and(|meta| meta.inode == rename.inode) {
                    Renamed::Done
                } else {
                    Renamed::Gone
                }
            }
            Err(error) => return Err(StoreError::io("rename", path, error)),
        };
        if renamed == Renamed::Done {
            for changed in ancestors(&rename.to).chain([parent(&rename.from)]) {
                self.sync_names(rename.root, changed)?;
            }
        }
        self.change_blob(id, |pending, row, _| {
            pending.delete(Table::Renames, id.as_bytes());
            if let (Some(mut row), Renamed::Done) = (row, renamed) {
                move_place(&mut row, rename);
                pending.put(Table::Blobs, id.as_bytes(), row.encode());
            }
        })?;
        locked(&self.readers).forget(id);
        Ok(renamed)
    }
}

fn move_place(row: &mut BlobRow, rename: &RenameRow) {
    for place in &mut row.places {
        if let Place::External(external) = place
            && external.root == rename.root
            && *external.rel == *rename.from
        {
            external.rel = rename.to.as_slice().into();
        }
    }
}

struct Hashed {
    id: BlobId,
    size: u64,
}

/// Hashes a file from start to end.
fn hash_file(
    file: &dyn File,
    meta: &Meta,
    spool: &mut Spool<'_>,
    progress: &mut dyn FnMut(u64),
    path: &dyn Fn() -> PathBuf,
) -> Result<Hashed, StoreError> {
    let mut builder = OutboardBuilder::new();
    let mut buffer = Vec::new();
    // One byte more than it should have, so that growth shows.
    let limit = meta.size.saturating_add(1);
    let mut at = 0;
    while at < limit {
        let len = usize::try_from(limit - at).unwrap_or(usize::MAX).min(READ_LEN);
        buffer.clear();
        file.read_vec(&mut buffer, at, len)
            .map_err(|error| StoreError::io("read", path(), error))?;
        if buffer.is_empty() {
            break;
        }
        at += buffer.len() as u64;
        progress(at.min(meta.size));
        if at == meta.size && at <= GroupLog2::KIB16.bytes() {
            // The usual small file needs no tree. Growth shows in the file's length afterwards.
            return Ok(Hashed { id: samara_tree::hash(&buffer), size: at });
        }
        builder.push(&buffer, &mut |_, cv| spool.values().push(cv));
        spool.settle()?;
    }
    let (id, size) = builder.finish(&mut |_, cv| spool.values().push(cv));
    Ok(Hashed { id, size })
}

/// Whether a file changed between two looks.
const fn unlike(before: &Meta, after: &Meta) -> bool {
    before.size != after.size
        || before.mtime_ns != after.mtime_ns
        || before.inode != after.inode
        || before.device != after.device
}

/// An absolute path, without looking at the disk.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(failed("name", path))
}
