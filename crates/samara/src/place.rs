//! Where a fetch puts its result: staged beside the destination, moved into place at the end.

use core::time::Duration;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use samara_base::BlobId;
use samara_chunk::{EntryKind, Manifest, Mode, Mtime};
use samara_store::{PublishError, RootId, Store, Target};

use crate::{
    error::FetchError,
    plan::{is_directory, set_attributes},
    share::{to_bytes, to_path},
    ticket::Format,
};

/// A destination. While the fetch runs, everything is under `staged`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where the result will be.
    path: PathBuf,
    /// Directory registered with the store: the destination's own for a file, the staged one for a
    /// collection.
    root: RootId,
    /// Staged name below `root` for a file; final name beside it.
    staged: Vec<u8>,
    name: Vec<u8>,
    /// The staged directory of a collection.
    pub(crate) directory: PathBuf,
    replace: bool,
}

/// Checks a destination and registers it with the store. Nothing that exists is touched.
pub(crate) fn prepare(
    store: &Store,
    output: &Path,
    name: Option<&[u8]>,
    id: &BlobId,
    format: Format,
    replace: bool,
) -> Result<Place, FetchError> {
    let mut path = output.to_owned();
    // A file goes into a directory that is there already, as with `cp`. A folder goes into one only
    // where the path can mean nothing else, `.` or `there/`: otherwise the same command would make
    // something else the second time.
    let inside = path.file_name().is_none() || to_bytes(output.as_os_str()).ends_with(b"/");
    if output.is_dir() && (format == Format::Blob || inside) {
        let name = name.ok_or_else(|| FetchError::BadPath { path: path.clone() })?;
        path.push(to_path(name));
    }
    let Some(name) = path.file_name() else { return Err(FetchError::BadPath { path }) };
    let name = to_bytes(name);
    //= rfcs/0004-chunking.md#coll-20
    //# An extractor MUST NOT write through a link or over a file that it did not create, unless its user allows it.
    match fs::symlink_metadata(&path) {
        Ok(found) if !replace || (format == Format::Blob && found.is_dir()) => {
            return Err(FetchError::Exists { path });
        }
        Ok(found) if format == Format::Collection && !found.is_dir() => {
            return Err(FetchError::Exists { path });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(FetchError::Io { path, error }),
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| FetchError::Io { path, error }
    };
    fs::create_dir_all(&parent).map_err(io(&parent))?;
    let parent = fs::canonicalize(&parent).map_err(io(&parent))?;
    let path = parent.join(to_path(&name));
    // The same for the same blob and name, so that the next attempt finds it.
    let mut staged = b".".to_vec();
    staged.extend(name.iter().take(200));
    staged.extend_from_slice(format!(".{}.samara-part", id.fmt_short()).as_bytes());
    let directory = parent.join(to_path(&staged));
    let root = if format == Format::Collection {
        store.staging_root(&directory)?
    } else {
        store.root(&parent)?
    };
    Ok(Place { path, root, staged, name, directory, replace })
}

/// What an earlier attempt left in a staged directory. Unit: bytes.
#[cfg(unix)]
fn staged_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => staged_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

impl Place {
    /// Where the bytes of a single file go.
    pub(crate) fn file_target(&self) -> Target {
        let mode = u32::from(Mode::FILE.bits());
        Target::File { root: self.root, rel: self.staged.clone(), mode, mtime: None }
    }

    /// Where the bytes of a collection's file go.
    pub(crate) fn entry_target(&self, rel: &[u8], mode: Mode, mtime: Option<Mtime>) -> Target {
        Target::File {
            root: self.root,
            rel: rel.to_vec(),
            mode: u32::from(mode.bits()),
            // Times before 1970 are not kept: the file gets the time of its arrival.
            mtime: mtime.and_then(|mtime| {
                let seconds = u64::try_from(mtime.seconds()).ok()?;
                Some(Duration::new(seconds, mtime.nanos()))
            }),
        }
    }

    /// Whether a collection of so many bytes fits, with what is staged already.
    #[cfg(unix)]
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), FetchError> {
        let failed = |error: rustix::io::Errno| self.failed(&self.directory, error.into());
        let disk = rustix::fs::statvfs(&self.directory).map_err(failed)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if needed <= free {
            return Ok(());
        }
        let needed = needed.saturating_sub(staged_bytes(&self.directory));
        if needed > free { Err(FetchError::NoSpace { needed, free }) } else { Ok(()) }
    }

    /// Whether a collection of so many bytes fits: found out while writing.
    #[cfg(not(unix))]
    pub(crate) fn check_space(&self, _needed: u64) -> Result<(), FetchError> {
        Ok(())
    }

    /// Moves a finished file to its name, or, if the blob was here already, writes it there.
    pub(crate) fn publish_file(&self, store: &Store, id: &BlobId) -> Result<PathBuf, FetchError> {
        match store.publish_file(id, &self.file_target(), &self.name, self.replace) {
            Ok(_) => {}
            Err(PublishError::NotAFile { .. }) => {
                store.export(id, &self.path, self.replace)?;
                // What an earlier attempt left is not needed any more.
                match fs::remove_file(&self.directory) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result.map_err(|error| self.failed(&self.directory, error))?,
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(self.path.clone())
    }

    /// Moves a finished directory to its name, or, if it may replace, its entries into the
    /// directory that is there: each file atomically, and what is not in the collection stays.
    pub(crate) fn publish_directory(
        &self,
        store: &Store,
        manifest: &Manifest<Bytes>,
    ) -> Result<PathBuf, FetchError> {
        if self.replace && is_directory(&self.path) {
            // What the store has yet to sync is synced under the names that it knows.
            store.checkpoint()?;
            self.merge(store, manifest)?;
            // Only directories are left in it.
            fs::remove_dir_all(&self.directory)
                .map_err(|error| self.failed(&self.directory, error))?;
        } else {
            store.publish_root(self.root, &self.path)?;
        }
        Ok(self.path.clone())
    }

    fn merge(&self, store: &Store, manifest: &Manifest<Bytes>) -> Result<(), FetchError> {
        let root = store.root(&self.path)?;
        let mut made = Vec::new();
        let mut entries = manifest.iter();
        while let Some(entry) = entries.next_entry() {
            let rel = to_path(entry.path);
            let (from, to) = (self.directory.join(&rel), self.path.join(&rel));
            if let EntryKind::Directory { mode, mtime } = entry.kind {
                match fs::create_dir(&to) {
                    Ok(()) => made.push((to, mode, mtime)),
                    Err(error)
                        if error.kind() == io::ErrorKind::AlreadyExists && is_directory(&to) => {}
                    Err(error) => return Err(self.failed(&to, error)),
                }
            } else if from.symlink_metadata().is_ok() {
                let file = matches!(entry.kind, EntryKind::File { .. });
                fs::rename(&from, &to).map_err(|error| self.failed(&to, error))?;
                if file {
                    // The store knew it by its old name.
                    store
                        .share_in_place(root, entry.path, &mut |_| ())
                        .map_err(FetchError::Share)?;
                }
            }
        }
        // A directory that was there keeps its own.
        for (path, mode, mtime) in made.into_iter().rev() {
            set_attributes(&path, mode.bits(), mtime)?;
        }
        Ok(())
    }

    fn failed(&self, path: &Path, error: io::Error) -> FetchError {
        FetchError::Io { path: path.to_owned(), error }
    }
}
