//! A durable content-addressed store of verified blobs.
//!
//! All bytes live in *segments* (append-only files of the store), or in files of the user's: shared
//! where they lie, or received into directly. So every byte is written once. An index says what is
//! where. What [`Store::checkpoint`] has acknowledged survives the death of the process and of the
//! machine; what is read has been verified against the blob's id in the same pass.
//!
//! - [`Store::put`], [`Store::import`] and [`Store::share_in_place`] bring in what is at hand.
//! - [`Store::receive`] takes a blob from strangers, range by range, in any order, and goes on where
//!   an earlier process stopped. [`Store::receive_small`] takes a small one in one call.
//! - [`Store::reader`] gives a [`BlobReader`], which reads verified bytes and makes transfers of
//!   complete and of partial blobs.
//! - [`Store::rebuild_index`] makes a lost or damaged index again from the segments, and
//!   [`Store::audit`] says whether the index agrees with itself.
//! - [`Store::commit`] waits until what was written is durable; threads that commit share the syncs.
//! - [`Store::tag`], [`Store::pin`] and [`Store::lease`] keep a blob from [`Store::collect`] and from
//!   eviction. [`Quotas`] say how much may be held for oneself and for others; what goes then, and why,
//!   [`Store::explain_eviction`] tells.
//! - [`Store::compact`] empties segments of which little is in use.
//! - [`Store::scrub`] reads everything again in the background, a budget at a time.
//! - [`Store::publish_file`] and [`Store::publish_root`] move what was received to its final name.
//!
//! It is *not* a transfer or a file system: it knows no peers, has no clock, deletes nothing by itself
//! but what was marked as [carried](Class::Carried) or is under a [quota](Quotas), and has no paths
//! but those of the user's files. It is synchronous; call it from a pool
//! of threads. The normative text is RFC 0009.
//!
//! ```
//! use samara_base::{GroupLog2, RangeSet};
//! use samara_store::{Options, Store, Target};
//!
//! let dir = tempfile::tempdir()?;
//! let here = Store::open(&dir.path().join("here"), Options::default())?;
//! let there = Store::open(&dir.path().join("there"), Options::default())?;
//! let blob = vec![7; 100_000];
//! let id = here.put(&blob)?;
//!
//! // A transfer: the source reads, the getter verifies.
//! let (group, whole) = (GroupLog2::KIB64, 0..samara_base::leaves(100_000));
//! let source = here.reader(&id)?.ok_or("just put there")?;
//! let sent = source.encode(group, &whole, &RangeSet::new())?;
//! let receiver = there.receive(&id, source.size(), &Target::Segments)?;
//! receiver.ingest(group, 0, &RangeSet::new(), &sent.proof, &sent.data)?;
//! assert!(receiver.finish()?.complete);
//! there.checkpoint()?;
//!
//! let copy = there.reader(&id)?.ok_or("just received")?;
//! assert_eq!(copy.read(99_990..100_000)?, blob[99_990..]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! - No byte is held, served or reported that was not verified against its blob's id.
//! - An index row that is durable points only to payload that is durable.
//! - Segments are never rewritten: bytes are appended, cut at recovery, or given back.
//! - A file that was shared is never written to; a file of the user's is never overwritten unless
//!   the caller asked for it.
//! - Nothing is kept in memory per blob or per file.
//!
//! # Limits
//!
//! | limit | value |
//! | --- | --- |
//! | index cache | 6 MiB ([`Options::cache_bytes`]) |
//! | rows that wait for a checkpoint | 32,768 ([`Options::checkpoint_rows`]) |
//! | bytes that wait for a checkpoint | 256 MiB ([`Options::checkpoint_bytes`]) |
//! | segment file | 256 MiB, at most 1 GiB ([`Options::segment_bytes`]) |
//! | free space left alone | 16 MiB ([`Options::reserve_bytes`]) |
//! | relative path | 4,095 bytes ([`disk::REL_PATH_MAX`]) |
//! | places remembered of one blob | 4 |
//! | tag, reason of a pin or lease | 1,024 bytes |
//! | evictions listed at once | 1,024 |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `tracing` | no | events on recovery, checkpoints, quarantine and changed files |
//! | `zstd` | no | chunks are compressed where it pays (`Options::compression`); builds C code |
//! | `fuzzing` | no | entry points of the fuzz targets; not stable |
//! | `conformance` | no | the format of records by itself, for `samara-conformance`; not stable |
#![forbid(unsafe_code)]
// Bytes of others get here: no index that may be wrong, no number that may be cut.
#![cfg_attr(
    not(any(test, feature = "fuzzing")),
    warn(clippy::cast_possible_truncation, clippy::indexing_slicing)
)]

mod audit;
mod buffer;
mod chunks;
mod class;
mod commit;
mod compact;
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod conformance;
mod cvs;
pub mod disk;
mod durability;
mod error;
mod evict;
mod external;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
mod import;
mod index;
mod inner;
mod journal;
mod lease;
mod limits;
mod map;
mod mend;
mod new_file;
mod open;
mod outboard;
mod own;
mod pack;
mod partial;
mod put;
mod quota;
mod read;
mod reader;
mod rebuild;
mod receive;
mod record;
mod resume;
mod roots;
mod row;
mod scrub;
mod segment;
mod small;
mod store;
mod sync;
mod verify;

pub use audit::Audit;
pub use class::Class;
pub use compact::Compacted;
pub use durability::Durability;
pub use error::{
    ExportError, FinishError, ImportError, IngestError, OpenError, PublishError, ReadError,
    ReceiveError, ShareError, StoreError,
};
pub use evict::Eviction;
pub use lease::Lease;
pub use open::Recovery;
pub use pack::Compression;
pub use partial::Ingested;
pub use quota::{HeldBytes, Quotas};
pub use reader::{BlobReader, Encoded};
pub use rebuild::Rebuilt;
pub use receive::{Receiver, Target};
pub use row::RootId;
pub use samara_chunk::ChunkerParams;
pub use scrub::{Damage, ScrubReport, ScrubStats};
/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub use store::{BlobPlace, BlobStat, Options, Store, Usage};
pub use verify::VerifyReport;
