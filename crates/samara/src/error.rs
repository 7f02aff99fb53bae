//! Why an operation of the node did not succeed.

use core::fmt;
use std::{io, path::PathBuf};

use crate::ticket::TicketBuildError;
use samara_chunk::{BuildError, DecodeError, EncodeError, PathError, RuleError};
use samara_net::driver::BindError;
use samara_store::{
    ExportError, FinishError, OpenError, PublishError, ReadError, ReceiveError, StoreError,
};

/// Why a node did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store can't be opened.
    Store(OpenError),
    /// The identity file can't be read or made.
    Identity(io::Error),
    /// The network can't be used.
    Bind(BindError),
    /// The system refused a thread.
    Threads(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Identity(error) => write!(f, "cannot use the node's identity: {error}"),
            Self::Bind(error) => error.fmt(f),
            Self::Threads(error) => write!(f, "the system refused a thread: {error}"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Store(error)
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

/// Why a path could not be shared or imported.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShareError {
    /// There is nothing at this path.
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// What lies there is neither a file nor a directory.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The system refused to read.
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A name does not fit into a manifest.
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        error: PathError,
    },
    /// An entry does not fit into a manifest.
    Entry {
        /// The path.
        path: PathBuf,
        /// Why.
        error: EncodeError,
    },
    /// The manifest could not be made.
    Manifest(BuildError),
    /// A file could not be shared where it lies.
    File(samara_store::ShareError),
    /// A held blob could not be read.
    Read(ReadError),
    /// The blob that is said to be a collection is none.
    NotACollection(DecodeError),
    /// No ticket can be made for it.
    Ticket(TicketBuildError),
    /// The store failed.
    Store(StoreError),
    /// The caller cancelled it.
    Cancelled,
    /// The node is shut down.
    Closed,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { path } => write!(f, "there is nothing at {}", path.display()),
            Self::NotAFile { path } => {
                write!(f, "{} is neither a file nor a directory", path.display())
            }
            Self::Io { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Path { path, error } => write!(f, "cannot share {}: {error}", path.display()),
            Self::Entry { path, error } => write!(f, "cannot share {}: {error}", path.display()),
            Self::Manifest(error) => write!(f, "cannot share this directory: {error}"),
            Self::File(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::NotACollection(error) => write!(f, "this is not a collection: {error}"),
            Self::Ticket(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the node is shut down"),
        }
    }
}

impl core::error::Error for ShareError {}

impl From<StoreError> for ShareError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a fetch failed on our own side. What others did is a verdict.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// Something is at the destination; say that it may be replaced, or choose another place.
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The destination can't be written.
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The collection does not fit where it is to be written.
    NoSpace {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The destination has no file name.
    BadPath {
        /// The path.
        path: PathBuf,
    },
    /// The blob that the ticket calls a collection is none.
    NotACollection(DecodeError),
    /// The collection holds an entry that must not be extracted here.
    Unsafe(RuleError),
    /// The store does not take the blob.
    Receive(ReceiveError),
    /// The store could not finish the blob.
    Finish(FinishError),
    /// The result could not be moved into place; it is kept in the store.
    Publish(PublishError),
    /// A file that was moved into place could not be taken into the store there.
    Share(samara_store::ShareError),
    /// A blob that was here already could not be written to the destination.
    Export(ExportError),
    /// A blob that was here already could not be read.
    Read(ReadError),
    /// The store failed.
    Store(StoreError),
    /// The node is shut down.
    Closed,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path } => {
                write!(f, "{} exists already and is left alone", path.display())
            }
            Self::Io { path, error } => write!(f, "cannot write {}: {error}", path.display()),
            Self::NoSpace { needed, free } => write!(
                f,
                "the collection needs {needed} bytes and {free} are free: free some space, or \
                 choose another place"
            ),
            Self::BadPath { path } => write!(f, "{} does not name a file", path.display()),
            Self::NotACollection(error) => {
                write!(f, "what was shared is not a collection: {error}")
            }
            Self::Unsafe(error) => write!(f, "this collection cannot be written here: {error}"),
            Self::Receive(error) => error.fmt(f),
            Self::Finish(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
            Self::Share(error) => error.fmt(f),
            Self::Export(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Closed => f.write_str("the node is shut down"),
        }
    }
}

impl core::error::Error for FetchError {}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ReceiveError> for FetchError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Store(error) => Self::Store(error),
            ReceiveError::Exists { path } => Self::Exists { path },
            error => Self::Receive(error),
        }
    }
}

impl From<FinishError> for FetchError {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::Store(error) => Self::Store(error),
            error => Self::Finish(error),
        }
    }
}

impl From<PublishError> for FetchError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Store(error) => Self::Store(error),
            PublishError::Exists { path } => Self::Exists { path },
            error => Self::Publish(error),
        }
    }
}

impl From<ExportError> for FetchError {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

impl From<ReadError> for FetchError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}
