use alloc::vec::Vec;
use core::{fmt, ops::Range};

use samara_base::BlobId;

use super::{EncodeError, Entry, EntryKind, Extensions, ManifestEncoder, Mode, Mtime, Summary};
use crate::path::{check_path, compare_paths};

/// Why a collection could not be encoded, and which entry is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an entry and a cause are all there is")]
pub struct BuildError {
    /// The entry, counted from 0 in the order of pushing; [`ManifestBuilder::path`] names it.
    pub index: u32,
    /// What is wrong with it.
    pub problem: EncodeError,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.index, self.problem)
    }
}

impl core::error::Error for BuildError {}

/// Collects entries in any order and encodes them in canonical order.
///
/// Directories that nobody pushed but something lies in are added with [`Mode::DIRECTORY`] and no
/// time. Costs about 90 bytes and the path for each entry; use
/// [`ManifestEncoder`] where the entries come sorted.
///
/// ```
/// use samara_base::BlobId;
/// use samara_chunk::{Entry, Manifest, ManifestBuilder, Mode};
///
/// let mut builder = ManifestBuilder::new();
/// let id = BlobId::from_bytes([1; 32]);
/// builder.push(&Entry::symlink(b"latest", b"maps/2026.map"))?;
/// builder.push(&Entry::file(b"maps/2026.map", Mode::FILE, None, 10, id))?;
///
/// let mut bytes = Vec::new();
/// let summary = builder.finish(&mut bytes)?;
/// assert_eq!((summary.directories, summary.files, summary.symlinks), (1, 1, 1));
/// assert_eq!(Manifest::decode(&bytes)?.summary(), summary);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManifestBuilder {
    /// Paths, targets and extensions, one after the other.
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// An entry whose byte strings lie in `ManifestBuilder::bytes`.
#[derive(Clone, Copy, Debug)]
struct Record {
    path: Span,
    extensions: Span,
    kind: RecordKind,
}

#[derive(Clone, Copy, Debug)]
enum RecordKind {
    File { mode: Mode, mtime: Option<Mtime>, size: u64, id: BlobId },
    Directory { mode: Mode, mtime: Option<Mtime> },
    Symlink { target: Span },
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u16,
}

impl Span {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.len)
    }
}

impl ManifestBuilder {
    /// An empty collection.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), records: Vec::new() }
    }

    /// Entries pushed so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The path of the entry that was pushed as number `index`, from 0.
    #[must_use]
    pub fn path(&self, index: u32) -> Option<&[u8]> {
        let record = self.records.get(usize::try_from(index).ok()?)?;
        self.bytes.get(record.path.range())
    }

    /// Adds an entry, copying its path, target and extensions.
    ///
    /// # Errors
    ///
    /// The path or the target is refused, or the collection is too large. Nothing was added.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<(), EncodeError> {
        check_path(entry.path)?;
        if self.records.len() >= crate::limits::ENTRIES_MAX as usize {
            return Err(EncodeError::TooManyEntries);
        }
        let before = self.bytes.len();
        self.record(entry).inspect_err(|_| self.bytes.truncate(before)).map(|_| ())
    }

    fn record(&mut self, entry: &Entry<'_>) -> Result<(), EncodeError> {
        let path = self.copy(entry.path)?;
        let extensions = self.copy(entry.extensions.as_bytes())?;
        let kind = match entry.kind {
            EntryKind::File { mode, mtime, size, id } => RecordKind::File { mode, mtime, size, id },
            EntryKind::Directory { mode, mtime } => RecordKind::Directory { mode, mtime },
            EntryKind::Symlink { target } => {
                let longest = crate::limits::TARGET_BYTES_MAX;
                if target.is_empty() || target.len() > longest || target.contains(&0) {
                    return Err(EncodeError::Target);
                }
                RecordKind::Symlink { target: self.copy(target)? }
            }
        };
        self.records.push(Record { path, extensions, kind });
        Ok(())
    }

    fn copy(&mut self, bytes: &[u8]) -> Result<Span, EncodeError> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| EncodeError::TooLong)?;
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong)?;
        self.bytes.extend_from_slice(bytes);
        Ok(Span { start, len })
    }

    /// Sorts, adds missing directories, and appends the manifest to `out`.
    ///
    /// # Errors
    ///
    /// An entry is refused. What was appended to `out` so far is taken back, and the builder still
    /// has every entry.
    pub fn finish(&self, out: &mut Vec<u8>) -> Result<Summary, BuildError> {
        let mut order: Vec<u32> =
            (0..u32::try_from(self.records.len()).unwrap_or(u32::MAX)).collect();
        let path = |index: u32| self.path(index).unwrap_or_default();
        // Equal paths keep the order of pushing, so that the later one is blamed.
        order.sort_unstable_by(|a, b| compare_paths(path(*a), path(*b)).then(a.cmp(b)));

        let start = out.len();
        let mut encoder = ManifestEncoder::new(out);
        for index in order {
            let result = self.entry(index).map_or(Ok(()), |entry| {
                add_parents(&mut encoder, entry.path, out)?;
                encoder.push(&entry, out)
            });
            if let Err(problem) = result {
                out.truncate(start);
                return Err(BuildError { index, problem });
            }
        }
        Ok(encoder.finish(out))
    }

    fn entry(&self, index: u32) -> Option<Entry<'_>> {
        let record = self.records.get(usize::try_from(index).ok()?)?;
        let span = |span: Span| self.bytes.get(span.range()).unwrap_or_default();
        let kind = match record.kind {
            RecordKind::File { mode, mtime, size, id } => EntryKind::File { mode, mtime, size, id },
            RecordKind::Directory { mode, mtime } => EntryKind::Directory { mode, mtime },
            RecordKind::Symlink { target } => EntryKind::Symlink { target: span(target) },
        };
        let extensions = Extensions::decode(span(record.extensions)).unwrap_or_default();
        Some(Entry { path: span(record.path), kind, extensions })
    }
}

/// Adds the directories above `path` that are not there yet. The entries come sorted, so a
/// directory that anybody pushed was encoded before.
fn add_parents(
    encoder: &mut ManifestEncoder,
    path: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for (depth, slash) in
        path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).enumerate()
    {
        let parent = path.get(..slash).unwrap_or_default();
        let track = encoder.track();
        let there = depth < track.parent_depth_max() && track.parent(depth + 1) == parent;
        if !there {
            let added = encoder.push(&Entry::directory(parent, Mode::DIRECTORY, None), out);
            // There is such an entry, and it is no directory.
            let is_other = added == Err(EncodeError::Duplicate);
            if is_other { Err(EncodeError::BelowNonDirectory) } else { added }?;
        }
    }
    Ok(())
}
