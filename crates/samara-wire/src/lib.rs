//! The bytes on a link: canonical varints, TLV, range sets, frames and the messages made of them.
//!
//! Spec: RFC 0003. This crate turns bytes into messages and back, and decides nothing: who may
//! send what and when is the business of RFC 0005 and RFC 0007. It is not a general serialisation
//! library, it does no IO, and it does not encrypt.
//!
//! ```
//! use bytes::BytesMut;
//! use samara_base::RangeSet;
//! use samara_wire::{FRAME_BODY_MAX, FrameDecoder, Have, Message};
//!
//! // Out: a message becomes one frame.
//! let have = Message::from(Have { want: 1, size: 40_000, held: RangeSet::from(0..40) });
//! let frame = have.encode(false)?;
//!
//! // In: frames are cut off the bytes of a link, in whatever pieces they arrive.
//! let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
//! let mut buffer = BytesMut::new();
//! let mut received = None;
//! for byte in frame.to_bytes() {
//!     assert!(received.is_none() && decoder.need() > 0);
//!     buffer.extend_from_slice(&[byte]);
//!     if let Some(raw) = decoder.decode(&mut buffer)? {
//!         received = Message::decode(raw.kind, raw.body)?;
//!     }
//! }
//! assert_eq!(received, Some(have));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! - *Total*: no input makes a decoder panic or overflow. What it returns owns at most memory in
//!   proportion to the input.
//! - *Canonical*: a value has one encoding. `decode(encode(x)) == x`, and `encode(decode(b)) == b`
//!   unless `b` has TLVs of unknown odd types, which are dropped.
//! - *Bounded*: every length has a limit below, checked on the way out and on the way in.
//! - *Zero-copy*: DATA's proof and data share the memory of the buffer they arrived in, and the
//!   payload of an outgoing DATA is never copied.
//! - An out-of-limit message is an [`EncodeError`], never a panic.
//!
//! # Limits
//!
//! | what | limit | constant |
//! | --- | --- | --- |
//! | varint | 2^62 - 1 | [`varint::MAX`] |
//! | frame body | 1,114,112 bytes | [`FRAME_BODY_MAX`] |
//! | smallest body limit in HELLO | 128 bytes | [`FRAME_BODY_MIN`] |
//! | runs in a range set | 1,024 | [`RUNS_MAX`] |
//! | runs in WANT `known` | 64 | [`KNOWN_RUNS_MAX`] |
//! | end of a range set | 2^54 leaves | [`LEAVES_END_MAX`] |
//! | TLVs in a section | 32 | [`TLVS_MAX`] |
//! | value of a TLV | 16,383 bytes | [`TLV_VALUE_MAX`] |
//! | HELLO `agent` | 64 bytes | [`AGENT_MAX`] |
//! | CLOSE `reason` | 256 bytes | [`REASON_MAX`] |
//! | PRESENT `right` | 1 to 256 bytes | [`RIGHT_MAX`] |
//! | DATA `proof` | 8,192 bytes, pairs of 64 | [`PROOF_MAX`], [`PROOF_PAIR`] |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | run-time CPU detection for CRC-32, vectored writes of [`Encoded`] |
//! | `fuzzing` | no | the property functions that the fuzz targets call; not stable |
#![no_std]
#![forbid(unsafe_code)]
// Bytes of others get here: no index that may be wrong, no number that may be cut.
#![cfg_attr(
    not(any(test, feature = "fuzzing")),
    warn(clippy::cast_possible_truncation, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod code;
mod encoded;
mod error;
pub mod frame;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
pub mod msg;
mod parse;
pub mod ranges;
mod registry;
pub mod tlv;
pub mod varint;

pub use code::UnknownCode;
pub use encoded::Encoded;
pub use error::{DecodeError, DecodeReason, EncodeError, Field, FrameError};
pub use frame::{FrameDecoder, RawFrame};
pub use limits::{
    AGENT_MAX, FRAME_BODY_MAX, FRAME_BODY_MIN, FRAME_OVERHEAD_MAX, KNOWN_RUNS_MAX, LEAVES_END_MAX,
    PROOF_MAX, PROOF_PAIR, REASON_MAX, RIGHT_MAX, RUNS_MAX, TLV_VALUE_MAX, TLVS_MAX, VERSION,
};
pub use msg::{
    Cancel, Close, CloseCode, Credit, Data, End, EndCode, Have, Hello, Message, Ping, Pong,
    Present, Want,
};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
