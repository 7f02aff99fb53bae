//! How a command ends: a code for scripts, a sentence for people.

use core::fmt;
use std::{io, path::Path};

use samara::{FetchError, ShareError, StartError, ticket::TicketError};
use samara_store::{
    ExportError, FinishError, ImportError, OpenError, Options, PublishError, ReadError,
    ReceiveError, StoreError,
};

use crate::units::Bytes;

/// The exit codes. They are part of the interface: a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Everything that was asked for is done.
    Complete = 0,
    /// A failure that has no code of its own.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something is missing that no source delivers. What came is kept.
    Partial = 3,
    /// The sources refuse it, do not have it, or sent something else.
    Unavailable = 4,
    /// No source was reachable in time, or the time was up.
    NoProvider = 5,
    /// Another process uses the store.
    InUse = 6,
    /// The disk is full.
    NoSpace = 7,
    /// Something is at the destination, and it was not to be replaced.
    Exists = 8,
    /// A ticket is mangled, or tickets do not belong together.
    BadTicket = 9,
    /// Stored data is damaged, or a file that was shared in place has changed.
    Damaged = 10,
    /// No such file, blob or tag.
    NotFound = 11,
    /// The system denies access, or the file system is read-only.
    Denied = 12,
    /// Ended by Ctrl-C or a signal; what arrived is kept.
    Cancelled = 130,
}

impl Code {
    /// The code's name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
            Self::NoProvider => "no_provider",
            Self::InUse => "store_in_use",
            Self::NoSpace => "no_space",
            Self::Exists => "exists",
            Self::BadTicket => "bad_ticket",
            Self::Damaged => "damaged",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
        }
    }

    /// The code for an error of the system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Failed,
        }
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what was asked. Displays as one or more plain sentences.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For scripts.
    pub(crate) code: Code,
    /// For people: what is wrong and what to do. Empty: nothing to be said.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// An adapter for `map_err`: `Failure::io("read", path)`.
    pub(crate) fn io<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| {
            let (code, path) = (Code::of_io(&error), path.display());
            Self::new(code, format!("cannot {action} {path}: {}", plain(&error)))
        }
    }

    /// Standard output does not take what it is given.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever reads has seen enough, as in `samara ls | head`.
            return Self::new(Code::Complete, "");
        }
        Self::new(Code::of_io(error), format!("cannot write to standard output: {}", plain(error)))
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, "cancelled")
    }

    /// Adds a sentence about what to do.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the system said, without the number that says it again.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_lowercase(),
        None => text,
    }
}

/// What to say when the disk is full; whoever noticed may not know the figures.
fn disk_full(needed: u64, free: u64) -> Failure {
    let figures = match needed {
        0 => String::new(),
        needed => format!(
            " ({} needed, {} free, of which {} are left to others)",
            Bytes(needed),
            Bytes(free),
            Bytes(Options::default().reserve_bytes)
        ),
    };
    let text = format!(
        "the disk is full{figures}: free some space and run the same command again; what was \
         finished so far is kept"
    );
    Failure::new(Code::NoSpace, text)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NoSpace { needed, quota: None, free } => return disk_full(*needed, *free),
            StoreError::NoSpace { quota: Some(_), .. } => Code::NoSpace,
            StoreError::ReadOnly { .. } | StoreError::Denied { .. } => Code::Denied,
            StoreError::Corrupt { .. } => {
                return Self::new(Code::Damaged, error.to_string()).advise(
                    "try again; if it stays so, make the index of this store again with `samara \
                     rebuild-index --force --store DIR`, and share again what you shared",
                );
            }
            StoreError::Io { source, .. } => match Code::of_io(source) {
                // Of a file inside the store, these are no news about what the user named.
                Code::NotFound | Code::Exists => Code::Failed,
                code => code,
            },
            _ => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error.into(),
            OpenError::InUse { .. } => Self::new(Code::InUse, error.to_string())
                .advise("stop that process, or choose another directory with --store"),
            OpenError::ReadOnly { .. } => Self::new(Code::Denied, error.to_string())
                .advise("make it writable, or choose another directory with --store"),
            OpenError::Corrupt { .. } => Self::new(Code::Damaged, error.to_string()).advise(
                "make the index again with `samara rebuild-index` and the same --store, if any",
            ),
            error => Self::new(Code::Failed, error.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Identity(ref cause) => Self::new(Code::of_io(cause), error.to_string()),
            error => Self::new(Code::Failed, error.to_string()),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::Store(error) => return error.into(),
            ReadError::NotHeld { .. } => Code::Partial,
            ReadError::Damaged { .. } | ReadError::Changed { .. } => Code::Damaged,
            _ => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ShareError> for Failure {
    fn from(error: ShareError) -> Self {
        let message = error.to_string();
        let code = match error {
            ShareError::Store(error) => return error.into(),
            ShareError::Read(error) => return error.into(),
            ShareError::File(samara_store::ShareError::Store(error)) => return error.into(),
            ShareError::NotFound { .. } => Code::NotFound,
            ShareError::Cancelled => return Self::cancelled(),
            ShareError::Io { path, error } => return Self::io("read", &path)(error),
            ShareError::File(samara_store::ShareError::Changed { .. }) => Code::Damaged,
            _ => Code::Failed,
        };
        Self::new(code, message)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Read(error) => Self::new(
                Code::of_io(&error),
                format!("cannot read the bytes to add: {}", plain(&error)),
            ),
            error => Self::new(Code::Failed, error.to_string()),
        }
    }
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        Code::Exists,
        format!("{path} exists and is left alone; replace it with --force, or name another place"),
    )
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Read(error) => error.into(),
            ExportError::Exists { path } => exists(&path),
            ExportError::NotHeld => Self::new(
                Code::Partial,
                "the store has only a part of it; run `samara get` with its ticket again",
            ),
            error => Self::new(Code::Failed, error.to_string()),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let message = error.to_string();
        let code = match error {
            FetchError::Exists { path } => return exists(&path),
            FetchError::Io { path, error } => {
                return match Code::of_io(&error) {
                    Code::NoSpace => disk_full(0, 0),
                    _ => Self::io("write", &path)(error),
                };
            }
            FetchError::Store(error)
            | FetchError::Receive(ReceiveError::Store(error))
            | FetchError::Finish(FinishError::Store(error))
            | FetchError::Publish(PublishError::Store(error)) => return error.into(),
            FetchError::Export(error) => return error.into(),
            FetchError::Read(error) => return error.into(),
            FetchError::BadPath { .. } => Code::Usage,
            FetchError::Receive(ReceiveError::Size { .. }) => Code::Unavailable,
            _ => Code::Failed,
        };
        Self::new(code, message)
    }
}

impl From<TicketError> for Failure {
    fn from(error: TicketError) -> Self {
        Self::new(Code::BadTicket, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_lose_their_number_and_nothing_else() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
        assert_eq!(plain(&io::Error::other("a (b)")), "a (b)");
    }

    #[test]
    fn a_full_disk_says_what_to_do_whoever_noticed() {
        for needed in [0, 4096] {
            let failure = Failure::from(StoreError::NoSpace { needed, quota: None, free: 0 });
            assert_eq!(failure.code, Code::NoSpace);
            assert!(failure.message.contains("free some space"), "{failure}");
            assert_eq!(failure.message.contains("4.00 KiB needed"), needed > 0, "{failure}");
        }
    }
}
