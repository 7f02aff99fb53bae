//! Collection manifests: a tree of named blobs as one canonical blob.

use crate::limits::MANIFEST_BYTES_MAX;

mod build;
mod decode;
mod encode;
mod entry;
mod error;
mod extension;
mod rules;

pub use build::{BuildError, ManifestBuilder};
pub use decode::{Decoder, Step};
pub use encode::{EncodeError, ManifestEncoder};
pub use entry::{Entry, EntryKind, LinkTarget, Mode, Mtime};
pub use error::{DecodeError, DecodeProblem, Field};
pub use extension::{ExtensionError, ExtensionProblem, Extensions};
pub use rules::{Hazard, LinkRule, RuleError, Rules};

/// What the bytes of a manifest begin with, before the version.
pub const MAGIC: [u8; 7] = *b"SmraCol";

pub use crate::limits::MANIFEST_VERSION;

/// The tag byte that begins every entry.
mod tag {
    // registry manifest-tags: begin
    pub(super) const END: u8 = 0x00;
    pub(super) const FILE: u8 = 0x01;
    pub(super) const DIRECTORY: u8 = 0x02;
    pub(super) const SYMLINK: u8 = 0x03;
    pub(super) const MTIME: u8 = 0x04;
    pub(super) const EXTENSIONS: u8 = 0x08;
    // registry manifest-tags: end

    pub(super) const KIND_MASK: u8 = FILE | DIRECTORY | SYMLINK;
    pub(super) const UNKNOWN_MASK: u8 = !(KIND_MASK | MTIME | EXTENSIONS);
}

/// What a manifest holds in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "plain figures, one per kind of entry and their sum")]
pub struct Summary {
    /// Regular files.
    pub files: u32,
    /// Directories.
    pub directories: u32,
    /// Symbolic links.
    pub symlinks: u32,
    /// Sum of the sizes that the file entries state; a blob that two entries name counts twice,
    /// because extracting writes it twice. Unit: bytes.
    pub bytes: u64,
}

impl Summary {
    /// Entries of all kinds.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        self.files + self.directories + self.symlinks
    }
}

/// A manifest that was checked from the first to the last byte.
///
/// `B` holds the encoded bytes: `&[u8]`, `Vec<u8>`, `Bytes`. Nothing is unpacked: 100,000 entries
/// cost their encoded bytes (about 60 each) and one path buffer per iterator.
///
/// ```
/// use samara_base::BlobId;
/// use samara_chunk::{Entry, EntryKind, Manifest, ManifestBuilder, Mode};
///
/// let mut builder = ManifestBuilder::new();
/// let id = BlobId::from_bytes([7; 32]);
/// builder.push(&Entry::file(b"photos/one.jpg", Mode::FILE, None, 1_000, id))?;
/// let mut bytes = Vec::new();
/// builder.finish(&mut bytes)?;
///
/// let manifest = Manifest::decode(bytes)?;
/// assert_eq!((manifest.summary().files, manifest.summary().bytes), (1, 1_000));
/// let mut entries = manifest.iter();
/// while let Some(entry) = entries.next_entry() {
///     match entry.kind {
///         EntryKind::Directory { .. } => assert_eq!(entry.path, b"photos"),
///         EntryKind::File { id: named, .. } => assert_eq!(named, id),
///         EntryKind::Symlink { .. } => unreachable!(),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<B> {
    bytes: B,
    summary: Summary,
}

impl<B: AsRef<[u8]>> Manifest<B> {
    /// Checks a whole manifest. One pass, no allocation but the path buffer of at most 4 KiB.
    ///
    /// # Errors
    ///
    /// The first thing that makes the bytes not a manifest, with its position. The same bytes give
    /// the same answer on every operating system.
    pub fn decode(bytes: B) -> Result<Self, DecodeError> {
        let input = bytes.as_ref();
        if u32::try_from(input.len()).map_or(true, |len| len > MANIFEST_BYTES_MAX) {
            return Err(DecodeError {
                offset: MANIFEST_BYTES_MAX,
                field: Field::Manifest,
                problem: DecodeProblem::TooLong,
            });
        }
        let mut decoder = Decoder::new();
        let mut rest = input;
        while let Some((_, used)) = decoder.next_of_whole(rest)? {
            rest = rest.get(used..).unwrap_or_default();
        }
        let summary = decoder.summary();
        Ok(Self { bytes, summary })
    }

    /// The entries, in canonical order: every directory before what it holds.
    #[must_use]
    pub fn iter(&self) -> Entries<'_> {
        Entries { decoder: Decoder::new(), rest: self.bytes.as_ref() }
    }

    /// Counts and total size.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// The encoded bytes. Their BLAKE3 hash is the collection's id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Gives the encoded bytes back.
    #[must_use]
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// Checks the collection against what a system can hold and a user wants.
    ///
    /// # Errors
    ///
    /// The first entry that breaks a rule. See [`Rules`].
    pub fn check(&self, rules: &Rules) -> Result<(), RuleError> {
        rules::check(self.iter(), rules)
    }
}

/// The entries of a checked manifest; see [`Manifest::iter`].
///
/// Each entry lends its path from a buffer in here, so this is not an [`Iterator`]: ask with
/// [`next_entry`](Self::next_entry) in a `while let`.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    decoder: Decoder,
    rest: &'a [u8],
}

impl Entries<'_> {
    /// The next entry, or `None` after the last.
    pub fn next_entry(&mut self) -> Option<Entry<'_>> {
        // The bytes were checked when the manifest was made, so an error cannot occur; if `B`
        // changes its bytes behind our back, the entries simply end.
        let (entry, used) = self.decoder.next_of_whole(self.rest).ok()??;
        self.rest = self.rest.get(used..).unwrap_or_default();
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
