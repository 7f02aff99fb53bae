//! Blob identity: any range of a blob can be proven against its BLAKE3 hash.
//!
//! A blob's id is what `b3sum` prints. BLAKE3 is a tree over leaves of 1 KiB, so a holder can prove
//! any range with a few hashes, and a getter can tell true bytes from false ones group by group,
//! whoever sent them. The group, the unit of proof, is chosen per request from 1 KiB to 1 MiB; the
//! id stays the same.
//!
//! - [`OutboardBuilder`] computes id and *outboard* (32 bytes per 16 KiB) while a blob streams by.
//! - [`Prover`] checks bytes read from a disk and makes the *proof* of a range, in one pass.
//! - [`Verifier`] takes ranges in any order from anybody. It says which groups are true, when the
//!   size is proven, and what it needs to go on after a restart. What it holds, it can prove to
//!   others.
//! - [`Tree`] is the shape, which follows from the size: the length of a proof is known before
//!   asking.
//!
//! It is *not* a store, a wire format or a transfer: it does no IO, reads no clock and knows no
//! peers. The normative text is RFC 0002.
//!
//! ```
//! use samara_base::{GroupLog2, RangeSet};
//! use samara_tree::{Cv, OutboardBuilder, Prover, Verifier};
//!
//! let blob = vec![1; 1 << 20];
//! let mut outboard: Vec<Cv> = Vec::new();
//! let mut builder = OutboardBuilder::new();
//! builder.push(&blob, &mut |_, cv| outboard.push(cv));
//! let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
//! let prover = Prover::open(id, size, outboard.as_slice())?;
//!
//! let group = GroupLog2::KIB64;
//! let mut getter = Verifier::new(id, size);
//! let mut received = 0;
//! for first in (0..prover.tree().leaves()).step_by(512) {
//!     // 512 KiB at a time; the proof leaves out what the getter knows.
//!     let (range, base) = (first..first + 512, getter.known().clone());
//!     let bytes = prover.tree().bytes(&range);
//!     let data = &blob[bytes.start as usize..bytes.end as usize];
//!     let proof = prover.encode(outboard.as_slice(), group, &range, &base, data)?;
//!     received += proof.len();
//!
//!     let verified = getter.verify(group, first, &base, &proof, data, &mut |_, _| ())?;
//!     assert!(verified.bad.is_empty());
//! }
//! assert!(getter.is_complete() && getter.size_proven());
//! assert_eq!(received, 15 * 64); // one pair per inner node, none twice
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! - A leaf is [`known`](Verifier::known) only after its bytes were hashed and matched.
//! - The length of a proof depends on size, group, range and base alone.
//! - A transfer that is refused changes nothing; a bad group does not spoil the good ones.
//! - Memory follows what was done, never a size that was claimed.
//! - No input of a peer makes this crate panic. There is no `unsafe`.
//!
//! # Limits
//!
//! | what | limit |
//! | --- | --- |
//! | size of a blob | 2^64 - 1 bytes, or 2^54 leaves |
//! | group | 1 KiB to 1 MiB |
//! | nodes in a [`Verifier`]'s frontier | [`Verifier::NODES_MAX`], 65,536 (8 MiB of memory) |
//! | exported frontier | [`Verifier::EXPORT_LEN_MAX`], 2.5 MiB; in practice a few KiB |
//! | cached values near the root | 4,096 (448 KiB of memory) |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | detection of the processor's vector instructions in `blake3` |
//! | `fuzzing` | no | entry points for fuzzers; unstable |
#![no_std]
#![forbid(unsafe_code)]
// Bytes of others get here: no index that may be wrong, no number that may be cut.
#![cfg_attr(
    not(any(test, feature = "fuzzing")),
    warn(clippy::cast_possible_truncation, clippy::indexing_slicing)
)]

extern crate alloc;

mod builder;
mod cv;
mod encode;
mod error;
mod frontier;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
mod geometry;
mod lose;
mod node;
mod prover;
mod source;
mod state;
mod verifier;
mod walk;

pub use builder::OutboardBuilder;
pub use cv::{Cv, group_cv, hash};
pub use error::{EncodeError, FrontierField, OpenError, VerifyError};
pub use geometry::Tree;
pub use node::Node;
pub use prover::Prover;
pub use source::{CvSource, OutboardTooShort};
pub use verifier::{Verified, Verifier};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
