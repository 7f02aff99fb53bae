use core::{error::Error, fmt};
use std::{io, path::PathBuf, sync::Arc};

use samara_base::{BlobId, RangeSet};
use samara_tree::VerifyError;

use super::StoreError;
use crate::disk::PathError;

/// Why bytes from a reader were not imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The reader failed. Nothing was imported.
    Read(Arc<io::Error>),
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot read the bytes to import: {error}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for ImportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(&**error),
            Self::Store(error) => Some(error),
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a file was not shared in place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShareError {
    /// The path is refused. See [`PathError`].
    Path(PathError),
    /// There is no such file. Check the name.
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// It is a directory, a symbolic link, a pipe or a device. Share regular files.
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// The file changed while it was being hashed. Share it again when nobody writes to it.
    Changed {
        /// Where.
        path: PathBuf,
    },
    /// The root is not registered. Call [`Store::root`](crate::Store::root) first.
    UnknownRoot,
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(error) => fmt::Display::fmt(error, f),
            Self::NotFound { path } => write!(f, "{} does not exist", path.display()),
            Self::NotAFile { path } => write!(f, "{} is not a regular file", path.display()),
            Self::Changed { path } => write!(
                f,
                "{} changed while it was being hashed: share it again when nobody writes to it",
                path.display()
            ),
            Self::UnknownRoot => f.write_str("the root is not registered with this store"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for ShareError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Path(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ShareError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a receive could not start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The path is refused. See [`PathError`].
    Path(PathError),
    /// Something else is at the destination already. Choose another name, or remove it.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The size contradicts the size that is already proven for this blob. Who claims it lies or
    /// errs.
    Size {
        /// Size that is proven. Unit: bytes.
        proven: u64,
    },
    /// The data is not the blob: its hash differs. Blame the sender. Only from
    /// [`Store::receive_small`](crate::Store::receive_small).
    Mismatch,
    /// The data does not fit one 16 KiB group. Only from
    /// [`Store::receive_small`](crate::Store::receive_small); use [`Store::receive`](crate::Store::receive).
    TooLarge,
    /// The root is not registered. Call [`Store::root`](crate::Store::root) first.
    UnknownRoot,
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(error) => fmt::Display::fmt(error, f),
            Self::Exists { path } => {
                write!(f, "{} exists already and was not touched", path.display())
            }
            Self::Size { proven } => {
                write!(f, "the blob is proven to have {proven} bytes, another size was claimed")
            }
            Self::Mismatch => f.write_str("the data does not hash to the blob's id"),
            Self::TooLarge => f.write_str("the data does not fit one 16 KiB group"),
            Self::UnknownRoot => f.write_str("the root is not registered with this store"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for ReceiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Path(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ReceiveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a transfer was not taken in. Nothing of it is held then.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IngestError {
    /// The proof or its form is wrong. See [`VerifyError::is_peer_fault`].
    Verify(VerifyError),
    /// The receive was finished or removed. Start anew.
    Closed,
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify(error) => fmt::Display::fmt(error, f),
            Self::Closed => f.write_str("the receive was finished or removed"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for IngestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Verify(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a receive could not be finished.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FinishError {
    /// Some leaves are still missing.
    Incomplete {
        /// Leaves that are missing.
        missing: RangeSet,
    },
    /// The receive was removed.
    Closed,
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for FinishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { missing } => write!(f, "leaves {missing} are still missing"),
            Self::Closed => f.write_str("the receive was removed"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for FinishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for FinishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a range was not read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// A part of the range is not held.
    NotHeld {
        /// Leaves of the range that are not held.
        missing: RangeSet,
    },
    /// The range is empty, past the end, or not made of whole groups.
    Range,
    /// Stored bytes do not match their hashes any more. These leaves were put into quarantine and
    /// count as missing from now on: fetch them again. Everything else can be read.
    Damaged {
        /// The damaged leaves, in whole 16 KiB groups.
        ranges: RangeSet,
    },
    /// The file that was shared in place changed since. Share it again.
    Changed {
        /// Where.
        path: PathBuf,
    },
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeld { missing } => write!(f, "leaves {missing} are not held"),
            Self::Range => {
                f.write_str("the range is not a part of the blob, or not made of whole groups")
            }
            Self::Damaged { ranges } => {
                write!(f, "stored leaves {ranges} are damaged and must be fetched again")
            }
            Self::Changed { path } => {
                write!(f, "{} changed since it was shared: share it again", path.display())
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a file or directory was not moved to its final name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The path is refused. See [`PathError`].
    Path(PathError),
    /// Something has the final name already; nothing was overwritten. Choose another name, or
    /// replace it.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file or directory was moved or deleted meanwhile. Receive it again.
    Gone {
        /// Where it was to be.
        path: PathBuf,
    },
    /// The blob is not complete, or not in a file of its own.
    NotAFile {
        /// The blob.
        id: BlobId,
    },
    /// The root is not registered. Call [`Store::root`](crate::Store::root) first.
    UnknownRoot,
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(error) => fmt::Display::fmt(error, f),
            Self::Exists { path } => {
                write!(f, "{} exists already and was not touched", path.display())
            }
            Self::Gone { path } => write!(
                f,
                "what was to become {} was moved or deleted meanwhile: receive it again",
                path.display()
            ),
            Self::NotAFile { id } => write!(f, "blob {id} is not complete in a file of its own"),
            Self::UnknownRoot => f.write_str("the root is not registered with this store"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Path(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a blob was not written out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// The blob is not held, or only in part.
    NotHeld,
    /// Something has this name already; nothing was overwritten. Choose another name, or replace
    /// it.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The blob could not be read. The destination was not touched.
    Read(ReadError),
    /// Trouble on this machine.
    Store(StoreError),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeld => f.write_str("the blob is not held, or only in part"),
            Self::Exists { path } => {
                write!(f, "{} exists already and was not touched", path.display())
            }
            Self::Read(error) => fmt::Display::fmt(error, f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Error for ExportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
