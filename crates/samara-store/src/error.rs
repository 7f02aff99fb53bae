use core::fmt;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

mod operations;

pub use operations::{
    ExportError, FinishError, ImportError, IngestError, PublishError, ReadError, ReceiveError,
    ShareError,
};

/// Trouble on this machine, common to all operations. Nothing that was acknowledged is lost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full, or filled up to the reserve that the store leaves free, or one of
    /// [`Quotas`](crate::Quotas) is used up, and nothing more could be evicted. Free some space, raise
    /// the quota, or let go of what is pinned; then call again: what was received so far stays.
    NoSpace {
        /// Bytes that this step needs; 0 if only the system said that the disk is full.
        needed: u64,
        /// The quota that stopped it; `None` if it was the disk. Unit: bytes.
        quota: Option<u64>,
        /// Bytes that are free: on the disk, or of that quota.
        free: u64,
    },
    /// A name is too long for the index.
    TooLong {
        /// What it names.
        what: &'static str,
        /// Its length. Unit: bytes.
        len: usize,
        /// The longest. Unit: bytes.
        max: usize,
    },
    /// The file system is mounted read-only. Choose another directory, or mount it writable.
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The system denies access. Give this user the permission, or choose another directory.
    Denied {
        /// What was to be opened.
        path: PathBuf,
    },
    /// The system reported another input/output error. Check the disk, then try again.
    Io {
        /// What was being done, in the infinitive.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A sync failed earlier, so nobody knows what reached the disk since. The store refuses
    /// everything; open it again, which finds out.
    ///
    /// Trying the sync again would prove nothing: the system may have dropped the pages that it
    /// could not write. See Rebello et al., "Can Applications Recover from fsync Failures?" (2020).
    Poisoned,
    /// The store, or what is asked of it, needs something that this build of the software lacks. Use
    /// one with the feature.
    Unsupported {
        /// The feature of this crate that is lacking.
        feature: &'static str,
    },
    /// The index answered something that it cannot contain.
    /// [`Store::rebuild_index`](crate::Store::rebuild_index) makes it again.
    Corrupt {
        /// What was wrong.
        detail: String,
    },
}

impl StoreError {
    /// Whether the system refused one operation, which it may allow another time.
    pub(crate) const fn is_of_the_system(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Denied { .. } | Self::ReadOnly { .. } | Self::NoSpace { .. }
        )
    }

    /// Sorts an error of the system by what the caller can do about it.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { needed: 0, quota: None, free: 0 }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Io { action, path, source: Arc::new(error) },
        }
    }

    pub(crate) fn corrupt(detail: impl fmt::Display) -> Self {
        Self::Corrupt { detail: detail.to_string() }
    }

    /// Whether free space would help.
    #[must_use]
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

/// An adapter for `map_err`: `error("write", path)`.
pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |error| StoreError::io(action, path, error)
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace { needed: 0, quota: None, .. } => {
                f.write_str("the disk is full: free some space and try again")
            }
            Self::NoSpace { needed, quota: Some(quota), free } => write!(
                f,
                "a quota of {quota} bytes is used up ({needed} bytes needed, {free} left) and nothing \
                 more can be evicted: raise the quota, or let go of what is pinned"
            ),
            Self::TooLong { what, len, max } => {
                write!(f, "{what} has {len} bytes, more than {max}: take a shorter one")
            }
            Self::NoSpace { needed, quota: None, free } => write!(
                f,
                "the disk is full ({needed} bytes needed, {free} free): free some space and try \
                 again"
            ),
            Self::ReadOnly { path } => {
                write!(f, "{} is on a read-only file system", path.display())
            }
            Self::Denied { path } => write!(f, "access to {} is denied", path.display()),
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::Poisoned => {
                f.write_str("an earlier sync failed, so the store stopped: open it again to go on")
            }
            Self::Unsupported { feature } => {
                write!(f, "this build has no {feature}, which the store needs: use one that has it")
            }
            Self::Corrupt { detail } => write!(f, "the store's index is damaged: {detail}"),
        }
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Why a store was not opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store open. Stop it, or use another directory.
    InUse {
        /// The process that has it, if it said so.
        pid: Option<u32>,
        /// The store's directory.
        path: PathBuf,
    },
    /// The directory cannot be written. Mount it writable, give this user the permission, or choose
    /// another directory.
    ReadOnly {
        /// The store's directory.
        path: PathBuf,
    },
    /// The store was written by a version of this software that this one does not understand. Use
    /// the newer version.
    Version {
        /// Format number found.
        found: u64,
        /// The newest that this version knows.
        supported: u64,
    },
    /// The index is damaged or missing. [`Store::rebuild_index`](crate::Store::rebuild_index) makes it
    /// again. Files that were shared in place or received into place are not touched.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// What was wrong.
        detail: String,
    },
    /// Another trouble.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { pid: Some(pid), path } => {
                write!(f, "the store {} is in use by process {pid}", path.display())
            }
            Self::InUse { pid: None, path } => {
                write!(f, "the store {} is in use by another process", path.display())
            }
            Self::ReadOnly { path } => {
                write!(f, "the store {} cannot be written", path.display())
            }
            Self::Version { found, supported } => write!(
                f,
                "the store has format {found}, this version knows up to {supported}: use a newer \
                 version"
            ),
            Self::Corrupt { path, detail } => {
                write!(f, "{} is damaged: {detail}", path.display())
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
