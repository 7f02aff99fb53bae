//! The vocabulary of Samara: identifiers, range sets, time, priority classes.
//!
//! Everything here is used by two or more crates above; there are no helpers. The crate has no
//! dependencies, does no IO, and builds without `std`.
//!
//! ```
//! use samara_base::{BlobId, RangeSet};
//!
//! let id: BlobId = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262".parse()?;
//! assert_eq!(id.fmt_short().to_string(), "af1349b9f5");
//!
//! let mut held = RangeSet::from(0..16);
//! held.insert(32..48);
//! assert_eq!(held.complement(64), RangeSet::from_iter([16..32, 48..64]));
//! # Ok::<(), samara_base::ParseIdError>(())
//! ```
//!
//! # Invariants
//!
//! - A [`RangeSet`] is always sorted, disjoint and coalesced, whatever built it.
//! - [`Instant`] has no origin: only differences mean anything, and nothing here reads a clock.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | nothing today; reserved so that dependents can forward it |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod class;
mod group;
mod id;
mod ranges;
mod time;

pub use class::Class;
pub use group::{GroupLog2, LEAF_BYTES, leaf_span, leaves};
pub use id::{BlobId, ChunkId, ParseIdError, PeerId, ShortId};
pub use ranges::RangeSet;
pub use time::Instant;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
