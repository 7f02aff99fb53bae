//! Placeholder.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
mod chunker;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
mod manifest;
mod path;
mod varint;

#[cfg(feature = "std")]
pub use chunker::{Chunk, Chunker, ChunkerParams};
pub use manifest::{
    BuildError, DecodeError, DecodeProblem, Decoder, EncodeError, Entries, Entry, EntryKind,
    ExtensionError, ExtensionProblem, Extensions, Field, Hazard, LinkRule, LinkTarget, MAGIC,
    MANIFEST_VERSION, Manifest, ManifestBuilder, ManifestEncoder, Mode, Mtime, RuleError, Rules,
    Step, Summary,
};
pub use path::{NameProblem, PathError, RESERVED_PREFIX, check_name, check_path, compare_paths};
