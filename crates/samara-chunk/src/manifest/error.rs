use core::fmt;

use super::ExtensionProblem;
use crate::{
    limits::{ENTRIES_MAX, MANIFEST_BYTES_MAX},
    path::NameProblem,
};

/// The field of a manifest in which decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The manifest as a whole.
    Manifest,
    /// The first seven bytes.
    Magic,
    /// The format version.
    Version,
    /// The extension area of the manifest or of an entry.
    Extensions,
    /// The tag that begins an entry.
    Tag,
    /// How many components the entry's parent has.
    Depth,
    /// How many bytes the name shares with the sibling before.
    Shared,
    /// Length or bytes of the rest of the name.
    Name,
    /// Permission bits.
    Mode,
    /// Modification time.
    Mtime,
    /// Size of a file.
    Size,
    /// Blob id of a file.
    Id,
    /// Target of a symbolic link.
    Target,
    /// The count of entries at the end.
    EndEntries,
    /// The sum of sizes at the end.
    EndBytes,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Extensions => "extensions",
            Self::Tag => "tag",
            Self::Depth => "depth",
            Self::Shared => "shared prefix",
            Self::Name => "name",
            Self::Mode => "mode",
            Self::Mtime => "modification time",
            Self::Size => "size",
            Self::Id => "blob id",
            Self::Target => "link target",
            Self::EndEntries => "count of entries",
            Self::EndBytes => "sum of sizes",
        })
    }
}

/// What makes bytes not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The bytes end too early. The blob is not the whole manifest.
    Truncated,
    /// Bytes follow the end of the manifest.
    TrailingData,
    /// The bytes do not begin like a manifest. The blob is something else.
    Magic,
    /// Another version of the format. Update Samara.
    Version {
        /// The version found.
        found: u8,
    },
    /// A tag with a bit that version 1 does not have.
    UnknownTag {
        /// The tag found.
        tag: u8,
    },
    /// A varint is longer than its value needs.
    NotMinimal,
    /// A value is above its limit.
    TooLarge,
    /// The entry lies deeper than the directory before it, below a file or below a link.
    NoParent,
    /// The name is not greater than that of the sibling before, or shares more bytes with it than
    /// it says.
    Order,
    /// The name is refused.
    Name(NameProblem),
    /// The target of a link is empty.
    TargetEmpty,
    /// The target of a link contains the byte 0.
    TargetNul,
    /// The extension area of an entry is announced and empty.
    ExtensionsEmpty,
    /// The extension area is refused.
    Extensions(ExtensionProblem),
    /// More than [`ENTRIES_MAX`] entries.
    TooManyEntries,
    /// More than [`MANIFEST_BYTES_MAX`] bytes.
    TooLong,
    /// The figures at the end do not agree with the entries.
    EndMismatch,
}

/// Why bytes are not a manifest, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a position and a cause are all there is")]
pub struct DecodeError {
    /// Where the field begins. Unit: bytes from the start of the manifest.
    pub offset: u32,
    /// The field.
    pub field: Field,
    /// What is wrong with it.
    pub problem: DecodeProblem,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, field, problem } = self;
        match problem {
            DecodeProblem::Truncated => f.write_str("the manifest ends too early"),
            DecodeProblem::TrailingData => f.write_str("bytes follow the end of the manifest"),
            DecodeProblem::Magic => f.write_str("this blob is not a collection manifest"),
            DecodeProblem::Version { found } => {
                write!(f, "the manifest has version {found}, made by a newer Samara; update")
            }
            DecodeProblem::UnknownTag { tag } => write!(f, "unknown entry tag {tag:#04x}"),
            DecodeProblem::NotMinimal => f.write_str("a number is longer than its value needs"),
            DecodeProblem::TooLarge => f.write_str("a value is above its limit"),
            DecodeProblem::NoParent => f.write_str("the entry does not lie in a directory"),
            DecodeProblem::Order => f.write_str("the entries are not in canonical order"),
            DecodeProblem::Name(problem) => problem.fmt(f),
            DecodeProblem::TargetEmpty => f.write_str("the target of a link is empty"),
            DecodeProblem::TargetNul => f.write_str("the target of a link contains the byte 0"),
            DecodeProblem::ExtensionsEmpty => {
                f.write_str("an extension area is announced and empty")
            }
            DecodeProblem::Extensions(problem) => problem.fmt(f),
            DecodeProblem::TooManyEntries => {
                write!(f, "the manifest has more than {ENTRIES_MAX} entries")
            }
            DecodeProblem::TooLong => {
                write!(f, "the manifest is longer than {MANIFEST_BYTES_MAX} bytes")
            }
            DecodeProblem::EndMismatch => {
                f.write_str("the figure at the end does not agree with the entries")
            }
        }?;
        write!(f, " ({field} at byte {offset})")
    }
}

impl core::error::Error for DecodeError {}
