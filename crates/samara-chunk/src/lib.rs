//! Content-defined chunks of a blob, and directory trees as one canonical blob.
//!
//! Spec: RFC 0004. A *collection* is a tree of names with modes, times, link targets and blob ids; its
//! [`Manifest`] is a blob, so the collection is fetched, verified and named like any other. A
//! [`Chunker`] cuts a blob where its content says so, so that two versions share most of their
//! chunks. The crate reads no directory, writes no file and does not know where blobs come from;
//! it is not an archive format, since the contents stay outside.
//!
//! ```
//! use samara_base::BlobId;
//! use samara_chunk::{DecodeProblem, Entry, Manifest, ManifestBuilder, Mode, Rules};
//!
//! let mut builder = ManifestBuilder::new();
//! let id = BlobId::from_bytes([7; 32]);
//! builder.push(&Entry::file(b"maps/alps.map", Mode::FILE, None, 5_000_000, id))?;
//! let mut bytes = Vec::new();
//! builder.finish(&mut bytes)?;
//!
//! // Somebody else gets these bytes.
//! let manifest = Manifest::decode(&bytes)?;
//! manifest.check(&Rules::PORTABLE)?;
//! assert_eq!(manifest.summary().bytes, 5_000_000);
//!
//! // One byte less, and it is no collection.
//! let error = Manifest::decode(&bytes[..bytes.len() - 1]).unwrap_err();
//! assert_eq!(error.problem, DecodeProblem::Truncated);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! - *Total*: no input makes a decoder panic or overflow. Errors are `Copy` and name byte and field.
//! - *Canonical*: a tree has one encoding; `decode(encode(x)) == x` and `encode(decode(b)) == b`.
//! - *Contained*: every path that a decoder gives passes [`check_path`], its directory came before
//!   it, and no path comes twice. Decoding gives the same answer on every operating system; what
//!   this one can hold is the business of [`Rules`].
//! - *Lean*: a decoder holds one path, whatever the manifest says.
//! - Chunks depend on the bytes and the profile only, never on the pieces in which the bytes come.
//!
//! # Limits
//!
//! | what | limit | constant |
//! | --- | --- | --- |
//! | manifest | 268,435,456 bytes | [`limits::MANIFEST_BYTES_MAX`] |
//! | entries | 1,048,576 | [`limits::ENTRIES_MAX`] |
//! | path | 4,096 bytes | [`limits::PATH_BYTES_MAX`] |
//! | name | 255 bytes | [`limits::NAME_BYTES_MAX`] |
//! | components of a path | 64 | [`limits::DEPTH_MAX`] |
//! | target of a link | 4,096 bytes | [`limits::TARGET_BYTES_MAX`] |
//! | extension area | 4,096 bytes | [`limits::EXTENSION_BYTES_MAX`] |
//! | sizes of all files | 2^62 - 1 bytes | [`limits::TOTAL_BYTES_MAX`] |
//! | bytes that a chunker holds back | below 4 averages | [`ChunkerParams::max_bytes`] |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | the chunker, whose search needs `std` today |
//! | `fuzzing` | no | the property functions that the fuzz targets call; not stable |
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
pub use path::{
    NameProblem, PathError, RESERVED_PREFIX, RESERVED_SUFFIX, check_name, check_path,
    compare_paths, is_reserved,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
