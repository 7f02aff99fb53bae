//! What of a collection is here, what is missing, and what is left to do when all blobs are here.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_chunk::{EntryKind, Manifest, Mtime};
use samara_store::{BlobPlace, Store, Target};
use tokio::sync::mpsc;

use crate::{error::FetchError, place::Place, reception::is_there, share::to_path};

/// Children in one message of the planner.
const BATCH: usize = 256;

/// A file of a collection, as the planner finds it.
#[derive(Debug)]
pub(crate) enum Child {
    /// Nothing has to be received for it.
    Here {
        /// Bytes of content.
        bytes: u64,
    },
    /// Its blob has to be received.
    Missing {
        blob: BlobId,
        path: Vec<u8>,
        size: u64,
        target: Target,
        held: RangeSet,
        known: RangeSet,
    },
}

/// What the planner noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Entries whose blob is here, or is received for another entry: written out at the end.
    copies: u64,
}

/// Walks the collection and sends what it finds, in order. Ends early when nobody listens.
pub(crate) fn plan(
    store: &Store,
    manifest: &Manifest<Bytes>,
    place: Option<&Place>,
    children: &mpsc::Sender<Vec<Child>>,
) -> Result<Plan, FetchError> {
    let mut plan = Plan::default();
    // The first eight bytes will do: a clash only means that a file is copied at the end, and if
    // its blob is not here then, received by the next attempt.
    let mut seen = HashSet::<[u8; 8]>::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        match entry.kind {
            EntryKind::Directory { .. } => {
                if let Some(place) = place {
                    make_directory(&place.directory.join(to_path(entry.path)))?;
                }
                continue;
            }
            EntryKind::Symlink { .. } => continue,
            EntryKind::File { mode, mtime, size, id } => {
                let first = core::array::from_fn(|at| id.as_bytes()[at]);
                let target = place
                    .map_or(Target::Segments, |place| place.entry_target(entry.path, mode, mtime));
                if !seen.insert(first) {
                    plan.copies += 1;
                    batch.push(Child::Here { bytes: size });
                } else {
                    batch.push(look(store, id, size, entry.path, target, place, &mut plan)?);
                }
            }
        }
        if batch.len() >= BATCH && children.blocking_send(core::mem::take(&mut batch)).is_err() {
            return Ok(plan);
        }
    }
    // Nobody listens after a cancel.
    let _ = children.blocking_send(batch);
    Ok(plan)
}

fn look(
    store: &Store,
    id: BlobId,
    size: u64,
    path: &[u8],
    target: Target,
    place: Option<&Place>,
    plan: &mut Plan,
) -> Result<Child, FetchError> {
    let missing = |held, known| Child::Missing {
        blob: id,
        path: path.to_vec(),
        size,
        target: target.clone(),
        held,
        known,
    };
    let Some(stat) = store.stat(&id)? else {
        return Ok(missing(RangeSet::new(), RangeSet::new()));
    };
    if stat.complete && is_there(store, &id)? {
        let in_place = match (&stat.place, place) {
            (_, None) => true,
            (BlobPlace::External(file), Some(place)) => {
                *file == place.directory.join(to_path(path))
            }
            _ => false,
        };
        if in_place {
            return Ok(Child::Here { bytes: size });
        }
        plan.copies += 1;
        return Ok(Child::Here { bytes: size });
    }
    if size <= GroupLog2::KIB16.bytes() {
        return Ok(missing(RangeSet::new(), RangeSet::new()));
    }
    let receiver = store.receive(&id, size, &target)?;
    Ok(missing(receiver.held(), receiver.known()))
}

/// Writes out copies, links, and the modes and times of directories. Every blob is here.
//= rfcs/0004-chunking.md#coll-19
//# An extractor MUST create links only after every file of the collection is in place.
pub(crate) fn complete(
    store: &Store,
    manifest: &Manifest<Bytes>,
    place: &Place,
    plan: &Plan,
) -> Result<(), FetchError> {
    let (mut directories, mut links) = (Vec::new(), Vec::new());
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        let path = place.directory.join(to_path(entry.path));
        match entry.kind {
            EntryKind::Directory { mode, mtime } => directories.push((path, mode, mtime)),
            EntryKind::Symlink { target } => links.push((path, target.to_vec())),
            EntryKind::File { mode, mtime, id, .. } if plan.copies > 0 => {
                if fs::symlink_metadata(&path).is_err() {
                    store.export(&id, &path, false)?;
                    set_attributes(&path, mode.bits(), mtime)?;
                }
            }
            EntryKind::File { .. } => {}
        }
    }
    for (path, target) in links {
        make_link(&path, &target)?;
    }
    // Innermost first: writing into a directory changes its time, and its mode may forbid it.
    for (path, mode, mtime) in directories.into_iter().rev() {
        set_attributes(&path, mode.bits(), mtime)?;
    }
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path: PathBuf = path.to_owned();
    move |error| FetchError::Io { path, error }
}

/// Whether a directory lies there, not a link to one.
pub(crate) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn make_directory(path: &Path) -> Result<(), FetchError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory(path) => Ok(()),
        result => result.map_err(failed(path)),
    }
}

#[cfg(unix)]
fn make_link(path: &Path, target: &[u8]) -> Result<(), FetchError> {
    match std::os::unix::fs::symlink(to_path(target), path) {
        // Left by an earlier attempt at the same collection.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(failed(path)),
    }
}

#[cfg(not(unix))]
fn make_link(path: &Path, _target: &[u8]) -> Result<(), FetchError> {
    let error = io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not supported here");
    Err(failed(path)(error))
}

pub(crate) fn set_attributes(
    path: &Path,
    mode: u16,
    mtime: Option<Mtime>,
) -> Result<(), FetchError> {
    if let Some(mtime) = mtime {
        let time = if mtime.seconds() >= 0 {
            std::time::UNIX_EPOCH.checked_add(core::time::Duration::new(
                mtime.seconds().unsigned_abs(),
                mtime.nanos(),
            ))
        } else {
            std::time::UNIX_EPOCH
                .checked_sub(core::time::Duration::from_secs(mtime.seconds().unsigned_abs()))
                .and_then(|time| {
                    time.checked_add(core::time::Duration::from_nanos(mtime.nanos().into()))
                })
        };
        // A time that this system can't represent is left as it is.
        if let Some(time) = time {
            let times = fs::FileTimes::new().set_modified(time);
            fs::File::open(path).and_then(|file| file.set_times(times)).map_err(failed(path))?;
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = fs::Permissions::from_mode(u32::from(mode));
        fs::set_permissions(path, permissions).map_err(failed(path))?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}
