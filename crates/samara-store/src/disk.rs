//! The seam between the store and the machine: every byte that the store reads or writes passes
//! through [`Disk`], [`Dir`] and [`File`].
//!
//! [`OsDisk`] is the real thing. [`MemDisk`] keeps everything in memory, forgets what was not
//! synced when told to [`crash`](MemDisk::crash), and fails on command; tests, fuzzing and
//! simulation run the very same store over it.
//!
//! ```
//! use samara_store::disk::{Dir as _, Disk as _, MemDisk, Open};
//! use std::path::Path;
//!
//! let disk = MemDisk::new();
//! let dir = disk.open_dir(Path::new("/data"), true)?;
//! dir.open(b"a", Open::Create { mode: 0o644 })?.write_at(b"never synced", 0)?;
//! disk.crash(None);
//! let dir = disk.open_dir(Path::new("/data"), true)?;
//! assert!(dir.stat(b"a")?.is_none());
//! # Ok::<(), std::io::Error>(())
//! ```

mod create;
mod mem;
#[cfg(unix)]
mod os;
mod path;

pub(crate) use create::{create_dir, missing, sync_way};
pub use mem::{Call, Fault, MemDisk};
#[cfg(unix)]
pub use os::OsDisk;
pub use path::{PathError, REL_PATH_MAX, check_rel};

use core::fmt::Debug;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A machine's file systems.
pub trait Disk: Send + Sync + Debug {
    /// Opens a directory, with its missing parents created if `create`. The caller chose `path`,
    /// so symbolic links in it are followed.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn open_dir(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Dir>>;

    /// Renames a directory, never onto something that exists.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if `to` exists; otherwise whatever the system reports.
    fn rename_dir(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the name of `path` durable, that is, syncs the directory that holds it.
    ///
    /// # Errors
    ///
    /// Whatever the system reports. A failure means that nothing about the name is known.
    fn sync_parent(&self, path: &Path) -> io::Result<()>;

    /// Whether something exists at `path`.
    ///
    /// # Errors
    ///
    /// Whatever the system reports, except that the thing does not exist.
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// An open directory. Names below it are relative, in bytes, separated by `/`, checked by
/// [`check_rel`], and resolved without following any symbolic link and without leaving the
/// directory.
pub trait Dir: Send + Sync + Debug {
    /// Where the directory was when it was opened, for messages.
    fn path(&self) -> &Path;

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Whatever the system reports; `InvalidInput` for a path that [`check_rel`] refuses; for
    /// [`Open::CreateNew`], `AlreadyExists`.
    fn open(&self, rel: &[u8], how: Open) -> io::Result<Arc<dyn File>>;

    /// Creates a directory and its missing parents. Directories that exist are fine.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn make_dirs(&self, rel: &[u8]) -> io::Result<()>;

    /// The entries of a directory (`b""`: this one), in no particular order, one call each.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn list(&self, rel: &[u8], entry: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// What lies at `rel`, not following a symbolic link; `None` if nothing does.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn stat(&self, rel: &[u8]) -> io::Result<Option<Meta>>;

    /// Renames a file inside this directory tree.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `to` exists and not `replace`; otherwise whatever the system reports.
    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn remove(&self, rel: &[u8]) -> io::Result<()>;

    /// Makes the names in a directory (`b""`: this one) durable.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn sync_names(&self, rel: &[u8]) -> io::Result<()>;

    /// Makes everything written to this directory's file system durable, data and names. For many
    /// small files this costs less than syncing each. To be believed only if
    /// [`syncs_whole`](Self::syncs_whole) says so.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn sync_all(&self) -> io::Result<()>;

    /// Whether [`sync_all`](Self::sync_all) is known to reach the medium. Some file systems take the
    /// call, do nothing and report success.
    fn syncs_whole(&self) -> bool;

    /// Bytes that may still be written to this directory's file system.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Takes the exclusive lock that the file `rel` stands for and writes `note` into it; the lock
    /// is held until the returned value is dropped, or the process ends in whatever way.
    ///
    /// # Errors
    ///
    /// Whatever the system reports. A lock held by somebody else is no error:
    /// [`LockOutcome::Held`] brings their note.
    fn try_lock(&self, rel: &[u8], note: &str) -> io::Result<LockOutcome>;
}

/// An open file. All positions are in bytes from its start.
pub trait File: Send + Sync + Debug {
    /// Reads until `buf` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Appends up to `len` bytes from `at` on to `buf`, fewer only at the end of the file. Real disks
    /// do not clear the buffer first.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn read_vec(&self, buf: &mut Vec<u8>, at: u64, len: usize) -> io::Result<()> {
        let start = buf.len();
        buf.resize(start.saturating_add(len), 0);
        let read = self.read_at(buf.get_mut(start..).unwrap_or_default(), at)?;
        buf.truncate(start + read);
        Ok(())
    }

    /// Writes all of `data`; the file grows as needed.
    ///
    /// # Errors
    ///
    /// Whatever the system reports. Any part of the data may have been written.
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()>;

    /// Reserves space and grows the file to `at + len` if it is shorter. The reserved part reads as
    /// zeros.
    ///
    /// # Errors
    ///
    /// `StorageFull`, or `Unsupported` where the file system cannot reserve.
    fn allocate(&self, at: u64, len: u64) -> io::Result<()>;

    /// Cuts or grows the file; what is new reads as zeros.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`). Mode and time may stay behind.
    ///
    /// # Errors
    ///
    /// Whatever the system reports. After a failure nothing is known about what was written since
    /// the last success, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Makes the file's bytes, length, mode and time durable (`fsync`).
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    fn sync_with_meta(&self) -> io::Result<()>;

    /// Gives back the space of a range, which then reads as zeros. The length stays.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the file system cannot; otherwise whatever the system reports.
    fn punch(&self, at: u64, len: u64) -> io::Result<()>;

    /// Asks the system to start writing a range back, without waiting. A hint.
    fn start_writeback(&self, at: u64, len: u64);

    /// What the system knows of the file.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn meta(&self) -> io::Result<Meta>;

    /// Sets the permission bits.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Sets the time of the last change. Unit: nanoseconds since 1970.
    ///
    /// # Errors
    ///
    /// Whatever the system reports.
    fn set_mtime(&self, mtime_ns: i64) -> io::Result<()>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Open {
    /// An existing file, for reading. Never blocks, whatever kind of file it is.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing; created with these permission bits if it does not exist.
    Create {
        /// Permission bits, before the process's mask.
        mode: u32,
    },
    /// For reading and writing; must not exist.
    CreateNew {
        /// Permission bits. Unlike for [`Self::Create`] the file has exactly these, whatever the
        /// process's mask, unless the system forbids it.
        mode: u32,
    },
}

/// What the system knows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "other disks build it by literal")]
pub struct Meta {
    /// Whether it is a regular file.
    pub regular: bool,
    /// Whether it is a directory.
    pub directory: bool,
    /// Length. Unit: bytes.
    pub size: u64,
    /// Time of the last change. Unit: nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The file's number on its device.
    pub inode: u64,
    /// The device's number; may differ after a restart.
    pub device: u64,
    /// Permission bits.
    pub mode: u32,
}

/// What [`Dir::try_lock`] found.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a lock is ours or somebody else's")]
pub enum LockOutcome {
    /// The lock is ours until this value is dropped.
    Taken(Box<dyn Lock>),
    /// Somebody else has it; their note.
    Held(String),
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync + Debug {}

/// Joins a directory's path and a relative name, for messages.
pub(crate) fn join(dir: &Path, rel: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        dir.join(std::ffi::OsStr::from_bytes(rel))
    }
    #[cfg(not(unix))]
    {
        dir.join(String::from_utf8_lossy(rel).as_ref())
    }
}

/// The part of a relative path before its last separator; empty if there is none.
pub(crate) fn parent(rel: &[u8]) -> &[u8] {
    rel.iter().rposition(|&byte| byte == b'/').map_or(&[], |at| rel.split_at(at).0)
}

/// The part of a relative path after its last separator.
pub(crate) fn name(rel: &[u8]) -> &[u8] {
    rel.iter().rposition(|&byte| byte == b'/').map_or(rel, |at| rel.split_at(at + 1).1)
}
