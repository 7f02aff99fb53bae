use alloc::vec::Vec;
use core::{cmp::Ordering, fmt};

use super::{
    Entry, EntryKind, Extensions, MAGIC, MANIFEST_VERSION, Summary, decode::Track, entry::zigzag,
    tag,
};
use crate::{
    limits::{ENTRIES_MAX, MANIFEST_BYTES_MAX, TARGET_BYTES_MAX, TOTAL_BYTES_MAX},
    path::{PathError, check_path, compare_paths},
    varint,
};

/// Why an entry cannot be part of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The path is refused. Leave the file out or rename it.
    Path(PathError),
    /// The entry before has the same path. Push each path once.
    Duplicate,
    /// The path sorts before that of the entry before. Push in the order of
    /// [`compare_paths`], or let [`ManifestBuilder`](crate::ManifestBuilder) sort.
    Order,
    /// The directory that holds the entry was not pushed. Push it first.
    MissingParent,
    /// The entry lies below a file or a link.
    BelowNonDirectory,
    /// The target of a link is empty, longer than 4096 bytes or contains the byte 0.
    Target,
    /// The sizes add up to more than 2^62 - 1 bytes.
    TooManyBytes,
    /// More than [`ENTRIES_MAX`] entries. Split the collection.
    TooManyEntries,
    /// The manifest would be longer than [`MANIFEST_BYTES_MAX`]. Split the collection.
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(error) => error.fmt(f),
            Self::Duplicate => f.write_str("two entries have the same path"),
            Self::Order => f.write_str("the entries are not in canonical order"),
            Self::MissingParent => f.write_str("the directory of the entry is missing"),
            Self::BelowNonDirectory => f.write_str("the entry lies below a file or a link"),
            Self::Target => f.write_str(
                "the target of the link is empty, longer than 4096 bytes or contains the byte 0",
            ),
            Self::TooManyBytes => f.write_str("the files together are larger than 2^62 - 1 bytes"),
            Self::TooManyEntries => {
                write!(f, "more than {ENTRIES_MAX} entries; split the collection")
            }
            Self::TooLong => {
                write!(f, "the manifest exceeds {MANIFEST_BYTES_MAX} bytes; split the collection")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

impl From<PathError> for EncodeError {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

/// Encodes a manifest entry by entry, in canonical order, with memory for one path.
///
/// Every call appends to a buffer of the caller's, which may write it out and empty it between
/// calls.
///
/// ```
/// use samara_base::BlobId;
/// use samara_chunk::{EncodeError, Entry, ManifestEncoder, Mode};
///
/// let mut out = Vec::new();
/// let mut encoder = ManifestEncoder::new(&mut out);
/// encoder.push(&Entry::directory(b"a", Mode::DIRECTORY, None), &mut out)?;
/// let id = BlobId::from_bytes([0; 32]);
/// encoder.push(&Entry::file(b"a/b", Mode::FILE, None, 5, id), &mut out)?;
/// assert_eq!(encoder.push(&Entry::symlink(b"a/a", b"b"), &mut out), Err(EncodeError::Order));
/// assert_eq!(encoder.finish(&mut out).entries(), 2);
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifestEncoder {
    track: Track,
    summary: Summary,
    /// Bytes given out so far.
    written: usize,
}

impl ManifestEncoder {
    /// Begins a manifest: appends its header.
    #[must_use]
    pub fn new(out: &mut Vec<u8>) -> Self {
        Self::with_extensions(Extensions::EMPTY, out)
    }

    /// Begins a manifest that has extensions of its own.
    #[must_use]
    pub fn with_extensions(extensions: Extensions<'_>, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(MANIFEST_VERSION);
        put_sized(out, extensions.as_bytes());
        let written = out.len() - start;
        Self { track: Track::new(), summary: Summary::default(), written }
    }

    /// Appends an entry.
    ///
    /// # Errors
    ///
    /// The entry is refused; nothing was appended and the encoder is as it was, so the caller may
    /// leave the entry out and go on.
    pub fn push(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        //= rfcs/0004-chunking.md#coll-1
        //# An encoder MUST write a collection in the one form that this section gives.
        check_path(entry.path)?;
        self.check_place(entry.path)?;
        let bytes = self.check_limits(entry)?;

        let depth = entry.path.iter().filter(|byte| **byte == b'/').count();
        let name = entry.name();
        let sibling = self.track.sibling(depth);
        let shared = name.iter().zip(sibling).take_while(|(a, b)| a == b).count();
        let suffix = name.get(shared..).unwrap_or_default();

        let start = out.len();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let extensions = flag(!entry.extensions.is_empty(), tag::EXTENSIONS);
        let head = |out: &mut Vec<u8>, tag: u8| {
            out.extend_from_slice(&[
                tag | extensions,
                byte(depth),
                byte(shared),
                byte(suffix.len()),
            ]);
            out.extend_from_slice(suffix);
        };
        let before = self.track.mtime_seconds;
        match entry.kind {
            EntryKind::File { mode, mtime, size, id } => {
                head(out, tag::FILE | flag(mtime.is_some(), tag::MTIME));
                varint::put(out, u64::from(mode.bits()));
                put_mtime(out, mtime, before);
                varint::put(out, size);
                out.extend_from_slice(id.as_bytes());
            }
            EntryKind::Directory { mode, mtime } => {
                head(out, tag::DIRECTORY | flag(mtime.is_some(), tag::MTIME));
                varint::put(out, u64::from(mode.bits()));
                put_mtime(out, mtime, before);
            }
            EntryKind::Symlink { target } => {
                head(out, tag::SYMLINK);
                put_sized(out, target);
            }
        }
        if !entry.extensions.is_empty() {
            put_sized(out, entry.extensions.as_bytes());
        }

        let written = self.written + (out.len() - start);
        let entries = u64::from(self.summary.entries()) + 1;
        let end = 1 + varint::len(entries) + varint::len(bytes);
        if written + end > MANIFEST_BYTES_MAX as usize {
            out.truncate(start);
            return Err(EncodeError::TooLong);
        }
        self.written = written;
        if let EntryKind::File { mtime: Some(mtime), .. }
        | EntryKind::Directory { mtime: Some(mtime), .. } = entry.kind
        {
            self.track.mtime_seconds = mtime.seconds();
        }
        match entry.kind {
            EntryKind::File { .. } => self.summary.files += 1,
            EntryKind::Directory { .. } => self.summary.directories += 1,
            EntryKind::Symlink { .. } => self.summary.symlinks += 1,
        }
        self.summary.bytes = bytes;
        let is_directory = matches!(entry.kind, EntryKind::Directory { .. });
        self.track.go(depth, shared, suffix, is_directory);
        Ok(())
    }

    /// Appends the end record and returns what the manifest holds.
    pub fn finish(self, out: &mut Vec<u8>) -> Summary {
        out.push(tag::END);
        varint::put(out, u64::from(self.summary.entries()));
        varint::put(out, self.summary.bytes);
        self.summary
    }

    /// What was pushed so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// The path of the last entry and whether anything may lie below it.
    pub(super) const fn track(&self) -> &Track {
        &self.track
    }

    /// Whether an entry with this (well-formed) path may come next.
    fn check_place(&self, path: &[u8]) -> Result<(), EncodeError> {
        let before = self.track.path();
        if !before.is_empty() {
            match compare_paths(path, before) {
                Ordering::Less => return Err(EncodeError::Order),
                Ordering::Equal => return Err(EncodeError::Duplicate),
                Ordering::Greater => {}
            }
        }
        let depth = path.iter().filter(|byte| **byte == b'/').count();
        let parent = parent_of(path);
        if depth <= self.track.parent_depth_max() && self.track.parent(depth) == parent {
            Ok(())
        } else if below(path, before) && self.track.parent_depth_max() < self.track.depth() {
            Err(EncodeError::BelowNonDirectory)
        } else {
            Err(EncodeError::MissingParent)
        }
    }

    /// Checks figures and target; returns the new sum of sizes.
    fn check_limits(&self, entry: &Entry<'_>) -> Result<u64, EncodeError> {
        if self.summary.entries() >= ENTRIES_MAX {
            return Err(EncodeError::TooManyEntries);
        }
        match entry.kind {
            EntryKind::File { size, .. } => self
                .summary
                .bytes
                .checked_add(size)
                .filter(|bytes| *bytes <= TOTAL_BYTES_MAX)
                .ok_or(EncodeError::TooManyBytes),
            EntryKind::Symlink { target }
                if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) =>
            {
                Err(EncodeError::Target)
            }
            EntryKind::Symlink { .. } | EntryKind::Directory { .. } => Ok(self.summary.bytes),
        }
    }
}

/// The path of the directory that holds `path`, empty at the top.
pub(super) fn parent_of(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

/// Whether `path` lies below `above`.
fn below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}

/// A depth or a length of part of a name, both checked to be at most 255.
fn byte(value: usize) -> u8 {
    debug_assert!(value <= usize::from(u8::MAX), "checked with the path");
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_mtime(out: &mut Vec<u8>, mtime: Option<super::Mtime>, before: i64) {
    if let Some(mtime) = mtime {
        varint::put(out, zigzag(mtime.seconds() - before));
        varint::put(out, u64::from(mtime.nanos()));
    }
}
